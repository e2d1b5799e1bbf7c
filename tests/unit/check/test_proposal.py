"""The smallest settings: that they are the least, that they let run what they promise, and that they can be pasted."""

from __future__ import annotations

import shlex
import tomllib

import pytest

from reptarium.pool.check.proposal import _RuleNames, under
from reptarium.pool.check.report.words import settings_text
from reptarium.pool.policy.file import LONGEST_NAME
from reptarium.pool.policy.rules import Subject
from tests.unit.check.exported import code, found, result, workflow


def proposed(*nodes: dict[str, object]) -> dict[str, str]:
    """The variables for these nodes."""
    return result(workflow(*nodes)).proposal.environ


def rules(*values: object) -> list[dict[str, object]]:
    """The rules for these exports."""
    return tomllib.loads(result(*values).proposal.policy).get("rule", [])


def test_nothing_is_needed() -> None:
    """Code that needs nothing gets nothing."""
    everything = result(workflow(code("A", "return []")))
    assert (everything.proposal.environ, everything.proposal.policy, settings_text(everything)) == ({}, "", [])


def test_lists_of_imports() -> None:
    """The lists have what is imported, once, and no more."""
    first = code("A", "import json, urllib.parse\nfrom xml.etree import ElementTree\nimport os.path\nos.path.join('a')")
    second = code("B", "import json\nimport pandas.api.types as t, numpy\nimport email.message, email.utils, email")
    assert proposed(first, second) == {
        "N8N_RUNNERS_STDLIB_ALLOW": "email,json,os.path,urllib.parse,xml.etree",
        "N8N_RUNNERS_EXTERNAL_ALLOW": "numpy,pandas",
        "REPTARIUM_PRELOAD": "pandas.api.types",
    }


def test_more_of_a_parent_than_is_imported() -> None:
    """Where the code uses more of a package than the submodule that it imports, the package is listed."""
    assert proposed(code("A", "import os.path\nos.getenv('A')")) == {"N8N_RUNNERS_STDLIB_ALLOW": "os"}


def test_optional_imports() -> None:
    """What code does without is listed where it is installed, and installed for nobody."""
    source = "try:\n    import {}\nexcept ImportError:\n    x = None"
    everything = result(workflow(code("A", source.format("ujson5x")), code("B", source.format("numpy"))))
    assert everything.proposal.environ == {"N8N_RUNNERS_EXTERNAL_ALLOW": "numpy"}
    assert everything.proposal.requirements == ["numpy"]


def test_requirements() -> None:
    """Distributions are named as they are installed."""
    everything = result(workflow(code("A", "import yaml, PIL.Image, google.cloud.storage, sklearn, some_thing")))
    assert everything.proposal.requirements == ["google-cloud-storage", "Pillow", "PyYAML", "scikit-learn"]
    assert everything.proposal.guesses == ["some-thing"]
    assert (
        "Or, when the image is built",
        'EXTRA_PACKAGES="google-cloud-storage Pillow PyYAML scikit-learn"',
    ) in (settings_text(everything))


def test_nodes_that_never_run_ask_for_nothing() -> None:
    """Neither what no setting lets run nor what is disabled widens the settings."""
    nodes = code("A", "import subprocess, json"), code("B", "import csv", disabled=True), code("C", "import re")
    assert proposed(*nodes) == {"N8N_RUNNERS_STDLIB_ALLOW": "re"}


def test_powers_by_rules() -> None:
    """Powers go to the nodes that need them, by the workflow's id, those that need the same in one rule."""
    wanted = [
        code("Plain", "eval('1')"),
        code("Files", "open('a', 'w')"),
        code("More files", "import tempfile\ntempfile.mkdtemp()"),
        code("Net", "import requests\nrequests.get('https://a.example/x')\nrequests.get('http://b.example:81')"),
        code("All", "import requests\nexec('1')\nopen('/data/x')\nrequests.get('https://a.example')"),
    ]
    assert rules(workflow(*wanted)) == [
        {"name": "Orders", "workflow_id": "W1", "node": "Plain", "language": "python"},
        {"name": "Orders 2", "workflow_id": "W1", "node": ["Files", "More files"], "scratch": "64MiB"},
        {"name": "Orders 3", "workflow_id": "W1", "node": "Net", "connect_allow": ["a.example:443", "b.example:81"]},
        {
            "name": "Orders 4", "workflow_id": "W1", "node": "All", "language": "python", "scratch": "64MiB",
            "connect_allow": ["a.example:443"], "read_paths": ["/data/x"],
        },
    ]  # fmt: skip


def test_rules_of_one_name() -> None:
    """However many workflows have one long name, each rule's name is its own, and none is too long."""
    names = _RuleNames()
    taken = {names.take("n" * 100) for _ in range(10_050)}
    assert len(taken) == 10_050
    assert max(map(len, taken)) <= LONGEST_NAME
    assert [names.take("A"), names.take("A 2"), names.take("A"), names.take("A")] == ["A", "A 2", "A 3", "A 4"]


def test_the_same_as_variables() -> None:
    """What the rules give is told as variables, too."""
    nodes = code("A", "open('a', 'w')"), code("B", "import requests\nrequests.get('https://a.example')")
    assert result(workflow(*nodes)).proposal.everywhere == {
        "REPTARIUM_SCRATCH": "64MiB",
        "REPTARIUM_CONNECT_ALLOW": "a.example:443",
    }


def test_where_to_connect_is_unknown() -> None:
    """For a host that doesn't stand in the code there is a line to fill in, with the library's own port."""
    nodes = code("A", "import requests\nrequests.get(_items)"), code("B", "import redis\nredis.Redis(host=_items)")
    proposal = result(workflow(*nodes)).proposal
    for host in ("HOST:443", "HOST:6379"):
        assert f'# connect_allow = ["{host}"] # where to' in proposal.policy
        assert any(f"name it: REPTARIUM_CONNECT_ALLOW={host}, or" in line for line in proposal.open)


@pytest.mark.parametrize(
    ("source", "example"),
    [
        ("import socket\nsocket.gethostbyname('a.example')", "a.example:PORT"),
        ("import socket\nsocket.socket().connect(_items[0]['json']['where'])", "HOST:PORT"),
        ("from urllib.error import HTTPError", "HOST:PORT"),
    ],
)
def test_ports_that_no_text_tells(source: str, example: str) -> None:
    """Without a port, or without a client at all, there is a line to fill in, too."""
    proposal = result(workflow(code("A", source))).proposal
    assert f'# connect_allow = ["{example}"] # where to' in proposal.policy
    assert len(proposal.open) == 1
    assert f"doesn't stand in the code; name it: REPTARIUM_CONNECT_ALLOW={example}, or" in proposal.open[0]
    closed = {"REPTARIUM_CONNECT_ALLOW": "a.example:1", "N8N_RUNNERS_STDLIB_ALLOW": "*"}
    assert result(workflow(code("A", source)), environ=closed).checked.reports[0].refusals == []


def test_this_machine() -> None:
    """`localhost` is listed by its address."""
    everything = result(workflow(code("A", "import requests\nrequests.get('http://localhost:8080/x')")))
    assert 'connect_allow = ["127.0.0.1:8080"]' in everything.proposal.policy
    assert everything.unproven == []


@pytest.mark.parametrize(
    ("source", "name", "given", "wanted"),
    [
        (
            "x = _helpers.get_binary(0)\ny = _node['A'].all()",
            "REPTARIUM_RPC_ALLOW", "httpRequest", "getBinaryDataBuffer,httpRequest,taskData",
        ),
        (
            "x = _helpers.http_request('https://a.example/x')",
            "REPTARIUM_HTTP_ALLOW", "*.b.example", "*.b.example,a.example",
        ),
        ("return [hash(1), id(2)]", "N8N_RUNNERS_BUILTINS_DENY", "hash,eval", "eval"),
        ("return [hash(1), id(2)]", "N8N_RUNNERS_BUILTINS_DENY", "hash", ""),
    ],
)  # fmt: skip
def test_what_was_closed(source: str, name: str, given: str, wanted: str) -> None:
    """What an administrator has closed and a node needs is proposed with what stays as it was."""
    source = f"{source}\nreturn []"
    everything = result(workflow(code("A", source), code("B", "import math")), environ={name: given})
    assert everything.checked.reports[0].status == "settings"
    assert everything.proposal.environ[name] == wanted
    assert everything.unproven == []
    assert name not in result(workflow(code("B", "import math")), environ={name: given}).proposal.environ


def test_paths_in_lines_to_paste() -> None:
    """A path that the code names is one word of a shell's line, and no line, setting or escape of its own."""
    paths = "/x$(id > y|sh)", "/a b'`c`", "/x\nREPTARIUM_LANGUAGE=python", "/x\x1b[2J", "/x\u202ey", "/c:d"
    everything = result(workflow(code("A", "\n".join(f"open({path!r})" for path in paths))))
    (pasted,) = [text for title, text in settings_text(everything) if title.startswith("Or, instead")]
    scratch, reads = pasted.splitlines()
    assert shlex.split(scratch) == ["REPTARIUM_SCRATCH=64MiB"]
    assert reads == """REPTARIUM_READ_PATHS='/a b'\\''`c`:/x$(id > y|sh)'"""
    assert shlex.split(reads) == [f"REPTARIUM_READ_PATHS={paths[1]}:{paths[0]}"]
    assert everything.proposal.open == [
        f"Orders › A: the path {shown} is none that REPTARIUM_READ_PATHS takes"
        for shown in ("'/c:d'", r"'/x\nREPTARIUM_LANGUAGE=python'", r"'/x\x1b[2J'", r"'/x\u202ey'")
    ]


def test_nodes_of_one_name() -> None:
    """Nodes that no rule can tell apart get what both need."""
    inner = {"nodes": [code("A", "open('a', 'w')")]}
    parameters = {"source": "parameter", "workflowJson": inner}
    sub = {"name": "Sub", "type": "n8n-nodes-base.executeWorkflow", "parameters": parameters}
    (rule,) = rules(workflow(code("A", "eval('1')"), sub))
    assert (rule["node"], rule["language"], rule["scratch"]) == ("A", "python", "64MiB")


def test_workflows_without_an_id() -> None:
    """A workflow whose id wasn't exported is matched by its name, with a word about it."""
    everything = result(workflow(code("A*", "eval('1')"), name="Copy *", id=""))
    assert tomllib.loads(everything.proposal.policy)["rule"] == [
        {"name": "Copy *", "workflow": "Copy ?", "node": "A?", "language": "python"}
    ]
    assert "id wasn't exported" in everything.proposal.policy
    assert everything.unproven == []


def test_more_pools_than_usual() -> None:
    """Rules that take more pools than there may be raise their number."""
    powers = [
        "eval('1')", "open('a', 'w')", "import requests\nrequests.get('https://a.example')", "eval('1')\nopen('a', 'w')"
    ]  # fmt: skip
    assert proposed(*(code(f"{n}", source) for n, source in enumerate(powers)))["REPTARIUM_MAX_POOLS"] == "5"


@pytest.mark.parametrize(
    "source",
    [
        "import os\nos.getenv('A')\nfrom collections.abc import Mapping\nimport xml.etree.ElementTree as E\nE.XML('x')",
        "import pandas as pd\npd.DataFrame().to_csv('x.csv')\neval('1')",
        "import os, sqlite3, shutil\nsqlite3.connect('a.db')\nshutil.rmtree('x')\nos.listdir()",
        "import urllib.request\nurllib.request.urlopen('https://a.example/')",
        "import socket, ssl\nsocket.create_connection(('10.1.2.3', 443))",
        "import http.client\nhttp.client.HTTPSConnection('a.example', 443)",
        "import rich\nfrom rich.table import Table\nTable()",
        "import ctypes, pickle, inspect\ninspect.currentframe()",
        "from __future__ import annotations\nimport logging.handlers, importlib.metadata",
        "import asyncio\nasync def f(): pass\nawait f()",
    ],
)
def test_what_is_promised_holds(source: str) -> None:
    """Judged again under the proposal, nothing is refused any more."""
    everything = result(workflow(code("A", source)))
    assert [one.status for one in everything.checked.reports] == ["settings"]
    assert [[refusal.message for refusal in one.refusals] for one in everything.unproven] == []


def test_hosts_that_no_text_tells() -> None:
    """Where a client connects to what isn't in the code, that is left to people, and said to be, once."""
    everything = result(workflow(code("A", "import requests\nrequests.get(_items[0]['json']['url'])")))
    assert "where requests connects to doesn't stand in the code" in everything.proposal.open[0]
    assert everything.unproven == []


def test_pools_of_threads() -> None:
    """One that is larger than what a task may have needs the limit raised to what the largest of them wants."""
    source = "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor({}) as p: pass"
    nodes = [code(f"N{size}", source.format(size)) for size in ("8", "max_workers=20", "", "12", "size")]
    everything = result(workflow(*nodes), environ={"N8N_RUNNERS_STDLIB_ALLOW": "*"})
    needing = {one.node.name: one.refusals[0].message for one in everything.checked.reports if one.refusals}
    assert needing == {
        "Nmax_workers=20": "a pool of 20 threads is too large",
        "N12": "a pool of 12 threads is too large",
    }
    assert everything.proposal.environ["REPTARIUM_MAX_THREADS"] == "20"
    assert everything.unproven == []


def test_what_is_not_enough() -> None:
    """A host that can't be listed keeps its node from running under what is proposed, which is said."""
    source = "import redis\nr = redis.Redis(host='-a_')\nr.get('x')"
    everything = result(workflow(code("A", source), code("B", "eval('1')")))
    assert [one.node.name for one in everything.unproven] == ["A"]
    assert "-a_ is no name or address that REPTARIUM_CONNECT_ALLOW takes" in everything.proposal.open[0]


def test_paths_below_tmp() -> None:
    """They are a task's own where there is a mount namespace: which nodes have such is said in one line."""
    many = [code(f"N{number}", "open('/tmp/a', 'w').close()") for number in range(6)]
    first, *others = result(workflow(*many, code("B", "open('a', 'w').close()"))).proposal.open
    assert first.startswith("Orders › N0, Orders › N1, Orders › N2, Orders › N3 and 2 more: /tmp is")
    assert others == []


def test_odd_names_can_be_pasted() -> None:
    """Names with quotes, line ends and control characters make a file of rules that reads as they are."""
    odd = 'a"b\\c\n\x1b[31m\x7f\u202e é'
    everything = result(workflow(code(odd, "eval('1')"), name=odd))
    (rule,) = under(everything.proposal).rules
    assert rule.node == (odd,)
    assert everything.unproven == []
    assert everything.proposal.policy.count("\n") == len(everything.proposal.policy.splitlines())
    assert all(line.isprintable() for line in everything.proposal.policy.splitlines())


def test_found_and_proposed_are_of_one_export() -> None:
    """The same workflow exported twice gets its rules once."""
    export = workflow(code("A", "eval('1')"))
    assert len(found(export, export).nodes) == 2
    assert len(rules(export, export)) == 1


def test_long_names_match_by_their_beginning() -> None:
    """A rule for a node whose name was cut matches the name that it has."""
    name = "n" * 5_000
    (rule,) = under(result(workflow(code(name, "eval('1')"))).proposal).rules
    assert rule.matches(Subject("W1", "Orders", name))
    assert not rule.matches(Subject("W1", "Orders", "m" * 5_000))
