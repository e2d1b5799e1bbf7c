"""What ordinary programs do with the standard library and the usual packages."""

from __future__ import annotations

import importlib.util

import pytest

from tests.unit.language.support import execute

STDLIB: dict[str, tuple[str, object]] = {
    "json": ("import json\nreturn json.loads(json.dumps({'a': [1]}, sort_keys=True))", {"a": [1]}),
    "re": ("import re\nm = re.search(r'(?P<a>\\d+)', 'x12', re.I)\nreturn m.group('a'), re.sub('x', lambda m: 'y', 'xx')", ("12", "yy")),
    "math": ("import math\nreturn math.floor(2.5)", 2),
    "zoneinfo": ("from zoneinfo import ZoneInfo\nfrom datetime import datetime\nreturn datetime(2024, 7, 1, tzinfo=ZoneInfo('Europe/Berlin')).isoformat()", "2024-07-01T00:00:00+02:00"),
    "calendar": ("import calendar\nreturn calendar.monthrange(2024, 2)", (3, 29)),
    "collections": ("from collections import Counter, defaultdict, deque, OrderedDict, ChainMap\nimport collections.abc\nreturn Counter('aab').most_common(1), isinstance([], collections.abc.Sequence)", ([("a", 2)], True)),
    "itertools": ("from itertools import groupby, chain\nreturn [(k, len(list(g))) for k, g in groupby('aab')]", [("a", 2), ("b", 1)]),
    "operator": ("from operator import itemgetter, attrgetter, methodcaller\nreturn itemgetter('a')({'a': 1}), attrgetter('real')(2), methodcaller('upper')('a')", (1, 2, "A")),
    "statistics": ("import statistics\nreturn statistics.mean([1, 3])", 2),
    "random": ("import random\nreturn random.Random(1).randint(1, 1)", 1),
    "decimal": ("from decimal import Decimal\nreturn str(Decimal('1.10') * 2)", "2.20"),
    "fractions": ("from fractions import Fraction\nreturn str(Fraction(1, 3) + 1)", "4/3"),
    "string": ("import string\nreturn string.Template('$a').substitute(a=1), string.Formatter().format('{0.real}', 2), string.digits", ("1", "2", "0123456789")),
    "textwrap": ("import textwrap\nreturn textwrap.shorten('aa bb cc', 6, placeholder='')", "aa bb"),
    "hashlib": ("import hashlib, hmac\nreturn hashlib.sha256(b'a').hexdigest()[:6], hmac.new(b'k', b'm', 'sha256').hexdigest()[:4]", ("ca9781", "b600")),
    "base64": ("import base64, binascii\nreturn base64.b64encode(b'a').decode(), binascii.hexlify(b'a')", ("YQ==", b"61")),
    "uuid": ("import uuid\nreturn len(str(uuid.uuid4())), str(uuid.uuid5(uuid.NAMESPACE_DNS, 'a'))[:8]", (36, "4f3f2898")),
    "secrets": ("import secrets\nreturn len(secrets.token_hex(4))", 8),
    "copy": ("import copy\na = {'x': [1]}\nb = copy.deepcopy(a)\nb['x'].append(2)\nreturn a", {"x": [1]}),
    "heapq": ("import heapq, bisect\nreturn heapq.nlargest(1, [1, 3]), bisect.bisect([1, 3], 2)", ([3], 1)),
    "csv": ("import csv, io\nb = io.StringIO()\ncsv.writer(b).writerow([1, 'a'])\nreturn list(csv.DictReader(io.StringIO('a,b\\n1,2'))), b.getvalue()", ([{"a": "1", "b": "2"}], "1,a\r\n")),
    "html": ("import html\nfrom html.parser import HTMLParser\nclass P(HTMLParser):\n    def handle_data(self, d):\n        self.d = d\np = P()\np.feed('<b>x</b>')\nreturn html.escape('<'), p.d", ("&lt;", "x")),
    "xml": ("import xml.etree.ElementTree as ET\nr = ET.fromstring('<a><b c=\"1\">t</b></a>')\nreturn r.find('b').text, r[0].get('c'), ET.tostring(r).decode()", ("t", "1", '<a><b c="1">t</b></a>')),
    "urllib": ("from urllib.parse import urlparse, parse_qs, quote\nimport urllib.parse\nu = urlparse('http://h/p?q=1')\nreturn u.query, parse_qs(u.query), quote('a b'), urllib.parse.urlencode({'a': 1})", ("q=1", {"q": ["1"]}, "a%20b", "a=1")),
    "difflib": ("import difflib\nreturn difflib.get_close_matches('aple', ['apple'])", ["apple"]),
    "unicodedata": ("import unicodedata\nreturn unicodedata.normalize('NFKD', 'é')[0]", "e"),
    "compression": ("import zlib, gzip, bz2, lzma, io\nb = io.BytesIO()\nwith gzip.open(b, 'wb') as f:\n    f.write(b'x')\nreturn [m.decompress(m.compress(b'a')) for m in (zlib, gzip, bz2, lzma)], gzip.decompress(b.getvalue())", ([b"a"] * 4, b"x")),
    "struct": ("import struct, array\nreturn struct.unpack('<H', b'\\x01\\x00'), array.array('i', [1])[0]", ((1,), 1)),
    "types": ("import types\nreturn types.SimpleNamespace(a=1).a", 1),
    "pprint": ("import pprint\nreturn pprint.pformat({'a': 1})", "{'a': 1}"),
    "ipaddress": ("import ipaddress\nreturn ipaddress.ip_address('10.0.0.1').is_private", True),
    "email": ("import email\nfrom email.message import EmailMessage\nm = email.message_from_string('Subject: x\\n\\nbody')\ne = EmailMessage()\ne['To'] = 'a@b.c'\ne.set_content('t')\nreturn m['Subject'], m.get_payload(), e['To']", ("x", "body", "a@b.c")),
    "logging": ("import logging\nlogging.getLogger('t').info('x')\nreturn logging.INFO", 20),
    "traceback": ("import traceback\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    return traceback.format_exc().splitlines()[-1]", "ZeroDivisionError: division by zero"),
    "warnings": ("import warnings\nwarnings.simplefilter('ignore')\nwarnings.warn('x')\nreturn 1", 1),
    "os_path": ("import os, os.path\nfrom os.path import splitext\nreturn os.path.join('a', 'b'), splitext('a.b'), os.environ.get('X')", ("a/b", ("a", ".b"), None)),
    "ast": ("import ast\nreturn ast.literal_eval('[1]')", [1]),
    "functools": ("from functools import singledispatch\n@singledispatch\ndef f(x):\n    return 'o'\n@f.register\ndef _(x: int):\n    return 'i'\nreturn f(1), f('')", ("i", "o")),
    "dynamic": ("import importlib\nreturn importlib.import_module('json').loads('1'), __import__('math').pi > 3", (1, True)),
    "time": ("import time\nreturn time.time() > 0, time.strftime('%Y', time.gmtime(0))", (True, "1970")),
}  # fmt: skip

PACKAGES: dict[str, tuple[str, object]] = {
    "numpy": ("import numpy as np\nfrom numpy.random import default_rng\na = np.array([1, 2, 3])\nreturn float(a.mean()), np.linalg.norm([3, 4]).item(), (a * 2).tolist(), np.random.default_rng(1).integers(1, 2).item()", (2.0, 5.0, [2, 4, 6], 1)),
    "pandas": (
        "import pandas as pd, io\ndf = pd.DataFrame([i['json'] for i in _items])\ng = df.groupby('d')['n'].sum().to_dict()\nm = df.merge(pd.DataFrame({'d': ['a'], 'z': [9]}), on='d')\n"
        "return g, m.to_dict('records'), str(pd.to_datetime('2024-01-02').date()), pd.read_csv(io.StringIO('a,b\\n1,2')).to_dict('records'), df['n'].agg(['sum', 'max']).tolist(), df.n.apply(lambda v: v + 1).tolist()",
        ({"a": 3, "b": 3}, [{"d": "a", "n": 1, "z": 9}, {"d": "a", "n": 2, "z": 9}], "2024-01-02", [{"a": 1, "b": 2}], [6, 3], [2, 3, 4]),
    ),
    "dateutil": ("from dateutil import parser\nfrom dateutil.relativedelta import relativedelta\nreturn (parser.parse('2024-01-31') + relativedelta(months=1)).isoformat()", "2024-02-29T00:00:00"),
    "pytz": ("import pytz\nreturn str(pytz.timezone('Europe/Paris'))", "Europe/Paris"),
    "pydantic": ("from pydantic import BaseModel, Field, field_validator\nclass M(BaseModel):\n    a: int\n    b: 'list[str]' = Field(default_factory=list)\n    @field_validator('a')\n    @classmethod\n    def ok(cls, v):\n        return v + 1\nreturn M(a='1').model_dump()", {"a": 2, "b": []}),
    "bs4": ("from bs4 import BeautifulSoup\ns = BeautifulSoup('<p class=\"x\">t</p>', 'html.parser')\nreturn s.find('p', class_='x').text, s.p['class']", ("t", ["x"])),
    "yaml": ("import yaml\nreturn yaml.safe_load('a: [1]'), yaml.load('b: 1', Loader=yaml.FullLoader), yaml.safe_dump({'a': 1})", ({"a": [1]}, {"b": 1}, "a: 1\n")),
    "jinja2": ("from jinja2 import Template\nreturn Template('Hi {{ n }}').render(n='x')", "Hi x"),
    "requests": ("import requests\nreturn requests.__version__ > ''", True),
    "lxml": ("from lxml import etree\nreturn etree.fromstring('<a>t</a>').text", "t"),
}  # fmt: skip

ITEMS = [{"json": {"d": "a", "n": 1}}, {"json": {"d": "a", "n": 2}}, {"json": {"d": "b", "n": 3}}]


@pytest.mark.parametrize("name", STDLIB)
def test_standard_module(name: str) -> None:
    """The module does its ordinary work behind its façade."""
    source, expected = STDLIB[name]
    assert execute(source) == expected


@pytest.mark.parametrize("name", PACKAGES)
def test_package(name: str) -> None:
    """The package does its ordinary work behind its façade."""
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    source, expected = PACKAGES[name]
    assert execute(source, _items=ITEMS) == expected
