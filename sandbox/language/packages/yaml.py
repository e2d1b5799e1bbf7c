"""PyYAML: loaders whose tags make any Python object. It and ruamel.yaml write values by their exact class."""

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


def represent_items(representer: Any) -> None:
    """Write as a dict or a list what passes for one in a task.

    Args:
        representer: PyYAML's module of that name, or ruamel.yaml's.
    """
    for kind in filter(lambda value: hasattr(value, "add_representer"), list(vars(representer).values())):
        for cls, real in guards.PASSING_FOR.items():
            if real in kind.yaml_representers:
                kind.add_representer(cls, kind.yaml_representers[real])


#: In both language modes.
PATCHES = dict.fromkeys(("yaml.representer", "ruamel.yaml.representer"), represent_items)
PACKAGE = Package(
    "yaml",
    withheld={
        "yaml": {
            "its tags make any Python object; use yaml.SafeLoader": "UnsafeLoader CUnsafeLoader CLoader CFullLoader "
            "Constructor UnsafeConstructor FullConstructor loader cyaml",
            "it brings the loaders along whose tags make any Python object; use yaml.SafeLoader.add_constructor and "
            "yaml.SafeDumper.add_representer": "YAMLObject YAMLObjectMetaclass",
        },
        "yaml.constructor": {  # its ConstructorError is what loaders of one's own raise
            "its tags make any Python object; use SafeConstructor": "Constructor UnsafeConstructor FullConstructor",
        },
    },
    refused={
        "yaml": {
            "its tags make any Python object; use yaml.safe_load": "unsafe_load unsafe_load_all full_load full_load_all"
        },
    },
    made={"yaml": _loaders},
    patches={"yaml": _patch, "yaml.representer": represent_items},
)
RUAMEL = Package("ruamel", patches={"ruamel.yaml.representer": represent_items})
