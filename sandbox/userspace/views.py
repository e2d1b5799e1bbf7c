"""Items as n8n's old Python node showed them: dicts whose keys are attributes as well.

``_input.first().json.name`` and ``_input.first()["json"]["name"]`` are the same. A view *is* a dict, a list in it a
list, so that they can be returned, copied, pickled and written as JSON, and ``type(x)`` and ``x.__class__`` say so.

What comes from n8n becomes views as a whole, once, and is read as fast as dicts are: a view is its own ``__dict__``.
What user code stores stays the object that it is, as in any dict; a view or list in which something was stored looks at
what it gives out from then on, and makes views of it where it finds it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, SupportsIndex, cast

from reptarium.sandbox.language import passes_for

_get, _set = dict.__getitem__, dict.__setitem__
#: Makes an object one of another class, whatever it says of its class itself.
_become = object.__dict__["__class__"].__set__
_PLAIN = (dict, list)


def wrap(value: Any) -> Any:
    """A view for a plain dict, one of views for a plain list; anything else as it is."""
    kind = type(value)
    return View(value) if kind is dict else Views(value) if kind is list else value


class View(dict[str, Any]):
    """A dict with its keys as attributes. Methods of dict win over keys of the same name."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for key, value in self.items():
            if type(value) in _PLAIN:
                _set(self, key, wrap(value))
        if _METHODS.isdisjoint(self):
            object.__setattr__(self, "__dict__", self)

    def __setitem__(self, key: str, value: Any) -> None:
        _set(self, key, value)
        _stored(self)

    @property  # type: ignore[misc]
    def __class__(self) -> type[dict[str, Any]]:  # type: ignore[override]
        return dict

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        return dict, (dict(self),)

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

    def update(self, *args: Any, **kwargs: Any) -> None:
        super().update(*args, **kwargs)
        _stored(self)

    def __ior__(self, other: Any) -> View:  # type: ignore[misc,override]
        self.update(other)
        return self

    def setdefault(self, key: str, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def copy(self) -> View:
        """A shallow copy that is a view."""
        return View(self)

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> View:
        return View({key: copy.deepcopy(value, memo) for key, value in self.items()})

    def to_py(self) -> dict[str, Any]:
        """A plain dict of plain dicts and lists (Pyodide's ``JsProxy.to_py``)."""
        return cast("dict[str, Any]", _plain(self))


class _StoredIn(View):
    """A view in which user code has stored something."""

    def __getitem__(self, key: str) -> Any:
        value = _get(self, key)
        if type(value) is dict:
            value = View(value)
            _set(self, key, value)
        elif type(value) is list:
            _wrap_inside(value)
        return value

    __setitem__ = dict.__setitem__

    def get(self, key: str, default: Any = None) -> Any:
        try:
            return self[key]
        except KeyError:
            return default


def _stored(view: View) -> None:
    if type(view) is View:
        # values are looked at from here on, which an object's own __dict__ doesn't do
        object.__setattr__(view, "__dict__", {})
        _become(view, _StoredIn)


def _wrap_inside(values: list[Any]) -> None:
    for index, inner in enumerate(list.__iter__(values)):
        if type(inner) is dict:
            values[index] = View(inner)


class Views(list[Any]):
    """A list in a view: the dicts in it are views."""

    __slots__ = ()

    def __init__(self, values: Iterable[Any] = ()) -> None:
        super().__init__(map(wrap, values))

    @property  # type: ignore[misc]
    def __class__(self) -> type[list[Any]]:  # type: ignore[override]
        return list

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        return list, (list(self),)

    def _store(self) -> None:
        _become(self, _StoredInViews)

    def append(self, value: Any) -> None:
        super().append(value)
        self._store()

    def insert(self, index: SupportsIndex, value: Any) -> None:
        super().insert(index, value)
        self._store()

    def extend(self, values: Iterable[Any]) -> None:
        super().extend(values)
        self._store()

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(index, value)
        self._store()

    def __iadd__(self, values: Iterable[Any]) -> Views:  # type: ignore[misc]
        self.extend(values)
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Views:
        return Views([copy.deepcopy(value, memo) for value in self])

    def to_py(self) -> list[Any]:
        """A plain list of plain dicts and lists."""
        return cast("list[Any]", _plain(self))


class _StoredInViews(Views):
    """A list in a view, in which user code has stored something."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        value = list.__getitem__(self, index)
        if type(value) is dict:
            value = View(value)
            list.__setitem__(self, index, value)
        return value

    def __iter__(self) -> Iterator[Any]:
        _wrap_inside(self)
        return list.__iter__(self)

    append = list.append  # type: ignore[assignment]
    insert = list.insert  # type: ignore[assignment]
    extend = list.extend  # type: ignore[assignment]
    __setitem__ = list.__setitem__


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in dict.items(value)}
    if isinstance(value, list):
        return [_plain(inner) for inner in list.__iter__(value)]
    return value


_METHODS = frozenset(dir(View))
passes_for(list, Views, _StoredInViews)


class PairedItem(View):
    """What ``.item`` gives: the item that the current one goes back to. Called, that of item ``index``."""

    __slots__ = ("_find",)
    _find: Callable[[int], View]

    def __init__(self, item: Mapping[str, Any], find: Callable[[int], View]) -> None:
        super().__init__(item)
        object.__setattr__(self, "_find", find)  # a view's own attributes are its keys

    def __call__(self, index: int) -> View:
        return self._find(index)


passes_for(dict, View, _StoredIn, PairedItem)


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
