"""pydantic reads attributes by name, in Rust, where no guard of ours is asked.

Which names it will read stands in the *core schema* of a model, however that came about (fields, aliases, alias
generators, ``create_model``, a schema written by hand). So schemas are judged where validators and serializers are
made of them: names of the interpreter's are refused always, names that need a look at the value (see
``policy.GUARDED_ATTRIBUTES``) where the model reads from objects (``from_attributes``) instead of from dicts.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator
from typing import Any

from reptarium.sandbox.language import guards
from reptarium.sandbox.language.guards.classes import checked_namespace
from reptarium.sandbox.language.hardening.addresses import hide_addresses, without_addresses
from reptarium.sandbox.language.hardening.gadgets import UNCOPIED, uncopied
from reptarium.sandbox.language.packages.package import Package
from reptarium.sandbox.language.packages.places import show_places, without_modules
from reptarium.sandbox.language.policy import RefusedAttribute
from reptarium.sandbox.language.policy.names import is_plain, may_read


def _texts(value: Any) -> Iterator[str]:
    """The strings in an alias: one, a path, or a choice of paths."""
    if isinstance(value, str):
        yield str.__str__(value)
    elif isinstance(value, (list, tuple)):
        for each in (list if isinstance(value, list) else tuple).__iter__(value):  # type: ignore[arg-type]
            yield from _texts(each)


def _nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Every dict in a schema, read as Rust reads it: past what a subclass says."""
    todo, seen = [schema], set()
    while todo:
        node = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, dict):
            yield node
            todo.extend(dict.values(node))
        elif isinstance(node, list):
            todo.extend(list.__iter__(node))
        elif isinstance(node, tuple):
            todo.extend(tuple.__iter__(node))


def _names(node: dict[str, Any]) -> Iterator[str]:
    """The attributes that one node of a schema names."""
    for key in ("name", "alias", "validation_alias", "discriminator", "property_name"):
        yield from _texts(dict.get(node, key))
    fields = dict.get(node, "fields")
    if isinstance(dict.get(node, "type"), str):  # else it is itself the fields of a model, one of them called "fields"
        yield from _texts(list(dict.keys(fields)) if isinstance(fields, dict) else fields)


def _check(*schemas: Any, from_attributes: bool = False) -> None:
    """Raise when validating or serializing by these schemas could read an attribute that no task may read."""
    nodes = list(_nodes(schemas))
    from_attributes = from_attributes or any(
        # what a tagged union reads is a key, which nobody gets; numpy's True is one for Rust
        dict.get(node, "from_attributes", False) is not False and dict.get(node, "type") != "tagged-union"
        for node in nodes
    )
    for name in (name for node in nodes for name in _names(node)):
        if not may_read(name):
            raise RefusedAttribute(f"the field '{name}' is not allowed: it belongs to the interpreter")
        if from_attributes and not is_plain(name):
            raise RefusedAttribute(
                f"the field '{name}' is not allowed with from_attributes: it could lead to a module. "
                "Give the model a dict. No setting allows it."
            )


def _checked(real: Callable[..., Any]) -> Callable[..., Any]:
    def make(schema: Any, config: Any = None, **options: Any) -> Any:
        """A validator or serializer, once its schema is known to name nothing of the interpreter's."""
        _check(schema, config)
        for node in _nodes(schema):
            if dict.get(node, "type") == "dataclass" and isinstance(dict.get(node, "cls"), type):
                hide_addresses(node["cls"])  # what a data class is given besides becomes its attributes
        return real(schema, config, **options)

    return make


def _checked_names(real: Callable[..., Any]) -> Callable[..., Any]:
    """``create_model`` makes a class of names that came as data, under the rules of ``type(name, bases, dict)``."""

    @functools.wraps(real)
    def create_model(*args: Any, **options: Any) -> Any:
        """Dynamically create and return a new Pydantic model."""
        parameters = real.__kwdefaults__ or {}
        checked_namespace({name: value for name, value in options.items() if name not in parameters})
        for name in ("__namespace__", "__validators__"):
            if options.get(name):
                options[name] = checked_namespace(options[name])
                del options[name]["__module__"]
        options["__module__"] = "__main__"  # as of every class that a task makes
        return real(*args, **options)

    del create_model.__wrapped__
    return create_model


def _patch(pydantic: Any) -> None:
    core: Any = importlib.import_module("pydantic_core")
    _guard(pydantic, core)
    hide_addresses(pydantic.BaseModel)  # model_copy(update=…) puts any name into an instance
    main: Any = importlib.import_module("pydantic.main")
    pydantic.create_model = main.create_model = _checked_names(main.create_model)
    guards.READERS.update((core.SchemaValidator, core.SchemaSerializer))
    UNCOPIED.update(dict.fromkeys((core.SchemaValidator, core.SchemaSerializer, pydantic.TypeAdapter), uncopied))


def _guard(pydantic: Any, core: Any) -> None:
    plugin: Any = importlib.import_module("pydantic.plugin._schema_validator")
    if plugin.SchemaValidator is not core.SchemaValidator:
        return
    plugin.SchemaValidator = _checked(core.SchemaValidator)
    for name in ("type_adapter", "_internal._model_construction", "_internal._dataclasses"):
        module: Any = importlib.import_module(f"pydantic.{name}")
        module.SchemaSerializer = _checked(core.SchemaSerializer)
    real_model: Any = pydantic.BaseModel.model_validate.__func__
    real_adapter: Any = pydantic.TypeAdapter.validate_python

    def model_validate(cls: Any, obj: Any, **options: Any) -> Any:
        """Validate a pydantic model instance."""
        if options.get("from_attributes"):
            len(cls.__pydantic_core_schema__)  # completes a schema that waits for a name
            _check(cls.__pydantic_core_schema__, from_attributes=True)
        return real_model(cls, obj, **options)

    def validate_python(self: Any, object: Any, /, **options: Any) -> Any:
        """Validate a Python object against the model."""
        if options.get("from_attributes"):
            raise RefusedAttribute(
                "from_attributes of a TypeAdapter is not allowed: use a model's model_validate(). No setting allows it."
            )
        return real_adapter(self, object, **options)

    pydantic.BaseModel.__getattr__ = without_addresses(pydantic.BaseModel.__getattr__)
    pydantic.BaseModel.model_validate = classmethod(model_validate)  # type: ignore[arg-type]
    pydantic.TypeAdapter.validate_python = validate_python


def _constructors(core: Any) -> dict[str, Any]:
    """What the façade of ``pydantic_core`` has for its constructors."""
    return {name: _checked(getattr(core, name)) for name in ("SchemaValidator", "SchemaSerializer")}


def _patch_namespaces(module: Any) -> None:
    """Who makes a schema of its own (``__get_pydantic_core_schema__``) gets a handler that holds the names in which
    pydantic looks annotations up.
    """
    module.get_module_ns_of = without_modules(module.get_module_ns_of)


_IMPORTS = "it imports objects by name; use the object itself"
PACKAGE = Package(
    "pydantic",
    withheld={
        "pydantic": {
            _IMPORTS: "ImportString PyObject import_module",
            # orm_mode
            "the old API imports objects and reads attributes by name; use pydantic's own": "v1 utils deprecated",
            "it is about pydantic itself, not the data": "plugin mypy getattr_migration",
        },
        "pydantic.types": {_IMPORTS: "ImportString PyObject"},
    },
    patches={
        "pydantic": _patch,
        "pydantic.type_adapter": show_places,
        "pydantic._internal._typing_extra": show_places,
        "pydantic._internal._namespace_utils": _patch_namespaces,
    },
)
CORE = Package("pydantic_core", made={"pydantic_core": _constructors})
