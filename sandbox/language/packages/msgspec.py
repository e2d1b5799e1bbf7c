"""msgspec: reads attributes by name, and makes classes with any name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reptarium.sandbox.language.packages.package import Package
from reptarium.sandbox.language.policy import RefusedAttribute


def _convert(real: Callable[..., Any]) -> Callable[..., Any]:
    def convert(obj: Any, type: Any, **options: Any) -> Any:
        """``msgspec.convert`` of dicts and lists."""
        if options.get("from_attributes"):
            raise RefusedAttribute(
                "convert() with from_attributes is not allowed: it reads attributes by name. No setting allows it."
            )
        return real(obj, type, **options)

    return convert


PACKAGE = Package(
    "msgspec",
    withheld={
        "msgspec": {"it makes classes of any names; write a class statement": "defstruct"},
        "msgspec.structs": {"it sets any name, of frozen objects too; use msgspec.structs.replace": "force_setattr"},
    },
    made={"msgspec": lambda real: {"convert": _convert(real.convert)}},
)
