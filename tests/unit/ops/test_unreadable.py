"""What is to be read of a supervisor by other processes of its user."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.limits import within

PROGRAM = """
import ctypes, json, os, sys
from reptarium.pool.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
libc = ctypes.CDLL(None)
libc.getenv.restype = ctypes.c_char_p
names = ("N8N_RUNNERS_AUTH_TOKEN", "DATABASE", "PLAIN")
answer = {
    "shown": open("/proc/self/environ", "rb").read().decode() if os.geteuid() == 0 else "",
    "dumpable": libc.prctl(3, 0, 0, 0, 0),
    "python": [os.environ[name] for name in names],
    "libc": [libc.getenv(name.encode()).decode() for name in names],
}
print("ANSWER" + json.dumps(answer))
"""


@pytest.mark.parametrize("command", [["run", "--print-config"], ["broker", "--help"]], ids=lambda command: command[0])
def test_a_supervisor_is_unreadable(command: list[str]) -> None:
    """It isn't dumpable, and what is a secret in its environment by name or value is there for itself alone."""
    secrets = {"N8N_RUNNERS_AUTH_TOKEN": "not-a-real-token", "DATABASE": "postgres://me:not-a-real-word@db"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *command],
        env={"PATH": os.defpath, **secrets, "PLAIN": "and-simple"},
        capture_output=True, text=True, timeout=within(60), check=False,
    )  # fmt: skip
    assert "ANSWER" in done.stdout, done.stderr
    answer = json.loads(done.stdout.partition("ANSWER")[2])
    assert answer["dumpable"] == 0
    assert answer["python"] == answer["libc"] == [*secrets.values(), "and-simple"]
    if os.geteuid() == 0:  # the file isn't its own any more
        assert "PLAIN=and-simple" in answer["shown"]
        assert "N8N_RUNNERS_AUTH_TOKEN=" in answer["shown"]
        assert "not-a-real" not in answer["shown"]
