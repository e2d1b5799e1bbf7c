"""Every name that user code has for the running execution, over a scripted workflow."""

from __future__ import annotations

import datetime
import json
import types
from typing import Any

import pytest

from reptarium.sandbox.language import LanguagePolicy, compile_task
from reptarium.sandbox.userspace.calls import HelperError
from reptarium.sandbox.userspace.names import CallNames, mentioned
from reptarium.sandbox.userspace.views import View
from tests.unit.userspace.scripted import Channel, ScriptedN8n, supply, value

EVERYTHING = "_helpers, _node, _input, _json, _workflow, _execution, _vars, _env, _prev_node, _getWorkflowStaticData"


@pytest.fixture
def n8n() -> ScriptedN8n:
    return ScriptedN8n()


# ---- laziness ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("return _items", set()),
        ("for _ in range(3): pass", set()),
        ("_, x = 1, 2\nmatch x:\n    case _: pass", set()),
        ("x = my_node('a'); y = _nodes; z = a_json", set()),
        ("x = '_node'  # _now", set()),
        ("def f():\n    return [lambda: _node('A') for x in 'ab']", {"_node"}),
        ("class A:\n    x = _json", {"_json"}),
        ("_node = _node('A')", {"_node"}),
        ("_('A').all()", {"_"}),
        ("_ ('A'); _node[\n'B']", {"_", "_node"}),
        ("_ℎelpers.x", {"_helpers"}),
        ("try: pass\nexcept HttpRequestError: pass", {"HttpRequestError"}),
        ("return _input.first().json", {"_input"}),
    ],
)
def test_what_is_mentioned(code: str, names: set[str]) -> None:
    """A task gets the names that its code uses, in any letters that Python takes for them."""
    assert mentioned(compile_task(code, LanguagePolicy(("*",)))) == names


def test_no_names_no_supply(n8n: ScriptedN8n) -> None:
    """Code that names nothing of ours costs nothing: there is no supply at all."""
    code = "return [i for i in _items]"
    assert CallNames(Channel(n8n), 1000)(compile_task(code, LanguagePolicy()), []) is None


def test_nothing_is_asked_before_it_is_used(n8n: ScriptedN8n) -> None:
    """Having the names asks nothing; each first use asks once; what was fetched is kept."""
    names = supply(n8n, EVERYTHING)(None)
    assert n8n.asked == []
    names["_input"].first()  # type: ignore[attr-defined]
    assert n8n.asked == []
    node = supply(n8n, "_node")(None)["_node"]
    for _ in range(3):
        node("Split").all()  # type: ignore[operator]
    assert n8n.asked == [
        ("taskData", {"dataOfNodes": ["Split"], "prevNode": False, "input": {"include": False}, "env": False})
    ]


def test_a_comment_is_no_use(n8n: ScriptedN8n) -> None:
    """`_now` in a comment or a string asks nothing."""
    assert set(supply(n8n, "x = '_now', _item_index  # _run_index")(None)) == {"_item_index"}
    assert n8n.asked == []


# ---- input ---------------------------------------------------------------------------


def test_input(n8n: ScriptedN8n) -> None:
    """`_input` shows what came in, as views that are the items themselves."""
    assert value(n8n, "_input.first().json.id") == 20
    assert value(n8n, "_input.last()['json']['id']") == 10
    assert value(n8n, "[i.json.id for i in _input.all()]") == [20, 10]
    assert value(n8n, "_input.first().json.tag.deep[0].x") == 1
    assert value(n8n, "len(_input)") == 2
    assert value(n8n, "_input.params") == {"of": "Merge", "nested": {"a": 1}}
    made = supply(n8n, "_input, _json")(None)
    made["_input"].first().json.id = 21  # type: ignore[attr-defined]
    assert n8n.inputs[0]["json"]["id"] == 21
    assert made["_json"].id == 21  # type: ignore[attr-defined]


def test_current_item(n8n: ScriptedN8n) -> None:
    """`_json`, `_binary`, `_item_index`, `_input.item` are the current item's, or the first's."""
    n8n.inputs[1]["binary"] = {"data": {"fileName": "f"}}
    for name, all_at_once, second in (
        ("_json.id", 20, 10),
        ("_input.item.json.id", 20, 10),
        ("_binary", None, {"data": {"fileName": "f"}}),
        ("_item_index", 0, 1),
        ("_itemIndex", 0, 1),
    ):
        assert value(n8n, name) == all_at_once
        assert value(n8n, name, 1) == second


def test_no_input(n8n: ScriptedN8n) -> None:
    """Without items there is an error that says so, and `_json` is None."""
    n8n.inputs = []
    assert value(n8n, "_json") is None
    for expression in ("_input.first()", "_input.last()", "_input.item"):
        with pytest.raises(HelperError, match="got no items"):
            value(n8n, expression)


# ---- other nodes ---------------------------------------------------------------------


def test_node(n8n: ScriptedN8n) -> None:
    """`_node("Name")`, `_("Name")` and `_node["Name"]` give a node's items by output and run."""
    assert value(n8n, '_node("Split").all()') == [
        {"json": {"n": 1}, "pairedItem": {"item": 0}},
        {"json": {"n": 2}, "pairedItem": {"item": 0}},
    ]
    assert value(n8n, '_("Split").first().json.n') == 1
    assert value(n8n, '_node["Split"].last().json.n') == 2
    assert value(n8n, '_node("Lookup").first(output=1).json.other') == 1
    assert value(n8n, '_node("Fields").first(run=0).json.first') == "run"
    assert value(n8n, '_node("Fields").last(0, -1).json.f') == "a"
    assert value(n8n, '_node("Split").json.n') == 1
    assert value(n8n, '_node("Split").json.n', 1) == 2
    assert value(n8n, '_node("Split").binary') is None
    assert value(n8n, '_node("Unrun").params.nested.a') == 1
    assert value(n8n, '_node("Unrun").parameter.of') == "Unrun"
    assert value(n8n, '[_node(n).is_executed for n in ("Split", "Unrun")]') == [True, False]
    assert value(n8n, '_node("Split").isExecuted') is True
    assert value(n8n, '_node("Split").name') == "Split"


def links(*outputs: list[str] | None, entry: int = 0) -> dict[str, Any]:
    """A node's connections: by output, to which nodes."""
    main = [out and [{"node": name, "type": "main", "index": entry} for name in out] for out in outputs]
    return {"main": main}


@pytest.mark.parametrize(
    ("connections", "output"),
    [
        ({}, 0),
        ({"Lookup": links(["Python"], [])}, 0),
        ({"Lookup": links([], ["Python"])}, 1),
        ({"Lookup": links(None, ["Merge"]), "Merge": links(["Python"])}, 1),
        ({"Lookup": links(["Fields"], ["Python"]), "Fields": links(["Python"])}, 1),
        ({"Lookup": links(["Python"], ["Python"])}, 0),
        ({"Fields": links(["Python"], entry=1), "Merge": links(["Python"]), "Lookup": links(["Fields"], ["Merge"])}, 1),
        ({"Lookup": links([], ["Fields"]), "Fields": links(["Fields", "Python"])}, 1),
        ({"Lookup": {"ai_tool": [[], [{"node": "Python", "type": "ai_tool", "index": 0}]]}}, 0),
        ({"Lookup": {"main": None}}, 0),
    ],
)
def test_the_output_that_leads_here(n8n: ScriptedN8n, connections: dict[str, Any], output: int) -> None:
    """Where no output is named, a node gives the one that leads here the nearest way, as n8n's JavaScript does."""
    n8n.connections = connections
    expected = [{"looked": "up"}, {"other": 1}][output]
    for call in (".all()[0]", ".first()", ".last()", ".all(run=0)[0]", ""):
        assert value(n8n, f'_node("Lookup"){call}.json') == expected, call
    assert value(n8n, '_node("Lookup").first(0).json.looked') == "up"


def test_connections_of_another_shape(n8n: ScriptedN8n) -> None:
    """Connections that can't be read fail what needs them, and nothing else."""
    n8n.connections = {"Lookup": {"main": "x"}}
    with pytest.raises(HelperError, match="connections of an unexpected shape"):
        value(n8n, '_node("Lookup").all()')
    assert value(n8n, '_node("Lookup").first(1).json.other') == 1


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ('_node("Nope").all()', "no node 'Nope' in this workflow; its nodes are: 'Webhook', 'Split'"),
        ('_node("Nope").is_executed', "no node 'Nope'"),
        ('_node("Nope").params', "no node 'Nope'"),
        ('_node("Unrun").first()', "has not run in this execution"),
        ('_node("Split").all(output=3)', r"1 output\(s\); there is no output 3"),
        ('_node("Split").all(output=-1)', "no output -1"),
        ('_node("Split").all(run=5)', "there is no run 5"),
        ('_node("Split").json', "put out 2 item"),
    ],
)
def test_node_errors(n8n: ScriptedN8n, expression: str, text: str) -> None:
    """What isn't there is an error that says what there is."""
    with pytest.raises(HelperError, match=text):
        value(n8n, expression, 2 if expression.endswith(".json") else None)


def test_node_name_must_be_text(n8n: ScriptedN8n) -> None:
    """A node is asked for by its name."""
    with pytest.raises(TypeError, match="a node's name is a string, not int"):
        value(n8n, "_node(3)")


def test_empty_output(n8n: ScriptedN8n) -> None:
    """A node that put nothing out, in any of n8n's spellings, has no items."""
    for main in ([[]], [None], []):
        n8n.runs["Split"][0]["data"]["main"] = main
        assert value(n8n, '_node("Split").all()') == []
        with pytest.raises(HelperError, match="put out no items"):
            value(n8n, '_node("Split").first()')
    n8n.runs["Split"][0].pop("data")
    assert value(n8n, '_node("Split").all()') == []


# ---- where we are --------------------------------------------------------------------


def test_workflow_and_execution(n8n: ScriptedN8n) -> None:
    """Ids, names, mode, run and previous node, in both spellings."""
    assert value(n8n, "(_workflow.id, _workflow.name, _workflow.active)") == ("w1", "Orders", True)
    assert value(n8n, "(_execution.id, _execution.mode)") == ("77", "production")
    n8n.mode = "manual"
    assert value(n8n, "_execution.mode") == "test"
    assert value(n8n, "(_run_index, _runIndex)") == (3, 3)
    assert value(n8n, "(_prev_node.name, _prev_node.output_index, _prev_node.run_index)") == ("Merge", 0, 0)
    assert value(n8n, "(_prevNode.name, _prevNode.outputIndex, _prevNode.runIndex)") == ("Merge", 0, 0)


def test_variables_and_environment(n8n: ScriptedN8n) -> None:
    """`_vars` and `_env` read by attribute or subscript; what is missing says so."""
    assert value(n8n, "_vars.region + _vars['region']") == "eueu"
    assert value(n8n, "dict(_vars)") == {"region": "eu", "limits": {"max": 5}}
    assert value(n8n, "_env.COLOUR") == "blue"
    assert value(n8n, "_env.get('NOPE', 'x')") == "x"
    with pytest.raises(KeyError, match="N8N_BLOCK_ENV_ACCESS_IN_NODE"):
        value(n8n, "_env['NOPE']")
    with pytest.raises(AttributeError, match="no variable 'nope'"):
        value(n8n, "_vars.nope")


def test_now_and_today(n8n: ScriptedN8n, monkeypatch: pytest.MonkeyPatch) -> None:
    """Aware datetimes in the workflow's time zone, else the runner's, else UTC."""
    hours = datetime.timedelta(hours=1)
    now = value(n8n, "_now")
    assert now.utcoffset() == 9 * hours
    assert abs(now - datetime.datetime.now(datetime.UTC)) < datetime.timedelta(minutes=5)
    today = value(n8n, "_today")
    assert (today.hour, today.minute, today.second, today.microsecond) == (0, 0, 0, 0)
    assert today.utcoffset() == 9 * hours
    monkeypatch.setenv("TZ", "Asia/Dubai")
    for zone in (None, "DEFAULT"):
        n8n.timezone = zone
        assert value(n8n, "_now").utcoffset() == 4 * hours
    n8n.timezone = "../../etc/passwd"
    assert value(n8n, "_now").utcoffset() == 0 * hours


def test_deadline(n8n: ScriptedN8n) -> None:
    """`_execution.deadline` is when n8n ends the execution, in the workflow's time zone; None where it never does."""
    assert value(n8n, "_execution.deadline") is None
    n8n.deadline = 1_700_000_000_250
    deadline = value(n8n, "_execution.deadline")
    assert deadline.isoformat() == "2023-11-15T07:13:20.250000+09:00"
    assert value(n8n, "(_execution.deadline - _now).total_seconds()") < 0
    for odd in (0, -1, "soon", True, [], 10**40, 1e300, -(10**17)):
        n8n.deadline = odd
        assert value(n8n, "_execution.deadline") is None


def test_jmespath(n8n: ScriptedN8n, monkeypatch: pytest.MonkeyPatch) -> None:
    """`_jmespath` is the library's search, with data first; without the library it says what is missing."""
    import sys
    import types

    library = types.ModuleType("jmespath")
    library.search = lambda expression, data: data[expression]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "jmespath", library)
    assert value(n8n, "_jmespath({'a': 5}, 'a')") == 5
    monkeypatch.setitem(sys.modules, "jmespath", None)
    with pytest.raises(ImportError, match="not installed beside the runner"):
        value(n8n, "_jmespath({}, 'a')")


# ---- what is saved -------------------------------------------------------------------


def saved(n8n: ScriptedN8n, code: str) -> tuple[object, object]:
    """(custom data, static data) that the code leaves to be saved; None where nothing is."""
    made = supply(n8n, code)
    exec(code, dict(made(None)))  # noqa: S102 (our own test's text)
    custom, static = made.outcome()
    return json.loads(custom) if custom else None, json.loads(static) if static else None


def test_static_data(n8n: ScriptedN8n) -> None:
    """Static data is saved when it has changed, as a whole, and only then."""
    assert saved(n8n, "_workflow.static_data.count") == (None, None)
    assert saved(n8n, "_workflow.static_data.count += 1")[1] == {"global": {"count": 2}}
    n8n.static = {"global": {"count": 1}, "node:Other": {"x": 1}}
    assert saved(n8n, "_workflow.static_data['seen'] = [1, {'a': 2}]")[1] == {
        "global": {"count": 1, "seen": [1, {"a": 2}]},
        "node:Other": {"x": 1},
    }
    n8n.static = {}
    assert saved(n8n, "_workflow.static_data.get('x')") == (None, None)
    assert saved(n8n, "_workflow.node_static_data.last = 5")[1] == {"node:Python": {"last": 5}}
    assert saved(n8n, "_workflow.static_data = {'a': 1}")[1] == {"global": {"a": 1}}
    n8n.static = {"global": {"a": 1}}
    assert saved(n8n, "_workflow.static_data.clear()")[1] == {"global": {}}
    assert saved(n8n, "d = _getWorkflowStaticData('global'); d['b'] = 1")[1] == {"global": {"a": 1, "b": 1}}
    with pytest.raises(TypeError, match="static data is a dict, not list"):
        saved(n8n, "_workflow.static_data = []")


def test_custom_data(n8n: ScriptedN8n) -> None:
    """Custom data is read with what earlier nodes set, and saved together with it when it was set."""
    assert saved(n8n, "assert _execution.custom_data.get('earlier') == 'yes'") == (None, None)
    assert saved(n8n, "assert _execution.customData.getAll() == {'earlier': 'yes'}") == (None, None)
    code = "c = _execution.custom_data\nc.set('order', 17)\nc.set_all({'ok': True, 'who': 'Ada'})\n"
    assert saved(n8n, code + "assert c.get('order') == '17'")[0] == {
        "earlier": "yes",
        "order": "17",
        "ok": "true",
        "who": "Ada",
    }


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ("set('', 'x')", "letters, digits"),
        ("set('a b', 'x')", "letters, digits"),
        ("set(5, 'x')", "letters, digits"),
        ("set('ü', 'x')", "letters, digits"),
        ("set('a' * 51, 'x')", "at most 50 characters"),
        ("set('a', 'x' * 513)", "at most 512 characters, not 513"),
        ("set('a', None)", "text or a number, not NoneType"),
        ("set_all({f'k{n}': n for n in range(10)})", "at most 10 entries"),
    ],
)
def test_custom_data_limits(n8n: ScriptedN8n, call: str, text: str) -> None:
    """What n8n would cut or drop is an error here."""
    with pytest.raises(ValueError, match=text):
        value(n8n, f"_execution.custom_data.{call}")


# ---- answers that aren't what they should be -------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [b"null", b"[]", b'"x"', b"{}", b'{"workflow": 5}', b'{"workflow": {"nodes": {"a": 1}}}', b"{",
     b"[" * 50_000,
     b'{"workflow":{},"runExecutionData":{"resultData":{"runData":{"Split":5}}}}',
     b'{"workflow":{},"runExecutionData":{"resultData":{"runData":{"Split":[{"data":{"main":[[5]]}}]}}}}'],
)  # fmt: skip
def test_wrong_shapes(answer: bytes) -> None:
    """Task data of any other shape is an error that says so."""

    class Hostile:
        def call(self, name: str, params: bytes, via: str = "rpc") -> tuple[bool, bytes]:
            return True, answer

    code = '_node("Split").all()'
    made = CallNames(Hostile(), 1000)(compile(code, "", "exec"), [])
    assert made is not None
    with pytest.raises(HelperError, match="unexpected shape"):
        eval(code, dict(made(None)))  # noqa: S307


def test_nothing_private_is_within_reach(n8n: ScriptedN8n) -> None:
    """No attribute that user code may read leads to the channel or to the task's own bookkeeping."""
    names = supply(n8n, EVERYTHING)(None)
    seen: set[int] = set()
    todo: list[object] = [*names.values(), names["_node"]("Split")]  # type: ignore[operator]
    while todo:
        one = todo.pop()
        if id(one) in seen or isinstance(one, type | View | str | int):
            continue
        seen.add(id(one))
        module = type(one).__module__
        assert type(one).__name__ not in ("Channel", "TaskData", "Saved", "Cursor", "Supply", "CallNames"), one
        for name in dir(one):
            if name[:2] != "__" and (module.startswith("reptarium.sandbox") or callable(one)):
                try:
                    todo.append(getattr(one, name))
                except (HelperError, AttributeError):
                    continue
    assert len(seen) > 30


# ---- what is behind the names ----------------------------------------------------------


def test_attributes_lead_to_no_object_of_ours(n8n: ScriptedN8n) -> None:
    """What the objects keep in attributes are functions, not methods, which would carry what they belong to."""
    names = supply(n8n, EVERYTHING)(None)
    objects = [*names.values(), names["_execution"].custom_data, names["_node"]("Split")]  # type: ignore[attr-defined, operator]
    kept = [
        getattr(one, slot)
        for one in objects
        for slot in getattr(type(one), "__slots__", ())
        if slot.startswith("_") and hasattr(one, slot)
    ]
    assert len(kept) > 10
    assert [one for one in kept if isinstance(one, types.MethodType)] == []


def test_attributes_do_no_more_than_methods(n8n: ScriptedN8n) -> None:
    """The functions behind static and custom data check what the methods check, and know no other node's data."""
    names = supply(n8n, "_workflow, _execution")(None)
    workflow, custom = names["_workflow"], names["_execution"].custom_data  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="letters, digits"):
        custom._set("no key!", "x")
    with pytest.raises(TypeError, match="static data is a dict"):
        workflow._replace(False, [1])  # type: ignore[attr-defined]
    workflow._replace("node:Merge", {"mine": 1})  # type: ignore[attr-defined]
    assert workflow.node_static_data == {"mine": 1}  # type: ignore[attr-defined]
