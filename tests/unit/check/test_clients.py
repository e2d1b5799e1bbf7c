"""By which libraries a program connects, and to which hosts: what it uses of them, not that it imports them."""

from __future__ import annotations

import pytest

from tests.unit.check.exported import only

ALL = {"N8N_RUNNERS_STDLIB_ALLOW": "*", "N8N_RUNNERS_EXTERNAL_ALLOW": "*"}


@pytest.mark.parametrize(
    "source",
    [
        "import requests\nu = requests.utils.quote('ä')",
        "from requests.exceptions import HTTPError\ntry:\n    x = 1\nexcept HTTPError:\n    pass",
        "import requests\ns = requests.Session()\ns.headers['a'] = 'b'\ns.mount('https://', None)",
        "import requests\np = requests.Request('GET', 'https://a.example/').prepare()",
        "from httpx import Client, URL, ConnectTimeout\nclient = Client()\nu = URL('https://a.example').host",
        "import redis\nr = redis.Redis(host='cache')",
        "from openai import OpenAI\nclient = OpenAI(api_key='x')",
        "import boto3\ns3 = boto3.client('s3')\nu = s3.generate_presigned_url('get_object')",
        "import aiohttp\nt = aiohttp.ClientTimeout(3)\nasync with aiohttp.ClientSession(timeout=t) as s:\n    pass",
        "from psycopg2 import sql\nfrom psycopg2.extras import RealDictCursor\nq = sql.SQL('select 1')",
        "import pymongo\norder = pymongo.ASCENDING",
        "from sqlalchemy import create_engine, text\nengine = create_engine('sqlite://')",
        "from sqlalchemy import create_engine\nURL = 'sqlite:///' + ':memory:'\nengine = create_engine(URL)",
        "from sqlalchemy import Column, Integer\nc = Column(Integer)",
        "import feedparser\nf = feedparser.parse(_items[0]['json']['xml'])",
        "import pandas as pd\nengine = _items[0]\nf = pd.read_sql('select 1', engine)",
        "import nltk\nt = nltk.word_tokenize('a')",
    ],
)
def test_what_connects_to_nothing(source: str) -> None:
    """Errors, addresses and settings of a client's, and clients that nothing is asked of, need no connections."""
    one = only(source, ALL)
    assert (one.libraries, [refusal.kind for refusal in one.refusals if refusal.kind != "install"]) == ([], [])


@pytest.mark.parametrize(
    ("source", "library", "line"),
    [
        ("import requests\nimport json\nr = requests.get(u)", "requests", 3),
        ("from requests import get\nr = get(u)", "requests", 1),
        ("import requests\ns = requests.Session()\nx = s.get(u)", "requests", 2),
        ("import requests\nwith requests.Session() as s:\n    send(s)", "requests", 2),
        ("from httpx import AsyncClient\nclass Mine(AsyncClient): pass", "httpx", 2),
        ("import httpx\nself.client = httpx.Client()", "httpx", 2),
        ("import redis\nredis.Redis().get('a')", "redis", 2),
        ("import smtplib\nserver = smtplib.SMTP('mail.example')", "smtplib", 2),
        ("import psycopg2\nc = psycopg2.connect(dsn)", "psycopg2", 2),
        ("import databricks.sql\nc = databricks.sql.connect()", "databricks", 2),
        ("from sqlalchemy import create_engine\ne = create_engine('postgresql+psycopg://db/x')", "sqlalchemy", 2),
        ("import sqlalchemy as sa\nu = f'mysql+pymysql://{a}:{b}@db/x'\ne = sa.create_engine(u)", "sqlalchemy", 3),
        ("import sqlalchemy as sa\ne = sa.create_engine(_items[0])", "sqlalchemy", 2),
        ("import pandas as pd\nf = pd.read_sql('select 1', 'postgresql://db/x')", "sqlalchemy", 2),
        ("import polars\nf = polars.read_csv('https://a.example/b.csv')", "polars", 2),
        ("import pandas as pd\nf = pd.read_html('https://a.example/b')", "pandas", 2),
        ("import feedparser\nf = feedparser.parse('https://a.example/rss')", "feedparser", 2),
        ("import nltk\nnltk.download('punkt')", "nltk.download", 2),
        ("from jira import JIRA\nj = JIRA(server='https://a.example')", "jira", 2),
    ],
)
def test_what_connects(source: str, library: str, line: int) -> None:
    """What is asked of a client, handed on or can't be followed needs connections, from its line on."""
    one = only(source, ALL)
    refused = [(refusal.message, refusal.line) for refusal in one.refusals if refusal.kind == "connections"]
    told = [(message, line) for message, line in refused if "import of" not in message]
    assert one.libraries == [library]
    assert told == [(f"{library} can't connect to anything", line)] or "import of" in refused[0][0]


@pytest.mark.parametrize(
    ("source", "hosts"),
    [
        ("import psycopg\npsycopg.connect('host=db.example port=5433 dbname=x')", [("db.example", 5433)]),
        ("import pyodbc\npyodbc.connect('DRIVER={x};SERVER=tcp:sql.example,1444;UID=a')", [("sql.example", 1444)]),
        ("import psycopg2\nHOST = 'db.example'\npsycopg2.connect(host=HOST, port='5433')", [("db.example", 5433)]),
        ("import pymysql\nconf = {'host': 'db', 'port': 3307}\npymysql.connect(**conf)", [("db", 3307)]),
        ("import requests\nHOST = 'a.example'\nrequests.get(f'https://{HOST}/x/{_items}')", [("a.example", 443)]),
        ("import requests\nrequests.get('https://' + 'a.example' + '/x')", [("a.example", 443)]),
        ("import requests\nh = 'a.example'\nh = pick(h)\nrequests.get(f'https://{h}/x')", []),
        ("import requests\ndef f(h='a.example'):\n    return requests.get(f'https://{h}/x')", []),
        ("import requests\nrequests.get(f'https://a.example:{443}/x')", [("a.example", 443)]),
        ("import pandas as pd\nf = pd.read_csv('https://a.example/x')\nf.connect('b.example')", [("a.example", 443)]),
    ],
)
def test_hosts_that_are_named(source: str, hosts: list[tuple[str, int]]) -> None:
    """A host counts where it stands in a name, a dict or a driver's own form, unless the name may be something else."""
    one = only(source, ALL)
    assert [(host.host, host.port) for host in one.hosts] == hosts
    assert one.unknown_hosts == (not hosts)


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("PATH = '/data/out.csv'\nopen(PATH, 'w').write('x')", "/data/out.csv"),
        ("DIR = '/data'\nopen(f'{DIR}/out.csv', mode='w').write('x')", "/data/out.csv"),
        ("import sqlite3\nDB = '/data/x.db'\nsqlite3.connect(DB)", "/data/x.db"),
        ("import pathlib\np = pathlib.Path('/data/out.csv')\np.write_text('x')", "/data/out.csv"),
        ("from pathlib import Path\nPath('/data/out.csv').write_text('x')", "/data/out.csv"),
        ("from pathlib import Path\nDIR = Path('/data')\n(DIR / 'a' / 'out.csv').write_text('x')", "/data/a/out.csv"),
        ("import os\np = os.path.join('/data', 'out.csv')\nopen(p, 'w').write('x')", "/data/out.csv"),
        ("import zipfile\nwith zipfile.ZipFile(_items) as z:\n    z.extractall('/data')", "/data"),
    ],
)
def test_paths_that_are_named(source: str, path: str) -> None:
    """So does a path: what is written elsewhere than in a task's own directory must change."""
    one = only(source, {**ALL, "REPTARIUM_SCRATCH": "1MiB"})
    assert [(file.path, file.writes) for file in one.files] == [(path, True)]
    assert one.status == "never"


@pytest.mark.parametrize(
    "source",
    [
        "A0 = 'https://a.example/'\n" + "\n".join(f"A{n + 1} = {'+'.join([f'A{n}'] * 20)}" for n in range(8)),
        "A = " + "+".join(["A"] * 20),
        "A = 'x'\n" + "\n".join(f"B{n} = A + {n}" for n in range(3_000)),
        "open(" + " + ".join(["'a'"] * 20_000) + ")",
        "_helpers.request(" + " + ".join(["'a'", *["b"] * 20_000]) + ")",
    ],
    ids=["doubled", "of itself", "many", "long", "long of n8n's"],
)
def test_texts_that_grow(source: str) -> None:
    """Texts that are made of texts are looked into as far as anybody's are."""
    assert only(source, ALL).status in ("runs", "settings", "never")
