"""Items as n8n's old Python node showed them: dicts whose keys are attributes as well.

``_input.first().json.name`` and ``_input.first()["json"]["name"]`` are the same. A view *is* a
dict, so that it can be returned, copied and written as JSON. Nested dicts become views when they
are first reached, and are stored back as such: what is assigned through a view is in the item.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

_get = dict.__getitem__


def wrap(value: Any) -> Any:
    """A view for a plain dict; the plain dicts of a list become views in place."""
    if type(value) is dict:
        return View(value)
    if type(value) is list:
        for index, inner in enumerate(value):
            if type(inner) is dict:
                value[index] = View(inner)
    return value


class View(dict[str, Any]):
    """A dict with its keys as attributes. Methods of dict win over keys of the same name."""

    __slots__ = ()

    def __getitem__(self, key: str) -> Any:
        value = _get(self, key)
        if type(value) is dict:
            value = View(value)
            dict.__setitem__(self, key, value)
        elif type(value) is list:
            wrap(value)
        return value

    def __getattr__(self, name: str) -> Any:
        if name[:2] != "__":  # what Python itself looks for is no key of an item
            try:
                return self[name]
            except KeyError:
                pass
        known = ", ".join(map(str, list(self)[:20])) or "none"
        raise AttributeError(f"there is no field '{name}' here; the fields are: {known}")

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise AttributeError(f"there is no field '{name}' here") from None

    def get(self, key: str, default: Any = None) -> Any:
        """As in dict; what comes back is a view as well."""
        try:
            return self[key]
        except KeyError:
            return default

    def copy(self) -> View:
        """A shallow copy that is a view."""
        return View(self)


class PairedItem(View):
    """What ``.item`` gives: the item that the current one goes back to. Called, that of item ``index``."""

    __slots__ = ("_find",)
    _find: Callable[[int], View]

    def __init__(self, item: Mapping[str, Any], find: Callable[[int], View]) -> None:
        super().__init__(item)
        object.__setattr__(self, "_find", find)  # a view's own attributes are its keys

    def __call__(self, index: int) -> View:
        return self._find(index)


class Unpaired:
    """``.item`` where the current item leads nowhere: any use raises the reason, but for a call."""

    __slots__ = ("_find", "_why")

    def __init__(self, why: Exception, find: Callable[[int], View]) -> None:
        self._why = why
        self._find = find

    def __call__(self, index: int) -> View:
        return self._find(index)

    def __getitem__(self, key: str) -> Any:
        raise self._why

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name) if name[:2] == "__" else self._why

    def __iter__(self) -> Iterator[str]:
        raise self._why

    def __bool__(self) -> bool:
        raise self._why

    def __str__(self) -> str:  # what a result or a print would make of it
        raise self._why


class LazyView(Mapping[str, Any]):
    """A read-only mapping with attributes, fetched when it is first used."""

    __slots__ = ("_fetch", "_missing")

    def __init__(self, fetch: Callable[[], dict[str, Any]], missing: str) -> None:
        self._fetch = fetch
        self._missing = missing

    def __getitem__(self, key: str) -> Any:
        values = self._fetch()
        if key not in values:
            raise KeyError(self._missing.format(key))
        return values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fetch())

    def __len__(self) -> int:
        return len(self._fetch())

    def __getattr__(self, name: str) -> Any:
        if name[:2] == "__":
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(cast(str, error.args[0])) from None

    def __repr__(self) -> str:
        return repr(dict(self))
