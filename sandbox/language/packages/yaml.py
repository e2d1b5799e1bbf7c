"""PyYAML: loaders whose tags make any Python object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reptarium.sandbox.language import guards
from reptarium.sandbox.language.packages.package import Package
from reptarium.sandbox.language.policy import RefusedAttribute


def _safe_loader(real: Any, loader: Any) -> Any:
    safe = [real.SafeLoader, real.BaseLoader, getattr(real, "CSafeLoader", real.SafeLoader)]
    if not (isinstance(loader, type) and issubclass(loader, tuple(safe))):
        raise RefusedAttribute("this yaml loader is not allowed: its tags make any Python object; use SafeLoader")
    return loader


def _loaders(real: Any) -> Mapping[str, Any]:
    return {
        "Loader": real.SafeLoader,
        "FullLoader": real.SafeLoader,
        "load": lambda stream, Loader: real.load(stream, _safe_loader(real, Loader)),
        "load_all": lambda stream, Loader: real.load_all(stream, _safe_loader(real, Loader)),
    }


def _patch(yaml: Any) -> None:
    # dumpers find their functions by class: the tables of the unsafe ones hold ``type`` itself
    for table in (yaml.Dumper.yaml_representers, yaml.Dumper.yaml_multi_representers):
        for cls in {type, *guards.STAND_INS} & table.keys():
            del table[cls]
    # what passes for a dict or a list in a task is written as one
    safe: Any = yaml.representer.SafeRepresenter
    for cls, real in guards.PASSING_FOR.items():
        for representer in (safe, yaml.representer.Representer):
            representer.add_representer(cls, safe.represent_dict if real is dict else safe.represent_list)


PACKAGE = Package(
    "yaml",
    withheld={
        "yaml": "UnsafeLoader CUnsafeLoader CLoader CFullLoader Constructor UnsafeConstructor FullConstructor "
        "constructor loader cyaml YAMLObject YAMLObjectMetaclass",
    },
    refused={
        "yaml": {
            "its tags make any Python object; use yaml.safe_load": "unsafe_load unsafe_load_all full_load full_load_all"
        },
    },
    made={"yaml": _loaders},
    patches={"yaml": _patch},
)
