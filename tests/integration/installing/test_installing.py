"""Packages that a requirements file names: real installers, real runners, wheels of a folder."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import psutil
import pytest
import trio

from reptarium.pool.embedded_broker import BrokerConfig, open_broker
from tests.integration.installing.wheels import endless_package, sha256, wheel
from tests.limits import fail_after, within

pytestmark = pytest.mark.usefixtures("nothing_left")
TOKEN = "a-token-that-no-build-may-see"


class Shop:
    """A requirements file, a folder of wheels, a place for what is installed, and the commands."""

    def __init__(self, folder: Path, installer: str = "pip") -> None:
        self.wheels, self.volume, self.file = folder / "wheels", folder / "volume", folder / "requirements.txt"
        self.wheels.mkdir()
        self.alpha = wheel(self.wheels, "alpha_thing", "1.0", {"alpha/__init__.py": "value = 20\n", "alpha/a.txt": "x"})
        self.beta = wheel(
            self.wheels, "beta", "2.1", {"betalib.py": "import alpha\nvalue = alpha.value + 1\n"}, "alpha-thing"
        )
        self.environ = {
            "PATH": os.environ["PATH"],
            "REPTARIUM_REQUIREMENTS": str(self.file),
            "REPTARIUM_REQUIREMENTS_PATH": str(self.volume),
            "REPTARIUM_WHEELS": str(self.wheels),
            "REPTARIUM_INSTALLER": installer,
        }

    def start(self, *arguments: str, log: IO[str] | int = subprocess.PIPE, **environ: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "reptarium", *arguments],
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip

    def call(self, *arguments: str, **environ: str) -> tuple[int, str, str]:
        with self.start(*arguments, **environ) as process:
            out, err = process.communicate(timeout=within(300))
        return process.returncode, out, err

    def left(self) -> list[str]:
        """What is in the volume beside locks."""
        return sorted(path.name for path in self.volume.iterdir() if not path.name.startswith(".lock-"))


@pytest.fixture
def shop() -> Iterator[Shop]:
    """Outside of pytest's own directories, which no other user passes: as root workers are others."""
    with tempfile.TemporaryDirectory(prefix="reptarium-shop-") as folder:
        Path(folder).chmod(0o755)
        yield Shop(Path(folder))


SCRIPT = """
import sys
loaded = "betalib" in sys.modules, "alpha" in sys.modules
import betalib
wrote = []
for path in (betalib.__file__, betalib.__file__ + ".new"):
    try:
        open(path, "w").close()
    except OSError as error:
        wrote.append(error.errno)
return {"value": betalib.value, "loaded": loaded, "wrote": wrote, "from": betalib.__file__, "last": sys.path[-1]}
"""


def run_script(shop: Shop, tmp_path: Path, code: str, **environ: str) -> tuple[int, Any, str]:
    (tmp_path / "script.py").write_text(code)
    status, out, err = shop.call("exec", "--raw", str(tmp_path / "script.py"), **environ)
    return status, json.loads(out) if out else None, err


@pytest.mark.slow
def test_tasks_import_what_the_file_names(shop: Shop, tmp_path: Path) -> None:
    """Installed once, beside the runner: tasks import it where the allowlist has it, loaded already where that is asked
    for, and can't write to it. The runner itself has none of it.
    """
    shop.file.write_text("# what workflows use\nbeta==2.1\n")
    powers = {
        "REPTARIUM_LANGUAGE": "python",
        "N8N_RUNNERS_EXTERNAL_ALLOW": "*",
        "REPTARIUM_REQUIREMENTS_PRELOAD": "true",
    }
    status, got, err = run_script(shop, tmp_path, SCRIPT, **powers)
    assert status == 0, err
    assert "Successfully installed" in err
    (name,) = shop.left()
    site = shop.volume / name / "site-packages"
    assert got["value"] == 21
    assert got["loaded"] == [True, True]
    assert got["from"] == str(site / "betalib.py")
    assert got["last"] == str(site)
    assert len(got["wrote"]) == 2
    assert (site / "betalib.py").read_text()
    assert not (site / "betalib.py.new").exists()
    assert list(site.glob("__pycache__/betalib.*.pyc"))  # nobody may write it later
    assert importlib.util.find_spec("betalib") is None
    # a second time there is nothing to install with, and nothing to install
    shutil.rmtree(shop.wheels)
    status, got, err = run_script(
        shop,
        tmp_path,
        "import betalib, alpha\nreturn [betalib.value, alpha.value]",
        N8N_RUNNERS_EXTERNAL_ALLOW="betalib,alpha",
    )
    assert (status, got) == (0, [21, 20]), err
    status, _, err = run_script(shop, tmp_path, "import betalib")
    assert status == 1
    assert "N8N_RUNNERS_EXTERNAL_ALLOW" in err


async def answer(port: str, path: str) -> tuple[int, str]:
    def ask() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=within(30)) as got:
                return got.status, got.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    return await trio.to_thread.run_sync(ask)


async def test_a_runner_that_installs_says_so_and_can_be_ended(shop: Shop, tmp_path: Path) -> None:
    """While a package is built the endpoint answers: alive, not ready, since it installs. SIGTERM ends it with all that
    the build has started; no half of anything is left. The build sees an index' password, and no token of ours.
    """
    told = tmp_path / "told"
    endless_package(shop.wheels, told)
    shop.file.write_text("--find-links ${INDEX_WORD}\nalpha-thing\nendless\n")  # a folder that isn't there
    log = tmp_path / "log"
    with fail_after(300), log.open("w") as stderr:
        process = shop.start(
            "run",
            log=stderr,
            N8N_RUNNERS_AUTH_TOKEN=TOKEN,
            N8N_RUNNERS_HEALTH_CHECK_SERVER_ENABLED="true",
            N8N_RUNNERS_HEALTH_CHECK_SERVER_PORT="0",
            INDEX_WORD="word",
            PIP_INDEX_URL="https://index.invalid/simple",
            MY_OWN="not for builds",
            PIP_ODD=TOKEN,
        )
        with process:
            while not told.exists():
                assert process.poll() is None, log.read_text()
                await trio.sleep(0.05)
            (port,) = re.findall(r"health and metrics.*http://127.0.0.1:(\d+)", log.read_text())
            status, said = await answer(port, "/readyz")
            assert status == 503
            (missing,) = [one for one in json.loads(said)["missing"] if one.startswith("packages")]
            assert re.search("endless|Building|Installing", missing)
            assert (await answer(port, "/healthz"))[0] == 200
            pids = [int(line) for line in told.read_text().splitlines()[:2]]
            assert all(map(psutil.pid_exists, pids))
            process.send_signal(signal.SIGTERM)
            await trio.to_thread.run_sync(process.wait)
            assert process.returncode == 0, log.read_text()
    while any(map(psutil.pid_exists, pids)):
        await trio.sleep(0.05)
    assert shop.left() == []
    seen = told.read_text()
    assert TOKEN not in seen + log.read_text()
    assert "INDEX_WORD=word" in seen
    assert "index.invalid" in seen
    assert "MY_OWN" not in seen


@pytest.mark.slow
def test_a_failure_names_package_and_line(shop: Shop) -> None:
    """What can't be had, what hasn't its hash, and what the runner needs in another version: each ends
    the start with the status of a wrong configuration, and says which line it is.
    """
    broker = {"N8N_RUNNERS_AUTH_TOKEN": TOKEN}
    shop.file.write_text("# two\nalpha-thing\n\nbeta>=9\n")
    status, _, err = shop.call("run", **broker)
    assert status == 78
    assert f"{shop.file}, line 4 (beta>=9): " in err.splitlines()[-1]
    assert "Traceback" not in err
    shop.file.write_text(f"alpha-thing==1.0 \\\n    --hash={sha256(shop.beta)}\n")
    status, _, err = shop.call("install")
    assert status == 78
    assert "line 1 (alpha-thing==1.0 --hash" in err
    assert "do not match the hashes" in err.lower()
    wheel(shop.wheels, "older", "1.0", {"older.py": ""}, "msgspec<0.1")
    shop.file.write_text("older\n")
    status, _, err = shop.call("install")
    assert status == 78
    assert "line 1 (older)" in err
    assert "the runner itself needs msgspec" in err
    assert shop.left() == []


@pytest.mark.slow
async def test_two_at_once_make_one(shop: Shop) -> None:
    """Runners that share the volume and start together: one installs, the other waits and takes what is there; what
    somebody left who was killed is removed, and taken by nobody.
    """
    shop.file.write_text(
        f"beta==2.1 --hash={sha256(shop.beta)}\nalpha-thing==1.0 --hash={sha256(shop.alpha)}\n", "utf-8"
    )
    shop.volume.mkdir()
    both = [shop.start("install") for _ in range(2)]
    with fail_after(300):
        said = [await trio.to_thread.run_sync(one.communicate) for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    (name,) = shop.left()
    assert [out for out, _ in said] == [f"{shop.volume / name}/site-packages\n"] * 2
    assert sum("Successfully installed" in err for _, err in said) == 1
    # another time, after somebody was killed in the midst of it
    shutil.move(shop.volume / name, shop.volume / f".part-{name}-killed")
    status, _, err = shop.call("install")
    assert status == 0
    assert "Successfully installed" in err
    assert shop.left() == [name]


@pytest.mark.slow
async def test_a_broker_is_served_once_all_is_there(shop: Shop) -> None:
    """A runner with the packages registers and runs a task that imports one, through its real broker."""
    shop.file.write_text("./wheels/alpha_thing-1.0-py3-none-any.whl\n")
    with fail_after(300):
        async with open_broker(BrokerConfig(auth_token=TOKEN)) as broker:
            process = shop.start(
                "run",
                N8N_RUNNERS_AUTH_TOKEN=TOKEN,
                N8N_RUNNERS_TASK_BROKER_URI=broker.uri,
                N8N_RUNNERS_EXTERNAL_ALLOW="alpha",
            )
            with process:
                await broker.wait_for_runner()
                outcome = await broker.submit({"code": "import alpha\nreturn alpha.value", "items": []}).outcome()
                assert outcome.result() == 20
                process.send_signal(signal.SIGTERM)
                _, err = await trio.to_thread.run_sync(process.communicate)
    assert "packages are there" in err


@pytest.mark.slow
def test_who_cannot_write_is_told(shop: Shop) -> None:
    """A place that can't be made, a file that isn't there, and nothing asked for: each says what to change."""
    shop.file.write_text("beta\n")
    status, _, err = shop.call("install", REPTARIUM_REQUIREMENTS_PATH="/proc/packages")
    assert status == 78
    assert err.startswith("reptarium: REPTARIUM_REQUIREMENTS_PATH=/proc/packages: ")
    assert "must be able to write there" in err
    status, _, err = shop.call("install", REPTARIUM_REQUIREMENTS="/nowhere/requirements.txt")
    assert (status, "can't be read (No such file or directory)" in err) == (78, True)
    status, _, err = shop.call("install", REPTARIUM_REQUIREMENTS="")
    assert (status, "set REPTARIUM_REQUIREMENTS" in err) == (78, True)
    status, out, _ = shop.call("install", "--constraints")
    assert status == 0
    assert "msgspec==" in out
    assert "pytest" not in out


@pytest.mark.slow
def test_uv_installs_the_same(tmp_path: Path, shop: Shop) -> None:
    """With uv: the same packages, byte code with them, hashes that must be right, failures with their line."""
    tools = Path(__file__).resolve().parents[3] / ".venv-deploy/bin"
    places = os.pathsep.join((os.path.dirname(sys.executable), os.environ["PATH"], str(tools)))
    found = shutil.which("uv", path=places)
    if found is None:
        pytest.skip("uv is not installed")
    shop.environ |= {"REPTARIUM_INSTALLER": "uv", "PATH": places}
    shop.file.write_text(
        f"beta==2.1 --hash={sha256(shop.beta)}\nalpha-thing==1.0 --hash={sha256(shop.alpha)}\n", "utf-8"
    )
    status, got, err = run_script(
        shop, tmp_path, "import betalib\nreturn betalib.value", N8N_RUNNERS_EXTERNAL_ALLOW="*"
    )
    assert (status, got) == (0, 21), err
    (name,) = shop.left()
    assert list((shop.volume / name / "site-packages").glob("__pycache__/betalib.*.pyc"))
    for text, line in (
        ("alpha-thing\nbeta>=9\n", "line 2 (beta>=9)"),
        (f"alpha-thing==1.0 --hash={sha256(shop.beta)}\n", "line 1 (alpha-thing==1.0"),
        (f"beta==2.1 --hash={sha256(shop.beta)}\n", "`alpha-thing`"),  # which stands in no line
        ("alpha-thing\nbeta=2\n", "line 2 (beta=2)"),
    ):
        shop.file.write_text(text)
        status, _, err = shop.call("install")
        assert status == 78
        assert line in err, err
    assert shop.left() == [name]


@pytest.mark.slow
def test_prune_removes_what_is_not_the_present_files(shop: Shop) -> None:
    """Not what somebody makes at the moment, nor what isn't ours."""
    for text in ("alpha-thing\n", "beta\n"):
        shop.file.write_text(text)
        assert shop.call("install")[0] == 0
    old, other = (path for path in sorted(shop.volume.iterdir()) if not path.name.startswith("."))
    present = Path(shop.call("install")[1].strip()).parent
    old = other if old == present else old
    half, making = (
        old.with_name(f"{name}-{each * 32}") for name, each in ((".part-cpython-311-x", "a"), ("pypy", "b"))
    )
    for each in (half.with_name(f"{half.name}-xy_z8"), making, shop.volume / "mine"):
        each.mkdir()
    (shop.volume / ("link-" + "c" * 32)).symlink_to(shop.volume / "mine")
    with open(shop.volume / f".lock-{making.name}", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        status, out, err = shop.call("install", "--prune")
    assert status == 0, err
    assert out.strip() == str(present / "site-packages")
    assert re.findall("removed (.*)", err) == [str(half) + "-xy_z8", str(old)]
    assert shop.left() == sorted([present.name, making.name, "mine", "link-" + "c" * 32])
    assert shop.call("install")[0] == 0
