"""What the standard library imports when it is first used is there before any task comes."""

from __future__ import annotations

import subprocess
import sys

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
WATCH = f"""
import sys
from reptarium.sandbox.language import LanguagePolicy, compile_task, make_namespace, preload, run
policy = LanguagePolicy(stdlib_allow=("*", "xml.dom.minidom", "email.message"))
assert preload(policy) == []
class Watch:
    @staticmethod
    def find_spec(name, path=None, target=None):
        print(name)
code, names = compile_task({USES!r}, policy), make_namespace(policy, {{}})
sys.meta_path.insert(0, Watch)
run(code, names)
"""


def test_a_task_imports_nothing_that_others_use_first() -> None:
    """After preloading, the first use of what most tasks use imports nothing."""
    done = subprocess.run(
        [sys.executable, "-c", WATCH], capture_output=True, text=True, check=False, timeout=within(60)
    )
    assert (done.stdout, done.stderr) == ("", "")
