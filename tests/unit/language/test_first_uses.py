"""What the standard library imports when it is first used is there before any task comes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.limits import within

#: Each would import something: a module of Python's own, or an encoding.
USES = """
import datetime, time, random, zoneinfo
datetime.datetime.strptime("2024-02-03 10:11", "%Y-%m-%d %H:%M")
time.strptime("10:11", "%H:%M")
datetime.datetime.now().strftime("%x")
random.seed("text")
datetime.datetime(2024, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")).isoformat()
"a".encode("ascii"), "a".encode("latin-1"), b"a".decode("cp1252"), b"a".decode("utf-8-sig"), "a".encode("utf-16")
import xml.dom.minidom, email.message
xml.dom.minidom.parseString("<a/>").toprettyxml()
email.message.EmailMessage().as_string()
"""
#: With nothing allowed by name beside the common modules, which others would bring along.
COMMON_USES = """
import collections
collections.Counter("aab").most_common(1)
"""
WATCH = """
import sys
from reptarium.sandbox.language import LanguagePolicy, compile_task, make_namespace, preload, run
policy = LanguagePolicy(stdlib_allow={allow!r})
assert preload(policy) == []
class Watch:
    @staticmethod
    def find_spec(name, path=None, target=None):
        print(name)
code, names = compile_task({uses!r}, policy), make_namespace(policy, {{}})
sys.meta_path.insert(0, Watch)
run(code, names)
"""


@pytest.mark.parametrize(
    ("allow", "uses"),
    [(("*", "xml.dom.minidom", "email.message"), USES), (("*",), COMMON_USES)],
    ids=["named", "common"],
)
def test_a_task_imports_nothing_that_others_use_first(allow: tuple[str, ...], uses: str) -> None:
    """After preloading, the first use of what most tasks use imports nothing."""
    watch = WATCH.format(allow=allow, uses=uses)
    done = subprocess.run(
        [sys.executable, "-c", watch], capture_output=True, text=True, check=False, timeout=within(60)
    )
    assert (done.stdout, done.stderr) == ("", "")
