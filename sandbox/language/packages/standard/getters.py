"""``operator``: objects that read attributes by names, or call methods."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

from reptarium.sandbox.language import guards
from reptarium.sandbox.language.hardening import readers
from reptarium.sandbox.language.packages.package import Package


class attrgetter:
    """``operator.attrgetter`` whose every step is a guarded read."""

    __slots__ = ("_names",)

    def __init__(self, name: str, /, *names: str) -> None:
        self._names = tuple(guards.checked_name(each) for each in (name, *names))

    def __call__(self, obj: Any, /) -> Any:
        found = tuple(_walk(obj, name) for name in self._names)
        return found[0] if len(found) == 1 else found


def _walk(obj: Any, path: str) -> Any:
    return functools.reduce(guards.guarded_getattr, guards.checked_name(path).split("."), obj)


class methodcaller:
    """``operator.methodcaller`` that reads the method through the guard."""

    __slots__ = ("_args", "_kwargs", "_name")

    def __init__(self, name: str, /, *args: Any, **kwargs: Any) -> None:
        self._name = guards.checked_name(name)
        self._args = args
        self._kwargs = kwargs

    def __call__(self, obj: Any, /) -> Any:
        return guards.guarded_getattr(obj, self._name)(*self._args, **self._kwargs)


# Objects of the real ones exist (PurePath.drive.fget on Python 3.11), and type(x) would tell their class
guards.STAND_INS.update({operator.attrgetter: attrgetter, operator.methodcaller: methodcaller})


def _like_attrgetter(value: Any) -> attrgetter:
    return attrgetter(*value.__reduce__()[1])


def _like_methodcaller(value: Any) -> methodcaller:
    made, arguments = value.__reduce__()
    if isinstance(made, functools.partial):  # with named arguments
        return methodcaller(*made.args, *arguments, **made.keywords)
    return methodcaller(*arguments)


#: What packages have made of the real ones while they were imported (``six.get_function_globals``) → a task's.
READING: dict[type, Callable[[Any], Any]] = {
    operator.attrgetter: _like_attrgetter,
    operator.methodcaller: _like_methodcaller,
}
PACKAGES = (
    Package(
        "operator",
        replaced={"operator": {"attrgetter": attrgetter, "methodcaller": methodcaller}},
        everywhere=(
            (operator.attrgetter, attrgetter),
            (operator.methodcaller, methodcaller),
            (readers.library_attrgetter, attrgetter),
            (readers.library_methodcaller, methodcaller),
        ),
    ),
)
