"""Views: dicts whose keys are attributes too."""

from __future__ import annotations

import copy
import json

import pytest

from reptarium.sandbox.userspace.views import LazyView, PairedItem, Unpaired, View


def test_keys_are_attributes() -> None:
    """Fields are read by attribute or subscript, at any depth, through lists as well."""
    view = View({"json": {"name": "Ada", "tags": [{"t": 1}, 2]}})
    assert view.json.name == view["json"]["name"] == "Ada"
    assert view.json.tags[0].t == 1
    assert view["json"].get("tags")[0].t == 1
    assert view.get("nope", 5) == 5


def test_a_view_is_the_item() -> None:
    """What is assigned through a view, however deep, is in the item that is returned."""
    view = View({"json": {"address": {"city": "Rome"}}})
    view.json.address.city = "Oslo"
    view.json.rows = [{"a": 1}]
    view.json.rows[0].a += 1
    del view.json.rows[0].a
    assert json.loads(json.dumps(view)) == {"json": {"address": {"city": "Oslo"}, "rows": [{}]}}


def test_methods_win_over_keys() -> None:
    """A field called like a method of dict is read by subscript."""
    view = View({"items": 3, "keys": 4})
    assert view["items"] == 3
    assert list(view.keys()) == ["items", "keys"]


def test_missing_field_names_the_others() -> None:
    """A misspelt field raises AttributeError that lists what there is; `in`, `hasattr` and `del` behave."""
    view = View({"name": 1})
    with pytest.raises(AttributeError, match="no field 'nme' here; the fields are: name"):
        view.nme  # noqa: B018
    with pytest.raises(AttributeError):
        del view.nme
    assert not hasattr(view, "x")


def test_copies() -> None:
    """Views survive copy, deepcopy, merging and comparison as the dicts that they are."""
    view = View({"a": {"b": 1}})
    assert copy.deepcopy(view) == view == {"a": {"b": 1}} == dict(view)
    assert type(view.copy()) is View
    assert view | {"c": 1} == {"a": {"b": 1}, "c": 1}


def test_paired_item_can_be_called() -> None:
    """`.item` is an item; called, it is the item for another index."""
    paired = PairedItem({"json": {"n": 1}}, lambda index: View({"json": {"n": index}}))
    assert paired.json.n == 1
    assert paired(7).json.n == 7
    assert json.dumps(paired) == '{"json": {"n": 1}}'


def test_unpaired_raises_when_used() -> None:
    """An item that cannot be found raises its reason at the first use, and can still be called."""
    missing = Unpaired(LookupError("no way back"), lambda index: View({"n": index}))
    assert missing(3).n == 3
    uses = (
        lambda: missing.json,
        lambda: missing["json"],
        lambda: bool(missing),
        lambda: list(missing),
        lambda: str(missing),
    )
    for use in uses:
        with pytest.raises(LookupError, match="no way back"):
            use()


def test_lazy_view_asks_when_used() -> None:
    """The values of a lazy view are fetched at the first use."""
    asked = []
    lazy = LazyView(lambda: asked.append(1) or {"a": 1}, "there is no '{}'")
    assert not asked
    assert lazy.a == lazy["a"] == 1
    assert dict(lazy) == {"a": 1}
    assert len(lazy) == 1
    with pytest.raises(KeyError, match="there is no 'b'"):
        lazy["b"]
    with pytest.raises(AttributeError, match="there is no 'b'"):
        lazy.b  # noqa: B018
    assert lazy.get("b") is None
