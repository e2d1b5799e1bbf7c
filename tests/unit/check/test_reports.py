"""What is said of a node: whether it runs, what stands in its way, what it does, what will be different."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.unit.check.exported import code, only, reports, tool, workflow

ALL = {"N8N_RUNNERS_STDLIB_ALLOW": "*", "N8N_RUNNERS_EXTERNAL_ALLOW": "*"}


def said(source: str, **environ: str) -> list[tuple[int, str, str | None]]:
    """Line, construct and setting of each refusal under open lists and an environment."""
    refusals = only(source, {**ALL, **environ}).refusals
    return [(one.line, one.message, one.setting) for one in refusals if one.kind != "install"]


def test_runs() -> None:
    """A node that nothing is refused of runs."""
    one = only("import json\nreturn [{'json': {'n': len(_items)}}]", ALL)
    assert (one.status, one.refusals) == ("runs", [])


@pytest.mark.parametrize(
    ("source", "setting", "kind"),
    [
        ("import json", "N8N_RUNNERS_STDLIB_ALLOW", "imports"),
        ("import numpy", "N8N_RUNNERS_EXTERNAL_ALLOW", "imports"),
        ("x = 1\nopen('a.txt', 'w')", "REPTARIUM_SCRATCH", "files"),
        ("import os\nos.listdir('.')", "REPTARIUM_SCRATCH", "files"),
        ("from os import makedirs", "REPTARIUM_SCRATCH", "files"),
        ("import pandas as pd\npd.DataFrame().to_csv('x.csv')", "REPTARIUM_SCRATCH", "files"),
        ("import smtplib", "REPTARIUM_CONNECT_ALLOW", "connections"),
        ("import requests\nrequests.get(_query)", "REPTARIUM_CONNECT_ALLOW", "connections"),
        (
            "from httpx import AsyncClient\nasync with AsyncClient() as c: await c.get(_query)",
            "REPTARIUM_CONNECT_ALLOW",
            "connections",
        ),
        ("eval('1')", "REPTARIUM_LANGUAGE", "language"),
        ("().__class__.__mro__", "REPTARIUM_LANGUAGE", "language"),
        ("import ctypes", "REPTARIUM_LANGUAGE", "language"),
        ("import sys\nsys.modules", "REPTARIUM_LANGUAGE", "language"),
        ("import yaml\nyaml.unsafe_load('x')", "REPTARIUM_LANGUAGE", "language"),
        ("import subprocess", None, "never"),
        ("import os\nos.system('ls')", None, "never"),
        ("def f(:", None, "syntax"),
        ("return '\0'", None, "syntax"),
    ],
)
def test_what_decides(source: str, setting: str | None, kind: str) -> None:
    """Each refusal names the setting that decides it, where there is one."""
    one = only(source)
    assert (setting, kind) in [(refusal.setting, refusal.kind) for refusal in one.refusals]
    assert one.status == ("never" if setting is None else "settings")


def test_every_line() -> None:
    """All that is refused is listed, in the order of its lines."""
    assert said("import socket\neval('1')\nimport os\nos.fork()") == [
        (1, "import of 'socket' is not allowed", "REPTARIUM_CONNECT_ALLOW"),
        (2, "'eval' is not allowed", "REPTARIUM_LANGUAGE"),
        (4, "'os.fork' isn't there", None),
    ]


def test_removed_builtins() -> None:
    """What N8N_RUNNERS_BUILTINS_DENY removes is that variable's."""
    assert said("return [hash(1)]", N8N_RUNNERS_BUILTINS_DENY="hash") == [
        (1, "'hash' is not allowed", "N8N_RUNNERS_BUILTINS_DENY")
    ]


def test_under_powers() -> None:
    """What a power opens is refused no longer; what the kernel layer holds in plain Python is."""
    files = "import os, tempfile\nopen('a', 'w')\nos.listdir()\ntempfile.mkdtemp()"
    assert said(files, REPTARIUM_SCRATCH="16MiB") == []
    assert said("import socket\nsocket.create_connection(('a.example', 443))", REPTARIUM_CONNECT_ALLOW="*:443") == []
    plain = {"REPTARIUM_LANGUAGE": "python"}
    assert said("eval('1')\nimport ctypes\n().__class__.__mro__", **plain) == []
    assert said("open('a', 'w')", **plain)[0][2] == "REPTARIUM_SCRATCH"
    assert said("import subprocess", **plain) == [(1, "import of 'subprocess' is not allowed", None)]
    assert said("import requests\nrequests.get('x')", **plain)[0][2] == "REPTARIUM_CONNECT_ALLOW"


def test_parts_of_the_standard_library_in_plain_python() -> None:
    """There a part is there when something has imported it, which ``from … import …`` does too."""
    plain = {"REPTARIUM_LANGUAGE": "python"}
    assert said("from importlib import metadata\nimport importlib\nimportlib.metadata.version('a')", **plain) == []
    assert said("from unittest import mock\nmock.Mock()", **plain) == []
    assert said("import unittest\nunittest.mock.Mock()", **plain) == [(2, "'unittest.mock' isn't there", None)]


def test_connections_to_what_is_not_listed() -> None:
    """A host that stands in the code is judged against the list, by its name, its address and its port."""
    source = "import requests\nrequests.get('https://{}/x')"
    listed = {"REPTARIUM_CONNECT_ALLOW": "*.example.com:443,10.0.0.0/8:8443"}
    assert said(source.format("api.example.com"), **listed) == []
    assert said(source.format("10.1.2.3:8443"), **listed) == []
    wanted = (2, "a connection to other.example:443 is not allowed", "REPTARIUM_CONNECT_ALLOW")
    assert said(source.format("other.example"), **listed) == [wanted]
    assert said(source.format("api.example.com:8080"), **listed)[0][1].endswith("api.example.com:8080 is not allowed")


def test_calls_to_n8n() -> None:
    """Calls that the supervisor would refuse are refused, and hosts that n8n may not be asked for."""
    source = "x = _helpers.http_request('https://a.example/x')\ny = _helpers.get_binary(0)\nz = _node['A'].all()"
    one = only(source, ALL)
    assert one.calls == {"httpRequest": 1, "getBinaryDataBuffer": 2, "taskData": 3}
    assert [(host.host, host.port) for host in one.http_hosts] == [("a.example", 443)]
    assert said(source, REPTARIUM_RPC_ALLOW="httpRequest") == [
        (2, "the call getBinaryDataBuffer is not allowed", "REPTARIUM_RPC_ALLOW"),
        (3, "the call taskData is not allowed", "REPTARIUM_RPC_ALLOW"),
    ]
    assert said(source, REPTARIUM_HTTP_ALLOW="*.example") == []
    assert said(source, REPTARIUM_HTTP_ALLOW="b.example") == [
        (1, "a request to a.example is not allowed", "REPTARIUM_HTTP_ALLOW")
    ]


def test_imports() -> None:
    """Imports are told with what provides them, whether that is installed, and whether the code does without."""
    one = only("import json, bs4.element, cv2\ntry:\n    import ujson5x\nexcept ImportError:\n    pass", ALL)
    told = {got.module: (got.standard, got.optional, got.distribution, got.installed) for got in one.imports}
    assert told == {
        "json": (True, False, "", True),
        "bs4.element": (False, False, "beautifulsoup4", True),
        "cv2": (False, False, "opencv-python-headless", False),
        "ujson5x": (False, True, "ujson5x", False),
    }
    assert [(refusal.message, refusal.kind) for refusal in one.refusals] == [("'cv2' is not installed", "install")]
    assert one.status == "settings"


def test_old_names() -> None:
    """Names of the old Pyodide node are told with whether they work, and what there is instead."""
    one = only("for i in _input.all():\n    _getNodeParameter('x')\nfrom js import Object", ALL, language="python")
    assert [(name.name, bool(name.instead)) for name in one.old_names] == [
        ("_input", False),
        ("_getNodeParameter", True),
    ]
    assert [refusal.message for refusal in one.refusals] == [
        "the name '_getNodeParameter' isn't there",
        "'js' isn't there",
    ]
    assert one.status == "never"


def test_own_names_are_not_old_ones() -> None:
    """A name that the code binds itself is its own."""
    one = only("_mode = 1\ndef _max(x): return x\nreturn [_max(_mode)]", ALL)
    assert (one.status, one.old_names) == ("runs", [])


@pytest.mark.parametrize(
    ("source", "hosts"),
    [
        ("import requests as r\nr.get('https://user:pw@api.example.com/x?y=1')", [("api.example.com", 443)]),
        ("import requests\nu = f'http://a.example:8080/{_item}'\nrequests.get(u)", [("a.example", 8080)]),
        ("import requests\nrequests.get(f'https://{h}.example.com/x')", []),
        ("import requests\nrequests.get(f'https://api{n}.example.com/x')", []),
        ("import psycopg2\npsycopg2.connect(host='db', dbname='x')", [("db", 5432)]),
        ("import psycopg\npsycopg.connect('postgresql://u:p@db.internal/x')", [("db.internal", 5432)]),
        ("import redis\nredis.Redis('cache.internal', 6380)", [("cache.internal", 6380)]),
        ("import smtplib\nsmtplib.SMTP_SSL('mail.example.com')", [("mail.example.com", 465)]),
        ("import paramiko\nc = paramiko.SSHClient()\nc.connect('10.0.0.7', username='x')", [("10.0.0.7", 22)]),
        ("import socket\nsocket.create_connection(('a.example', 7))", [("a.example", 7)]),
        ("import requests\n'''see https://docs.example.com/'''\nrequests.get(u)", []),
        ("import requests\nns = 'http://www.w3.org/1999/xhtml'\nrequests.get(u)", []),
        ("import requests\nrequests.get('http://[2001:db8::1]:8080/')", [("2001:db8::1", 8080)]),
        (
            "import requests, paramiko\nrequests.get(u)\nc = paramiko.SSHClient()\nc.connect('a.example')",
            [("a.example", 22)],
        ),
        ("import stripe\nstripe.Client('live.secret')", []),
        ("import slack_sdk\nslack_sdk.WebClient('xoxb.secret')", []),
        ("import redis\nredis.Redis('eyJhbGciOi.eyJzdWIi.x9_y')", []),
        (f"import redis\nredis.Redis(host='{'k' * 64}')", []),
    ],
)
def test_hosts(source: str, hosts: list[tuple[str, int]]) -> None:
    """Hosts that stand in the code are told with their ports; those that are put together aren't guessed."""
    one = only(source)
    assert [(host.host, host.port) for host in one.hosts] == hosts
    assert one.unknown_hosts == (not hosts)


def test_texts_of_code_without_clients_are_no_connections() -> None:
    """An address in code that connects to nothing is a text."""
    one = only("return [{'json': {'link': 'https://a.example/'}}]", ALL)
    assert (one.hosts, one.http_hosts, one.status) == ([], [], "runs")


def test_files() -> None:
    """Files are told with their names and whether they are written."""
    source = (
        "import pandas as pd\nopen('/data/in.csv')\nopen('o', mode='a')\npd.read_excel('t.xlsx')\ndf.to_json('j.json')"
    )
    one = only(source)
    assert [(file.path, file.writes) for file in one.files] == [
        ("/data/in.csv", False),
        ("o", True),
        ("t.xlsx", False),
        ("j.json", True),
    ]
    assert said("open('/data/in.csv')", REPTARIUM_SCRATCH="1MiB") == [
        (1, "the file '/data/in.csv' can't be read", "REPTARIUM_READ_PATHS")
    ]
    assert said("open('/data/in.csv')", REPTARIUM_SCRATCH="1MiB", REPTARIUM_READ_PATHS="/data") == []
    assert only("open('/data/o.csv', 'w')").status == "never"


def test_names_within_what_is_withheld() -> None:
    """What a module lacks is told whatever of it is used, and of loaders of templates, too."""
    assert said("import sys\nsys.path.append('/data')\nsys.path.insert(0, '.')") == [
        (2, "'sys.path' isn't there", "REPTARIUM_LANGUAGE")
    ]
    assert said("from jinja2 import FileSystemLoader", N8N_RUNNERS_EXTERNAL_ALLOW="jinja2") == [
        (1, "'jinja2.FileSystemLoader' isn't there", "REPTARIUM_LANGUAGE")
    ]


def test_refused_imports_that_are_expected_to_fail() -> None:
    """Plain Python refuses them while the code runs, which goes on without them."""
    one = only("try:\n    import subprocess\nexcept ImportError:\n    subprocess = None")
    assert (one.status, one.needs.language) == ("settings", "python")


def test_texts_that_are_no_files() -> None:
    """What a method of a writer's name is given is told where it is meant for a path; what writes for sure, writes."""
    source = "store.save('Bearer abc')\nx.to_json('k3y')\nfig.write_image('s3cr')\ny.save('out/a')\nz.save('a b.png')"
    assert [file.path for file in only(source).files] == ["out/a", "a b.png"]
    assert [(file.path, file.writes) for file in only("df.to_csv('s3cr')").files] == [("", True)]
    assert [file.path for file in only(r"open('/a\ud800b')").files] == ["/a?b"]


def test_async_and_prints() -> None:
    """Asynchronous code and prints are told."""
    one = only("import asyncio\nawait asyncio.sleep(0)\nprint(1)\nprint(2)", ALL)
    assert (one.asynchronous, one.prints, one.status) == (2, 2, "runs")


@pytest.mark.parametrize(
    ("source", "row", "gain"),
    [
        ("import datetime\nreturn [datetime.datetime.now()]", "dates", False),
        ("return [{'json': {'x': {1, 2}}}]", "sets", False),
        ("import subprocess", "modules-processes", False),
        ("x = input()", "code-from-text", False),
        ("class A:\n    def __getattr__(self, name): pass", "getattr-hooks", False),
        ("class A: pass", "classes", True),
        ("return _helpers.http_request('x')", "names", True),
        ("await x()", "await", True),
        ("import requests\nrequests.get('x')", "network", False),
    ],
)
def test_differences(source: str, row: str, gain: bool) -> None:
    """What will be different from n8n's own runner is told by the rows of docs/differences.toml."""
    warned = {one.id: one for one in only(source).warnings}
    assert warned[row].gain is gain
    assert "{names}" not in warned[row].what + warned[row].ours


def test_ordinary_code_is_not_warned_of() -> None:
    """Of code that behaves the same nothing is said."""
    assert only("import json\nrows = [i['json'] for i in _items]\nreturn [{'json': {'n': len(rows)}}]").warnings == []


def test_expressions_for_code() -> None:
    """Code that is an expression of n8n's can't be judged, and that alone is what is said."""
    assert [one.message for one in only("={{ $json.code }}").refusals] == ["the code is an expression of n8n's"]


@pytest.mark.parametrize(
    ("source", "each", "why"),
    [
        ("return 3", False, "the code returns a number (3)"),
        ("x = 1\nif x:\n    return 'a'\nreturn True", False, "the code returns a text"),
        ("return [1, 2]", False, "the list that the code returns has a number (1) in it, at index 0"),
        ("import json\nreturn json.dumps(_items)", False, "the code returns a text"),
        ("return f'{_items}'", False, "the code returns a text"),
        ("return len(_items)", False, "the code returns a number (0)"),
        ("def str(x): return x\nreturn str(_items)", False, None),
        ("return [{'json': [1]}]", False, "'json' of the item at index 0 is a list; it must be a dict"),
        ("return [_items[0], 'a']", False, "the list that the code returns has a text in it, at index 1"),
        ("return {1, 2}", False, "the list that the code returns has a number (1) in it, at index 0"),
        ("return [{'json': {'a': 1}}, {'json': _items[0]}, {**_items[0]}]", False, None),
        ("return", False, "the code returns nothing"),
        ("def f():\n    return []\nx = f()", False, "the code returns nothing"),
        ("return 3", True, "the list that the code returns has a number (3) in it, at index 0"),
        ("if _items: return 3\nreturn []", False, None),
        ("f = _items[0].get\nreturn f()", False, None),
        ("return 3 if _items else []", False, None),
        ("return {}", False, None),
        ("raise ValueError('no return')", False, None),
        ("return None", True, None),
        ("_item['x'] = 'no return'", True, None),
    ],
)
def test_results_that_n8n_refuses(source: str, each: bool, why: str | None) -> None:
    """A program whose every result is one that n8n refuses must change; what isn't sure isn't told."""
    mode = "runOnceForEachItem" if each else "runOnceForAllItems"
    node = code("Code", source)
    node["parameters"]["mode"] = mode
    (one,) = reports(workflow(node), environ=ALL)
    whys = [refusal.why.partition(". ")[0] for refusal in one.refusals]
    assert (one.status, whys) == (("never", [why]) if why else ("runs", []))


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("return 3", None),
        ("return 'a'", None),
        ("f = _query.upper\nreturn f(_query)", None),
        ("return {'a': 1}", "the tool returns a dict"),
        ("return [k for k in 'ab']", None),
        ("x = 1", "the tool returns nothing"),
        ("if _query: return []\nreturn True", "the tool returns a list"),
    ],
)
def test_results_of_tools(source: str, why: str | None) -> None:
    """Of a tool n8n takes text and numbers alone."""
    (one,) = reports(workflow(tool("Tool", source)), environ=ALL)
    whys = [refusal.why.partition(". ")[0] for refusal in one.refusals]
    assert (one.status, whys) == (("never", [why]) if why else ("runs", []))


@pytest.mark.parametrize(
    "source",
    [
        "import os\nos.system('ls')",
        "__import__('os').system('ls')",
        "o = __import__('os', fromlist=['path'])\no.system('ls')",
        "import importlib\no = importlib.import_module('os')\no.system('ls')",
        "from importlib import import_module as load\nload('os').system('ls')",
        "import importlib\nif (o := importlib.import_module('os')):\n    o.system('ls')",
    ],
)
def test_imports_by_calls(source: str) -> None:
    """A module that is imported by a call is judged as one that is imported by a statement."""
    assert [what for _, what, _ in said(source)] == ["'os.system' isn't there"]


def test_optional_imports_by_calls() -> None:
    """A call whose failure the program expects is no need of its."""
    one = only("try:\n    j = __import__('ujson')\nexcept ImportError:\n    j = None")
    assert one.needs.optional == ["ujson"]


def test_pandas_reads_addresses() -> None:
    """What pandas reads at an address is a connection."""
    source = "import pandas as pd\nf = pd.read_csv('https://data.example/a.csv')"
    assert said(source) == [(2, "pandas can't connect to anything", "REPTARIUM_CONNECT_ALLOW")]
    one = only(source, {**ALL, "REPTARIUM_CONNECT_ALLOW": "data.example:443"})
    assert (one.status, [(host.host, host.port) for host in one.hosts]) == ("runs", [("data.example", 443)])


@pytest.mark.parametrize(
    "source",
    [
        "x = " + "(" * 150 + "1" + ")" * 150,
        "x = " + "-" * 20_000 + "1",
        "x" + ".y" * 20_000,
        "x = " + " + ".join(["1"] * 20_000),
        "\n".join("  " * n + "if 1:" for n in range(99)) + "\n" + "  " * 99 + "pass",
        "f'" + "{x}" * 300 + "'",
        "'" + "https://" * 20_000 + "'",
        "x = 10 ** 10 ** 10",
        "\ud800 = 1",
    ],
    ids=["brackets", "signs", "attributes", "sum", "blocks", "f-string", "addresses", "power", "surrogate"],
)
def test_hostile_programs(source: str) -> None:
    """Deep, long and odd programs are judged, or refused in words; nothing of them is run."""
    one = only(source.encode("utf-8", "replace").decode(), ALL)
    assert one.status in ("runs", "never")
    assert all(refusal.kind in ("syntax", "never") for refusal in one.refusals)


def test_nothing_is_run(tmp_path: Path) -> None:
    """Judging code neither runs it nor imports what it names."""
    target = tmp_path / "made"
    only(f"import antigravity, this\nopen({str(target)!r}, 'w')\nraise SystemExit(3)", ALL)
    assert not target.exists()
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    "chain",
    ["import pandas\nreturn pandas.x" + ".a(n=1)" * 90, "import importlib as i\ni" + ".import_module('a')" * 90],
)
def test_chains_of_calls(chain: str) -> None:
    """Each call of a chain is looked at once: with two looks at each, ninety calls would take for ever."""
    assert only(chain, ALL).status != "never"
