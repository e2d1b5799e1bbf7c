"""Names that modules of the standard library haven't got: told, unless the program expects that."""

from __future__ import annotations

import sys

import pytest

from tests.unit.check.exported import only

ALL = {"N8N_RUNNERS_STDLIB_ALLOW": "*", "N8N_RUNNERS_EXTERNAL_ALLOW": "*"}
NO_SUCH = f"Python {sys.version_info[0]}.{sys.version_info[1]} has no such name"


def told(source: str, **environ: str) -> list[tuple[int, str, str]]:
    """Line, name and reason of what isn't there."""
    return [(one.line, one.message, one.why) for one in only(source, {**ALL, **environ}).refusals]


@pytest.mark.parametrize("mode", ["restricted", "python"])
@pytest.mark.parametrize(
    ("source", "line", "what", "why"),
    [
        ("import math\nreturn [{'n': math.sqroot(4)}]", 2, "math.sqroot", f"{NO_SUCH}; instead: math.sqrt"),
        ("from math import sqroot\nreturn []", 1, "math.sqroot", f"{NO_SUCH}; instead: math.sqrt"),
        ("import datetime\nt = datetime.now()\nreturn []", 2, "datetime.now",
         f"{NO_SUCH}; instead: datetime.datetime.now"),
        ("from datetime import datetime as d\nreturn [{'t': d.datetime}]", 2, "datetime.datetime.datetime", NO_SUCH),
        ("import collections\nx = collections.Mapping\nreturn []", 2, "collections.Mapping", NO_SUCH),
        ("import urllib.parse as p\nx = p.qoute('a')\nreturn []", 2, "urllib.parse.qoute",
         f"{NO_SUCH}; instead: urllib.parse.quote"),
    ],
)  # fmt: skip
def test_names_that_are_not_there(source: str, line: int, what: str, why: str, mode: str) -> None:
    """The program ends where it reads one, in either language mode, so that it must change."""
    assert told(source, REPTARIUM_LANGUAGE=mode) == [(line, f"'{what}' isn't there", why)]
    assert only(source, ALL).status == "never"


@pytest.mark.parametrize(
    "source",
    [
        "import math, json, os, collections\nreturn [{'n': math.pi, 'p': os.path.sep, 'c': collections.abc.Sized}]",
        "try:\n    from collections import Mapping\nexcept ImportError:\n    from collections.abc import Mapping",
        "import math\ntry:\n    x = math.sqroot(4)\nexcept AttributeError:\n    x = 2",
        "import math\nx = math.sqroot(4) if hasattr(math, 'sqroot') else 2",
        "import sys, datetime\nz = datetime.UTCX if sys.version_info > (3, 99) else datetime.timezone.utc",
        "import datetime\nfrom datetime import datetime\nt = datetime.now()",
        "import time\ndef f(time):\n    return time.mine",
        "import string\nstring = _items[0]\nx = string.mine",
        "import math\nfor math in _items:\n    x = math.mine",
        "match _items:\n    case [{**math}]:\n        x = math.mine\n    case _:\n        import math",
        "import enum\nx = enum.Enum.mro",
        "import json\nx = json.decoder.JSONDecodeError, json.loads('{}').get",
        "import xml.etree.ElementTree as ET\nx = ET.fromstring('<a/>').tag",
        "import logging\nh = logging.handlers.MemoryHandler(10)",
    ],
)
def test_names_that_may_be_there(source: str) -> None:
    """What is there, is asked for, may fail as expected, or isn't surely a module's is nobody's business."""
    assert [one for one in told(f"{source}\nreturn []") if "isn't there" in one[1]] == []
