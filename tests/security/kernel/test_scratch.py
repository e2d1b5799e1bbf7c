"""A task's scratch directory: what may be done in it, that nothing beside it is reached, that nothing of it stays.

Attacks run natively, as in ``test_reach.py``; each names the refusal. What they aim at is a sibling's directory with a
file in it, the base of all of them, and a directory that is open to everybody.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
import trio
from arena import AS_ROOT, BELOW_TMP, MARK, PYTHON, Arena, arena, bystanders, configurations
from structlog.testing import capture_logs

from reptarium.pool.embedded import embedded_runner
from reptarium.pool.ops.faults import OwnFaults
from reptarium.pool.ops.metrics import Metrics
from reptarium.pool.ops.sentry import Reporter
from reptarium.pool.workers import scratch
from reptarium.pool.workers.configuration import zygote_config
from reptarium.sandbox.kernel import landlock, seccomp
from reptarium.sandbox.texts import SCRATCH_ENTRIES, SCRATCH_REMEDY, scratch_message
from tests.conftest import make_settings
from tests.limits import fail_after

pytestmark = pytest.mark.skipif(
    seccomp.available() != 0 or landlock.abi()[0] == 0, reason="this machine lacks seccomp or Landlock"
)

MIB = 2**20
LIMIT = 4 * MIB
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "stock": {"namespaces": "off"},
    "full": {},
    "python": {"language": PYTHON},
}
if AS_ROOT:
    CONFIGURATIONS["own-uids"] = {"namespaces": "off", "worker_uids": (70000, 70999)}

#: Without a mount namespace Landlock says EACCES; with one, the place isn't there or can't be written.
ELSEWHERE = {"EACCES", "ENOENT", "EROFS"}

# name → (expression or statements that give the answer, answers that are right). In scope: the prelude of `arena`, and
# directory (open to all), base (of all scratch directories), sibling (another's, with a file in it: its name isn't told to tasks).
WORK = {
    "file": "attempt(lambda: open('a', 'w').write('x'))",
    "absolute": "attempt(lambda: open(os.getcwd() + '/a', 'w').write('x'))",
    "append": "attempt(lambda: [open('a', 'a').write('x') for _ in range(2)])",
    "read and write": "attempt(lambda: open('a', 'w+').write('x'))",
    "directories": "attempt(lambda: os.makedirs('d/e/f'))",
    "rename within": "attempt(lambda: (os.mkdir('d'), open('a', 'w'), os.rename('a', 'd/b')))",
    "replace": "attempt(lambda: (open('a', 'w'), open('b', 'w'), os.replace('a', 'b')))",
    "remove": "attempt(lambda: (os.mkdir('d'), open('d/a', 'w'), os.unlink('d/a'), os.rmdir('d')))",
    "truncate": "attempt(lambda: open('a', 'w').truncate(100))",
    "sparse file": "attempt(lambda: open('a', 'wb').truncate(4 * 2**20))",
    "modes and times": "attempt(lambda: (open('a', 'w'), os.chmod('a', 0o777), os.utime('a', (1, 1))))",
    "touch": "p = __import__('pathlib').Path('a'); p.touch(); p.touch(); result = 'done' if p.exists() else 'no'",
    "a shelf": "attempt(lambda: __import__('shelve').open('a', 'n').update(k=[1]))",
    "fsync": "attempt(lambda: os.fsync(open('a', 'w').fileno()))",
    "locks": "attempt(lambda: __import__('fcntl').lockf(open('a', 'w'), 2))",
    "locks that nothing keeps": (  # else the second description would be told of the first one's
        "import fcntl\na, b = (os.open('a', os.O_RDWR | os.O_CREAT) for _ in range(2))\n"
        "lock = struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 1, 0)\nfcntl.fcntl(a, fcntl.F_OFD_SETLK, lock)\n"
        "kind, *_ = struct.unpack('hhqqi4x', fcntl.fcntl(b, fcntl.F_OFD_GETLK, lock))\n"
        "result = 'done' if kind == fcntl.F_UNLCK else 'kept'"
    ),
    "tempfile": "attempt(lambda: __import__('tempfile').NamedTemporaryFile('w').write('x'))",
    "temporary directory": "attempt(lambda: __import__('tempfile').TemporaryDirectory().cleanup())",
    "what variables tell": (
        "libc = ctypes.CDLL(None); libc.getenv.restype = ctypes.c_char_p; told = dict(os.environ)\n"
        "alike = all(libc.getenv(name.encode()) == value.encode() for name, value in told.items() if '/' in value)\n"
        "same = [os.path.samefile(told[name], '.') for name in ('HOME', 'TMPDIR')]\n"
        "below = told['MPLCONFIGDIR'] == told['XDG_CONFIG_HOME'] + '/matplotlib' == told['HOME'] + '/.config/matplotlib'\n"
        "os.environ['HOME'] = '/'; changed = libc.getenv(b'HOME') == b'/'\n"
        "result = 'done' if alike and all(same) and below and changed else 'no'"
    ),
    "sqlite": (
        "import sqlite3\nfor n in range(3):\n db = sqlite3.connect('a.db')\n"
        " db.execute('create table if not exists t (n)')\n db.execute('insert into t values (1)')\n db.commit()\n"
        " db.close()\nresult = 'done' if sqlite3.connect('a.db').execute('select sum(n) from t').fetchone() == (3,) else 'no'"
    ),
    "sqlite with a log": (
        "import sqlite3\nfor n in range(2):\n db = sqlite3.connect('a.db')\n db.execute('pragma journal_mode = wal')\n"
        " db.execute('create table if not exists t (n)')\n db.execute('insert into t values (1)')\n db.commit()\n"
        "result = 'done' if sqlite3.connect('a.db').execute('select sum(n) from t').fetchone() == (2,) else 'no'"
    ),
    "a file in memory": (
        "import mmap\nf = open('a', 'w+b'); f.truncate(4096)\n"
        "with mmap.mmap(f.fileno(), 4096) as m: m[:3] = b'abc'; m.flush()\n"
        "result = 'done' if open('a', 'rb').read(4) == b'abc\\0' else 'no'"
    ),
    "copies": (
        "import shutil\nos.makedirs('d/e')\nopen('d/e/f', 'w').write('x')\n"
        "result = attempt(lambda: (shutil.copytree('d', 'c'), shutil.copy2('d/e/f', 'g'), shutil.rmtree('d')))"
    ),
    "an archive": (
        "import io, zipfile\ndata = io.BytesIO()\nwith zipfile.ZipFile(data, 'w') as z: z.writestr('x/y', 'z')\n"
        "zipfile.ZipFile(data).extractall('out')\nresult = 'done' if open('out/x/y').read() == 'z' else 'no'"
    ),
}  # fmt: skip

ATTACKS: dict[str, tuple[str, set[str]]] = {
    "symlink": ("attempt(os.symlink, '/etc/passwd', 'out')", {"EPERM"}),
    "symlink by number": ('raw("symlinkat", text("/etc"), -100, text("out"))', {"EPERM"}),
    "hard link": ("(open('a', 'w'), attempt(os.link, 'a', 'b'))[1]", {"EPERM"}),
    "hard link of a library": ("attempt(os.link, os.__file__, 'out')", {"EPERM"}),
    "FIFO": ("attempt(os.mkfifo, 'fifo')", {"EPERM"}),
    "device": ("attempt(os.mknod, 'null', 0o020666, os.makedev(1, 3))", {"EPERM"}),
    "socket": ("attempt(os.mknod, 'socket', 0o140666)", {"EPERM"}),
    "own directory": ("attempt(os.rmdir, os.getcwd())", {"EACCES"}),
    "own directory renamed": ("attempt(os.rename, os.getcwd(), base + '/mine')", {"EACCES"}),
    "a directory nobody may list": ("attempt(os.mkdir, 'd', 0o300)", {"EPERM"}),
    "unnamed file": ("attempt(os.open, '.', os.O_TMPFILE | os.O_RDWR)", {"EPERM"}),
    "empty by reading": ("attempt(os.open, 'a', os.O_RDONLY | os.O_TRUNC)", {"EPERM"}),
    "empty a library by reading": ("attempt(os.open, os.__file__, os.O_RDONLY | os.O_TRUNC)", {"EPERM"}),
    "truncate by path": ("attempt(os.truncate, directory + '/target', 0)", {"EPERM"}),
    "write to a library": ("attempt(open, os.__file__, 'r+')", {"EACCES", "EROFS"}),
    "write beside the interpreter": ("attempt(open, os.path.dirname(os.__file__) + '/new', 'w')", {"EACCES", "EROFS"}),
    "a file in base": ("attempt(open, base + '/new', 'w')", {"EACCES"}),
    "a directory in base": ("attempt(os.mkdir, base + '/1', 0o700)", {"EACCES"}),
    "list base": ("attempt(os.listdir, base)", {"EACCES"}),
    "parent": ("attempt(open, '../new', 'w')", {"EACCES"}),
    "/tmp": (f"attempt(open, '/tmp/../tmp/{MARK}', 'w')", ELSEWHERE),
    "what is above /tmp": ("attempt(open, '/tmp/../new', 'w')", {"EACCES", "EROFS"} if BELOW_TMP else {"EACCES"}),
    "what leads to /tmp: list": ("attempt(os.listdir, '/.proc')", ELSEWHERE),
    "what leads to /tmp: own memory": ("attempt(open, '/.proc/self/mem', 'r+b')", ELSEWHERE),
    "what leads to /tmp: own environment": ("attempt(open, '/.proc/self/environ')", ELSEWHERE),
    "what leads to /tmp: own root": ("attempt(open, '/.proc/self/root' + directory + '/target')", ELSEWHERE),
    "what leads to /tmp: another's root": ("attempt(open, f'/.proc/{pid}/root' + directory + '/target')", ELSEWHERE),
    "what leads to /tmp: another's directory": ("attempt(os.readlink, f'/.proc/{pid}/cwd')", ELSEWHERE),
    "what leads to /tmp: another's file": ("attempt(open, f'/.proc/{pid}/cwd/secret')", ELSEWHERE),
    "what leads to /tmp: the supervisor": ("attempt(open, f'/.proc/{supervisor}/cwd/pyproject.toml')", ELSEWHERE),
    "what leads to /tmp: the kernel's settings": ("attempt(open, '/.proc/sys/kernel/hostname', 'w')", ELSEWHERE),
    "/dev/shm": (f"attempt(open, '/dev/shm/{MARK}', 'w')", ELSEWHERE),
    "open directory": ("attempt(open, directory + '/new', 'w')", ELSEWHERE),
    "open directory, existing file": ("attempt(open, directory + '/target', 'w')", ELSEWHERE),
    "remove elsewhere": ("attempt(os.unlink, directory + '/target')", ELSEWHERE),
    "remove a directory elsewhere": ("attempt(os.rmdir, directory + '/empty')", ELSEWHERE),
    "rename out": ("(open('a', 'w'), attempt(os.rename, 'a', directory + '/new'))[1]", ELSEWHERE | {"EXDEV"}),
    "rename in": ("attempt(os.rename, directory + '/target', 'mine')", ELSEWHERE | {"EXDEV"}),
    "exchange": ('raw("renameat2", -100, text("a"), -100, text(directory + "/target"), 2)', {"EPERM"}),
    "read elsewhere": ("attempt(open, directory + '/target')", ELSEWHERE),
    "through /proc": ("attempt(open, '/proc/self/cwd/../new', 'w')", ELSEWHERE),
    "sibling: its directory's name": ("attempt(os.listdir, os.path.dirname(sibling))", {"EACCES"}),
    "sibling: whether it has a file": ("attempt(os.stat, f'{base}/{pid}/secret')", {"ENOENT", "EACCES"}),
    "sibling: list": ("attempt(os.listdir, sibling)", {"EACCES"}),
    "sibling: read": ("attempt(open, sibling + '/secret')", {"EACCES"}),
    "sibling: write": ("attempt(open, sibling + '/secret', 'w')", {"EACCES"}),
    "sibling: make": ("attempt(open, sibling + '/new', 'w')", {"EACCES"}),
    "sibling: remove": ("attempt(os.unlink, sibling + '/secret')", {"EACCES"}),
    "sibling: remove all": ("attempt(os.rmdir, sibling)", {"EACCES"}),
    "sibling: take": ("attempt(os.rename, sibling + '/secret', 'mine')", {"EACCES", "EXDEV"}),
    "leave the directory": ("attempt(os.chdir, '/')", {"EPERM"}),
    "owner": ("attempt(os.chown, '.', 0, 0)", {"EPERM"}),
    "shared memory without a file": ("attempt(__import__('mmap').mmap, -1, 4096)", {"EPERM"}),
    "a file mapped again and again": (
        "f = open('a', 'w+b'); f.truncate(4 * 2**20)\nresult = 'done'\n"
        "while result == 'done': result = raw('mmap', 0, 4 * 2**20, 3, 1, f.fileno(), 0)",
        {"ENOMEM"},
    ),
    "a library mapped to be written": (
        "import mmap\nresult = attempt(mmap.mmap, os.open(os.__file__, os.O_RDONLY), 4096)", {"EACCES"},
    ),
    "execute": (
        "open('a', 'w').write('#!/bin/sh'); os.chmod('a', 0o755)\nresult = attempt(os.execv, './a', ['a'])",
        {"EPERM"},
    ),
    "one large file": (
        "def fill():\n f = open('a', 'wb', 0)\n while True: f.write(bytes(2**20))\nresult = attempt(fill)",
        {"EFBIG"},
    ),
    "beyond the limit, sparse": ("attempt(lambda: open('a', 'wb').truncate(4 * 2**20 + 1))", {"EFBIG"}),
}  # fmt: skip

WHERE = "base = os.path.dirname(os.path.dirname(os.getcwd())); sibling = f'{base}/{pid}/{inner}'"

#: /tmp, where there is a root directory for tasks: the same directory, for C libraries as well.
OWN_TMP = """
import sqlite3, tempfile
result = attempt(lambda: open('/tmp/x', 'w').write('kept'))
if result == 'done':
    sqlite3.connect('/tmp/x.db').execute('create table t (n)')
    os.makedirs('/tmp/d/e'); os.rename('/tmp/x', '/tmp/d/e/x')
    result = [open('d/e/x').read(), sorted(os.listdir('/tmp')), tempfile.gettempdir(), os.path.samefile('/tmp', '.')]
"""

#: Elsewhere modes and times stay what they were, whatever is answered.
UNTOUCHED = """
before = os.stat(os.__file__)
answers = [attempt(os.chmod, os.__file__, 0o777), attempt(os.utime, os.__file__, (1, 1))]
with open(os.__file__) as f: answers.append(attempt(os.fchmod, f.fileno(), 0o777))
after = os.stat(os.__file__)
result = [answers, (before.st_mode, before.st_mtime_ns) == (after.st_mode, after.st_mtime_ns)]
"""


def _answer(code: str) -> str:
    return code if "result =" in code else f"result = {code}"


async def _all(configuration: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with fail_after(120), bystanders() as targets:
        async with arena(scratch_bytes=LIMIT, **configuration) as place:
            base = place.pool.config.isolation.scratch
            sibling = await place.pool.lease()
            (inner,) = os.listdir(f"{base}/{sibling.pid}")
            own = Path(base, str(sibling.pid), inner)
            (own / "secret").write_text("secret")
            owner = os.stat(own)
            os.chown(own / "secret", owner.st_uid, owner.st_gid)
            for name, code in {**WORK, **{name: code for name, (code, _) in ATTACKS.items()}}.items():
                found[name] = await place.attack(
                    f"{WHERE}\n{_answer(code)}",
                    directory=targets.directory,
                    pid=sibling.pid,
                    inner=inner,
                    supervisor=os.getpid(),
                )
            found["a root of its own"] = await place.attack(
                "result = not os.path.exists(directory)", directory=targets.directory
            )
            found["/tmp is its own"] = await place.attack(OWN_TMP)
            found["names"] = {await place.attack("result = os.path.basename(os.getcwd())") for _ in range(3)}
            found["untouched"] = await place.attack(UNTOUCHED)
            found["secret"] = (own / "secret").read_text()
            place.pool.discard(sibling)
            await sibling.exited.wait()
            await _only_living(place, base)
            found["changed"] = targets.facts() != targets.before
        found["left"] = os.path.basename(base) in os.listdir(scratch_top())
    return found


async def _only_living(place: Arena, base: str) -> None:
    """Wait until there is no directory but those of workers that live."""
    with fail_after(10):
        while not set(os.listdir(base)) <= {str(pid) for pid in place.pool.workers}:
            await trio.sleep(0.01)


@pytest.fixture(scope="module", params=configurations(CONFIGURATIONS))
def answers(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Everything in one configuration, each in a worker of its own; made once."""
    return trio.run(_all, CONFIGURATIONS[request.param])


@pytest.mark.parametrize("name", WORK)
def test_what_files_are_for(answers: dict[str, Any], name: str) -> None:
    """In its own directory a task does what programs do with files."""
    assert answers[name] == "done"


@pytest.mark.parametrize("name", ATTACKS)
def test_refused(answers: dict[str, Any], name: str) -> None:
    """What leads out of the directory, or isn't a file or a directory, is refused."""
    assert answers[name] in ATTACKS[name][1]


def test_nothing_beside_it_is_reached(answers: dict[str, Any]) -> None:
    """Modes and times elsewhere, another task's file, and the open directory are as before; nothing of anybody's stays.
    Where another task's files are nobody can guess."""
    assert answers["untouched"] == [["done", "done", "done"], True]
    assert answers["secret"] == "secret"
    assert not answers["changed"]
    assert not answers["left"]
    assert [len(name) for name in answers["names"]] == [16] * 3


def test_tmp_is_its_own_where_there_is_a_root_of_its_own(answers: dict[str, Any]) -> None:
    """With a mount namespace ``/tmp`` is the scratch directory, for whoever names it; without one it is refused."""
    if BELOW_TMP:
        assert answers["/tmp is its own"] in ("EROFS", "EACCES")
    elif answers["a root of its own"]:
        assert answers["/tmp is its own"] == ["kept", ["d", "x.db"], "/tmp", True]
    else:
        assert answers["/tmp is its own"] == "EACCES"


#: What fills a directory → (code, limit in bytes).
FILLING = {
    "many files": "n = 0\nwhile True:\n    open(f'f{n}', 'w').close()\n    n += 1",
    "many bytes": "n = 0\nwhile True:\n    open(f'f{n}', 'wb').write(bytes(2**20))\n    n += 1",
    "a deep tree": (
        "import os\nfd = os.open('.', os.O_RDONLY)\nwhile True:\n    os.mkdir('d', dir_fd=fd)\n"
        "    below = os.open('d', os.O_RDONLY, dir_fd=fd)\n    os.close(fd)\n    fd = below\n    os.mkdir('e', dir_fd=fd)"
    ),
    **(
        {
            "deleted files": "import os, time\nkept = []\nfor _ in range(30):\n    kept.append(open('a', 'wb', 0))\n"
            "    os.unlink('a')\n    kept[-1].write(bytes(2**20))\ntime.sleep(60)",
            "deleted files that are mapped": "import ctypes, os, time\nmap = ctypes.CDLL(None).mmap\nfor _ in range(30):\n"
            "    with open('a', 'w+b', 0) as file:\n        os.unlink('a')\n        file.write(bytes(2**20))\n"
            "        assert map(None, 4096, 1, 2, file.fileno(), 0) != -1\ntime.sleep(60)",
        }
        if AS_ROOT  # others can't see their descriptors: see docs/powers.md
        else {}
    ),
    "many directories": "import os\nn = 0\nwhile True:\n    os.mkdir(f'd{n}')\n    n += 1",
}


#: One of each kind: by names, by bytes that have none.
FILLED_FIRST = [name for name in FILLING if name in ("many files", "deleted files")]


@pytest.mark.parametrize(
    "names",
    [FILLED_FIRST, pytest.param([name for name in FILLING if name not in FILLED_FIRST], marks=pytest.mark.slow)],
    ids=["some", "all others"],
)
async def test_filling_the_directory_ends_the_task(names: list[str]) -> None:
    """Whatever fills it, the task ends, is told which setting decides, and nothing of it stays."""
    settings = make_settings({"REPTARIUM_LANGUAGE": "python", "REPTARIUM_SCRATCH": "4MiB"}, task_timeout=60.0)
    told = {}
    with fail_after(120):
        async with embedded_runner(settings) as broker:
            for name in names:
                outcome = await broker.submit({"code": FILLING[name], "items": []}).outcome()
                assert outcome.error is not None
                told[name] = (outcome.error.message, outcome.error.description)
    assert told == dict.fromkeys(names, (scratch_message(LIMIT), SCRATCH_REMEDY))
    assert str(SCRATCH_ENTRIES) in scratch_message(LIMIT)
    # others may have theirs at the same time
    assert [name for name in os.listdir(scratch_top()) if name.startswith(f"{os.getpid()}-")] == []


def scratch_top() -> str:
    """The directory of all runners of this user."""
    return f"{os.path.realpath(tempfile.gettempdir())}/reptarium-scratch-{os.geteuid()}"


async def test_a_full_file_says_which_setting_decides() -> None:
    """One file over the limit is an error of the program's own, which it may handle."""
    settings = make_settings({"REPTARIUM_LANGUAGE": "python", "REPTARIUM_SCRATCH": "4MiB"})
    with fail_after(60):
        async with embedded_runner(settings) as broker:
            outcome = await broker.submit({"code": "open('a', 'wb').write(bytes(2**23))", "items": []}).outcome()
            handled = await broker.submit(
                {
                    "code": "try:\n    open('a', 'wb').write(bytes(2**23))\nexcept OSError as e:\n    return e.errno",
                    "items": [],
                }
            ).outcome()
    assert outcome.error is not None
    assert "File too large" in outcome.error.message
    assert SCRATCH_REMEDY in str(outcome.error.description)
    assert handled.data is not None
    assert json.loads(bytes(handled.data.result)) == 27


async def test_what_a_killed_runner_left_is_removed_by_the_next() -> None:
    """Directories that nobody has locked go; those of a runner that lives stay, and links are not followed."""
    async with scratch.scratch_area(LIMIT) as living:
        top = Path(scratch_top())
        outside = Path(tempfile.mkdtemp())
        (outside / "keep").write_text("kept")
        left = top / "1-dead"
        (left / "123" / "deep" / "er").mkdir(parents=True)
        (left / "123" / "file").write_text("x")
        (left / "123" / "link").symlink_to(outside)
        (top / "2-link").symlink_to(outside)
        os.mkfifo(left / "123" / "fifo")
        async with scratch.scratch_area(LIMIT):
            assert not left.exists()
            assert os.path.basename(living.path) in os.listdir(top)
        assert (outside / "keep").read_text() == "kept"
        (top / "2-link").unlink()


async def test_a_file_system_that_hangs_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """Neither when a worker ends, nor, for long, when the runner does: the log says so, and what is left, where."""
    goes_on = threading.Event()
    monkeypatch.setattr(scratch, "FIRST", math.inf)  # the clock jumps while a thread begins
    monkeypatch.setattr(os, "rmdir", lambda *_, **__: goes_on.wait())
    faults = OwnFaults(Metrics(), Reporter())
    config = zygote_config(make_settings({"REPTARIUM_LANGUAGE": "python", "REPTARIUM_SCRATCH": "4MiB"}))
    try:
        with capture_logs() as lines:
            async with scratch.scratch_of(config, dict, faults) as (configured, gone):
                for pid in range(1, 100):
                    gone(pid)
                await trio.sleep(10)
                begun = trio.current_time()
        assert scratch.LAST <= trio.current_time() - begun <= scratch.LAST + 0.1
        (line,) = lines
        assert (line["log_level"], line["path"]) == ("error", configured.isolation.scratch)
        assert "hangs" in line["event"]
    finally:
        goes_on.set()
        monkeypatch.undo()
        os.rmdir(configured.isolation.scratch)


async def test_a_start_on_a_file_system_that_hangs_is_refused(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """After half a minute without any progress: the setting is named, and what to change."""
    goes_on = threading.Event()
    monkeypatch.setattr(os, "fchmod", lambda *_: goes_on.wait())
    config = zygote_config(make_settings({"REPTARIUM_LANGUAGE": "python", "REPTARIUM_SCRATCH": "4MiB"}))
    begun = trio.current_time()
    try:
        with pytest.raises(scratch.ScratchRefused, match=r"REPTARIUM_SCRATCH: .*has not answered for 30 s.*TMPDIR"):
            async with scratch.scratch_of(config, dict, OwnFaults(Metrics(), Reporter())):
                pass
        assert trio.current_time() - begun <= 2 * scratch.FIRST
    finally:
        goes_on.set()


async def test_somebody_elses_directory_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A place that others may write to, or a link, is no place for tasks' files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    place = tmp_path / f"reptarium-scratch-{os.geteuid()}"
    place.mkdir()
    place.chmod(0o777)
    with pytest.raises(scratch.ScratchRefused, match="REPTARIUM_SCRATCH: no directory can be had for it"):
        async with scratch.scratch_area(LIMIT):
            pass
    place.rmdir()
    place.symlink_to(tmp_path)
    with pytest.raises(scratch.ScratchRefused, match="REPTARIUM_SCRATCH: no directory can be had for it"):
        async with scratch.scratch_area(LIMIT):
            pass
