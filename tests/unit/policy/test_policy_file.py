"""The file of rules: what it may say, what a task comes under, and how a mistake is told."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reptarium.pool.config import ConfigError, Settings
from reptarium.pool.config.table import BY_RULE, VARIABLES
from reptarium.pool.policy.file import CONDITIONS, PolicyError, parse_policy, read_policy
from reptarium.pool.policy.rules import Policy, Subject
from reptarium.pool.policy.schema import SHIPPED, render, schema
from tests.conftest import make_settings

SETTINGS = make_settings()
MIB = 2**20


def policy(text: str, settings: Settings = SETTINGS) -> Policy:
    """The rules of a text."""
    return parse_policy(text, settings, "policy.toml")


def problems(text: str, settings: Settings = SETTINGS) -> tuple[str, ...]:
    """What is wrong with it."""
    with pytest.raises(PolicyError) as caught:
        policy(text, settings)
    return caught.value.problems


def test_a_rule_is_the_environment_with_changes() -> None:
    """Each value is read as the variable's would be; what a rule doesn't say stays the environment's."""
    (rule,) = policy(
        """
        [[rule]]
        name = "charts"
        workflow_id = "Zk3"
        language = "python"
        scratch = "64MiB"
        connect_allow = ["api.example.com:443", "*.internal:5432"]
        task_timeout = 300
        connect_timeout = 2.5
        max_threads = 4
        rpc_allow = []
        stdlib_allow = ["*"]
        read_paths = ["/srv/a", "/srv/b"]
        """,
        make_settings({"REPTARIUM_TASK_MEMORY": "100MiB"}),
    ).rules
    told = rule.settings
    assert (told.language, told.scratch, told.task_memory) == ("python", 64 * MIB, 100 * MIB)
    assert told.connect_allow == ("api.example.com:443", "*.internal:5432")
    assert (told.task_timeout, told.connect_timeout, told.max_threads) == (300.0, 2.5, 4)
    assert (told.rpc_allow, told.stdlib_allow, told.read_paths) == ((), ("*",), ("/srv/a", "/srv/b"))
    assert set(rule.changes) == set(BY_RULE) & set(rule.changes)


def test_a_rule_can_take_away() -> None:
    """What the environment gives to all."""
    settings = make_settings({"REPTARIUM_SCRATCH": "1MiB", "REPTARIUM_CONNECT_ALLOW": "a.example:1"})
    (rule,) = policy('[[rule]]\nname = "none"\nscratch = "none"\nconnect_allow = []', settings).rules
    assert (rule.settings.scratch, rule.settings.connect_allow) == (None, ())


def test_the_first_match_wins() -> None:
    """All conditions of a rule must hold, one entry of each; nothing matches what isn't known."""
    rules = policy(
        """
        [[rule]]
        name = "both"
        workflow_id = ["1", "2"]
        node = "Draw*"
        [[rule]]
        name = "workflow"
        workflow_id = "2"
        [[rule]]
        name = "names"
        workflow = ["Report *", "Bill"]
        """
    )
    for subject, name in (
        (Subject("1", "x", "Draw it"), "both"),
        (Subject("2", "x", "Draw"), "both"),
        (Subject("2", "Report 1", "Code"), "workflow"),
        (Subject("1", "Report 1", "Code"), "names"),
        (Subject("3", "Bill", None), "names"),
        (Subject("3", "Bills", "Draw"), None),
        (Subject(None, None, "Draw"), None),
    ):
        rule = rules.rule_for(subject)
        assert (None if rule is None else rule.name) == name, subject


def test_no_rules_are_a_policy_too() -> None:
    """An empty file changes nothing."""
    assert policy("").rule_for(Subject("1", "a", "b")) is None


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("task_memory = 64", "task_memory: 64: not a text; expected a size from 16 MiB to 1 TiB"),
        ('task_memory = "lots"', "task_memory: 'lots': not a size; expected a size from 16 MiB"),
        ('task_memory = "1KiB"', "task_memory: '1KiB': out of range; expected a size from 16 MiB"),
        ('task_timeout = "60"', "task_timeout: '60': not a number; expected a number of seconds from 0.01"),
        ("task_timeout = inf", "task_timeout: inf: not a number of seconds; expected"),
        ("task_timeout = true", "task_timeout: True: not a number; expected"),
        ("max_threads = 1.5", "max_threads: 1.5: not a whole number; expected a whole number from 1 to 4096"),
        ("max_threads = true", "max_threads: True: not a whole number; expected"),
        ('language = "ruby"', "language: 'ruby': not one of them; expected restricted | python"),
        ('language = "Python"', "language: 'Python': not one of them; expected restricted | python"),
        ('rpc_allow = "*"', "rpc_allow: '*': not a list of texts; expected a list of texts: names"),
        ("rpc_allow = [1]", "rpc_allow: [1]: not a list of texts; expected"),
        ('rpc_allow = ["a,b"]', "rpc_allow: ['a,b']: an entry is empty, or has a ',' in it; expected"),
        ('connect_allow = ["a"]', "connect_allow: ['a']: 'a' has no port; write host:443"),
        ('read_paths = ["srv"]', "read_paths: ['srv']: 'srv' is not absolute; expected a list of texts: absolute"),
        ('memory = "64MiB"', "memory: there is no such key; did you mean task_memory?"),
        ("zzz = 1", "zzz: there is no such key; expected one of name, workflow_id, workflow, node, "),
        ("workflow = 7", "workflow: 7; expected a text, or a list of texts, none of them empty"),
        ("node = []", "node: []; expected a text, or a list of texts"),
        ('node = ""', "node: ''; expected a text"),
        ('name = "default"', None),
    ],
)
def test_a_mistake_is_told_with_its_place(line: str, told: str | None) -> None:
    """File, line, rule and key, and what is allowed."""
    if told is None:
        assert problems("[[rule]]\n" + line) == (
            'policy.toml:2: rule "default": name: this stands for tasks that no rule matches; expected another',
        )
        return
    text = f'# above\n[[rule]]\nname = "first"\n\n[[rule]]\nname = "second"\n  {line}\n'
    (problem,) = problems(text)
    assert problem.startswith(f'policy.toml:7: rule "second": {told}')


def test_a_name_can_be_seen() -> None:
    """A rule's name stands in log lines: it isn't blank."""
    (problem,) = problems('[[rule]]\nname = "  "\n')
    assert problem.startswith("policy.toml:2: rule 1: name: '  ' is none; expected a printable text")


def test_every_mistake_is_told() -> None:
    """At once, those of several rules and of the whole file."""
    text = "colour = 1\n[[rule]]\nmax_threads = 0\n[[rule]]\nname = 'a'\n[[rule]]\nname = 'a'\nscratch = 'x'\n"
    assert [problem.partition("; ")[0] for problem in problems(text)] == [
        "policy.toml:1: 'colour' is no key of this file",
        "policy.toml:2: rule 1: name: it has none",
        "policy.toml:3: rule 1: max_threads: 0: out of range",
        'policy.toml:7: rule "a": name: another rule has it',
        "policy.toml:8: rule \"a\": scratch: 'x': not a size",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[rule]\n", "policy.toml:1: not TOML: Expected ']]'"),
        ("[rule]\nname = 'a'", "policy.toml:1: rules are written [[rule]], with two brackets each"),
        ("a = 1\n[other]\n", "policy.toml:2: 'other' is no key of this file"),
        ("rule = [\n{name = 'a', max_threads = 0}]", 'policy.toml:2: rule "a": max_threads: 0: out of range'),
        ("rule = [{}, {name = 'a'},\n{\"na\\u006de\" = 'a'}]", 'policy.toml:2: rule "a": name: another rule has it'),
        ("[[rule]]\nname = '''a\n[[rule]]\n'''", "policy.toml:2: rule 1: name: 'a\\n[[rule]]\\n' is none"),
        ("[['rule']]\nname = 'a'\nnode.x = 1", "policy.toml:3: rule \"a\": node: {'x': 1}; expected a text"),
        ("[[rule]]\nname = 'a'\n[rule.'node']\n", 'policy.toml:3: rule "a": node: {}; expected a text'),
        ('[[rule]]\nname = """\n"""', "policy.toml:2: rule 1: name: '' is none"),
    ],
)
def test_the_line_is_known_however_it_is_written(text: str, told: str) -> None:
    """Rules in brackets or in line, keys with quotes or dots, texts of several lines."""
    assert any(problem.startswith(told) for problem in problems(text))


def test_what_contradicts_the_environment_is_refused() -> None:
    """Plain Python needs the kernel layer, whoever asks for it."""
    settings = make_settings({"REPTARIUM_ISOLATION": "best-effort"})
    (problem,) = problems('[[rule]]\nname = "p"\nlanguage = "python"', settings)
    assert problem.startswith("policy.toml:1: rule \"p\": REPTARIUM_LANGUAGE='python': only with REPTARIUM_ISOLATION")


def test_what_is_odd_is_a_warning() -> None:
    """A rule that nothing reaches, one that says nothing, a name that can't be one."""
    found = policy("[[rule]]\nname = 'all'\n[[rule]]\nname = 'b'\nnode = 'x'\nbuiltins_deny = ['opne']").warnings
    assert [warning.partition("; ")[0] for warning in found] == [
        'policy.toml:1: rule "all": it sets nothing: the environment\'s values count',
        "policy.toml:3: rule \"b\": N8N_RUNNERS_BUILTINS_DENY: 'opne' is no built-in name and removes nothing",
        'policy.toml:3: rule "b" is never reached: "all" before it matches every task',
    ]


def test_a_file_that_cannot_be_read_is_a_mistake_in_the_configuration(tmp_path: Path) -> None:
    """It isn't there, or is no text, or has no end, or may never come; a byte order mark is skipped."""
    for name, content in (("gone", None), ("bytes", b"\xff"), ("long", b"#" * (MIB + 1))):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ConfigError, match=re.escape(str(path))):
            read_policy(str(path), SETTINGS)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="pipe: a pipe; expected a file"):
        read_policy(str(tmp_path / "pipe"), SETTINGS)
    (tmp_path / "dos").write_bytes(b"\xef\xbb\xbf[[rule]]\r\nname = 'a'\r\nmax_threads = 3\r\n")
    assert read_policy(str(tmp_path / "dos"), SETTINGS).rules[0].settings.max_threads == 3


def test_keys_are_the_variables() -> None:
    """Without the prefix and in lower case: who knows the one knows the other."""
    prefix = re.compile("^(N8N_RUNNERS|REPTARIUM)_")
    assert list(BY_RULE) == [prefix.sub("", one.name).lower() for one in VARIABLES if one.by_rule]
    assert not set(CONDITIONS) & set(BY_RULE)


# ---- the schema -------------------------------------------------------------------------


def valid(value: Any, rules: Mapping[str, Any]) -> bool:
    """Whether JSON Schema lets the value through, as far as ours goes."""
    types = {"string": str, "integer": int, "number": (int, float), "array": list, "object": dict}
    if "anyOf" in rules:
        return any(valid(value, one) for one in rules["anyOf"])
    if isinstance(value, bool) or not isinstance(value, types[rules["type"]]):
        return False
    if isinstance(value, str):
        length = rules.get("minLength", 0) <= len(value) <= rules.get("maxLength", len(value))
        return length and value in rules.get("enum", [value]) and bool(re.search(rules.get("pattern", ""), value))
    if isinstance(value, list):
        return len(value) >= rules.get("minItems", 0) and all(valid(one, rules["items"]) for one in value)
    if isinstance(value, dict):
        known = rules["properties"]
        return set(rules.get("required", ())) <= set(value) <= set(known) and all(
            valid(one, known[key]) for key, one in value.items()
        )
    return bool(rules.get("minimum", value) <= value <= rules.get("maximum", value))


def test_the_shipped_schema_is_the_table() -> None:
    """`python -m reptarium.pool.policy.schema` prints it anew."""
    assert SHIPPED.read_text() == render()
    assert json.loads(render()) == schema()


VALUES = st.one_of(
    st.integers(-2, 2**40),
    st.floats(allow_nan=True),
    st.booleans(),
    st.sampled_from(["64MiB", "1 gib", "12", "none", "0.5TB", "5i", "64XB", "restricted", "python", "PYTHON", "*", ""]),
    st.lists(st.sampled_from(["a", "json", "a.example:443", "/srv"]), max_size=2),
)


@settings(deadline=None)  # a machine may be busy
@given(st.sampled_from(sorted(BY_RULE)), VALUES)
def test_what_is_accepted_the_schema_accepts(key: str, value: Any) -> None:
    """An editor underlines nothing that is right."""
    document = f"[[rule]]\nname = 'a'\n{key} = {toml(value)}\n"
    try:
        policy(document)
    except PolicyError:
        return
    assert valid({"rule": [{"name": "a", key: value}]}, schema())


@pytest.mark.parametrize("value", [{"rule": [{}]}, {"rule": [{"name": "a", "memory": "1GiB"}]}, {"rules": []}])
def test_the_schema_knows_mistakes(value: Any) -> None:
    """A name that is missing, a key that there isn't."""
    assert not valid(value, schema())
    assert valid({"rule": [{"name": "a", "node": ["b"], "scratch": "none"}]}, schema())


def toml(value: Any) -> str:
    """A value as TOML spells it."""
    if isinstance(value, float):
        return {"inf": "inf", "-inf": "-inf", "nan": "nan"}.get(repr(value), repr(value))
    return json.dumps(value)
