"""Preloading that learns: a broker, a runner, zygotes that change over while tasks run. Packages are made here."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
import trio
from structlog.testing import capture_logs

from reptarium.pool.embedded_broker import Broker, BrokerConfig, open_broker
from reptarium.pool.embedded_broker.outcome import Outcome
from reptarium.pool.runner import Runner
from reptarium.pool.workers import learning, preloading, zygote
from reptarium.pool.workers.learning import Learning
from tests.conftest import make_settings
from tests.integration.workers.serving import serving
from tests.limits import fail_after

pytestmark = pytest.mark.usefixtures("nothing_left", "kernel_layer")

#: What is imported takes so much processor time, and memory.
SLOW = (
    "import time\nuntil = time.thread_time() + 0.05\nwhile time.thread_time() < until: pass\nBIG = b'x' * (4 << 20)\n"
)
MODULES = {
    "slowly": SLOW,
    "crashes": SLOW + "import os, sys\nif 'reptarium-zyg' in sys.argv or os.getppid() == {supervisor}: os.abort()\n",
    "exits": SLOW + "import os\nif os.getppid() == {supervisor}: os._exit(0)\n",
    "threads": SLOW + "import _thread, time\n_thread.start_new_thread(time.sleep, (600,))\n",
}
IMPORT = "import {0}, sys\nreturn [{0}.__name__]"


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory on the zygote's path and ours, that every user may read."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        for module, text in MODULES.items():
            (path / f"{module}.py").write_text(text.format(supervisor=os.getpid()))
        environment = zygote.zygote_environment

        def extended() -> dict[str, str]:
            found = environment()
            found["PYTHONPATH"] = os.pathsep.join(filter(None, (found.get("PYTHONPATH"), name)))
            return found

        monkeypatch.setattr(zygote, "zygote_environment", extended)
        monkeypatch.syspath_prepend(name)
        # a few imports are enough here, and changes follow one another
        monkeypatch.setattr(learning, "CHANGE", 100.0)
        monkeypatch.setattr(learning, "EACH_MIB", 1.0)
        monkeypatch.setattr(learning, "EVERY", 0.2)
        monkeypatch.setattr(preloading, "LOOK", 0.05)
        preloading.installed.cache_clear()
        yield path
        preloading.installed.cache_clear()


class Site:
    """A runner that learns, and its broker."""

    def __init__(self, broker: Broker, runner: Runner, lines: list[Any]) -> None:
        self.broker, self.runner, self.lines = broker, runner, lines

    async def outcome(self, code: str) -> Outcome:
        return await self.broker.submit({"code": code, "items": []}, timeout=60).outcome()

    async def value(self, code: str) -> Any:
        outcome = await self.outcome(code)
        assert outcome.data is not None, outcome.error
        return msgspec.json.decode(outcome.data.result)

    @property
    def learning(self) -> Learning:
        return self.runner.pool._preloading.learning

    @property
    def zygotes(self) -> set[int]:
        return {child.pid for child in psutil.Process().children()}

    def said(self, event: str) -> list[Any]:
        return [line for line in self.lines if line["event"] == event]

    async def import_until(self, module: str, condition: Callable[[], object]) -> None:
        """Tasks import it, until something has come of that; each of them is done."""
        while not condition():
            assert await self.value(IMPORT.format(module)) == [module]


@asynccontextmanager
async def site(environ: dict[str, str] | None = None, **changes: Any) -> AsyncIterator[Site]:
    allowed = {"N8N_RUNNERS_EXTERNAL_ALLOW": "*", **(environ or {})}
    async with serving(make_settings(allowed, **{"preload_learn": "on", **changes})) as there:
        yield Site(*there)


@pytest.mark.parametrize("language", ["restricted", pytest.param("python", marks=pytest.mark.slow)])
async def test_what_tasks_import_is_preloaded_and_no_task_notices(
    packages: Path, tmp_path: Path, language: str
) -> None:
    """Cold, then learnt; a task of the first zygote finishes, though it takes longer than the change."""
    state = tmp_path / "state"
    with fail_after(120):
        async with site(language=language, state_path=str(state)) as here:
            first = here.zygotes
            long = here.broker.submit(
                {"code": "import time\nuntil = time.monotonic() + 4\nwhile time.monotonic() < until: pass\nreturn [1]",
                 "items": []}, timeout=60,
            )  # fmt: skip
            await here.import_until("slowly", lambda: here.learning.names)
            assert here.learning.names == ("slowly",)
            assert 1 << 20 <= here.learning.learnt["slowly"] < 64 << 20
            (line,) = here.said("a module is preloaded from now on")
            assert line["to_keep_it"] == "REPTARIUM_PRELOAD=slowly"
            checks = {check.name: check for check in here.runner.checks()}
            assert checks["preload"].detail == "REPTARIUM_PRELOAD=slowly"
            sample = here.runner.metrics.registry.get_sample_value
            assert sample("reptarium_preload_learnt_bytes", {"module": "slowly"}) == here.learning.learnt["slowly"]
            assert sample("reptarium_preload_changes_total", {"result": "learnt"}) == 1
            # what comes now has it
            assert await here.value(IMPORT.format("slowly")) == ["slowly"]
            assert here.learning.score("slowly", trio.current_time()) == 0
            outcome = await long.outcome()
            assert outcome.status == "done"
            while here.zygotes & first:
                await trio.sleep(0.01)
            assert sample("reptarium_zygote_restarts_total") == 0
            while not state.exists():
                await trio.sleep(0.01)
        # kept: the next runner begins with it
        async with site(language=language, state_path=str(state)) as here:
            assert here.learning.names == ("slowly",)
            await here.value(IMPORT.format("slowly"))
            assert here.learning.score("slowly", trio.current_time()) == 0
            assert here.said("a module is preloaded from now on") == []
            (line,) = here.said("what was learnt is preloaded")
            assert (line["to_keep_it"], line["path"]) == ("REPTARIUM_PRELOAD=slowly", str(state))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("crashes", "SIGABRT"),
        ("exits", "exit status 0"),
        ("threads", "starts threads"),
    ],
)
async def test_what_cannot_be_preloaded_is_left_out_for_good(packages: Path, module: str, reason: str) -> None:
    """It is said, and costs no task anything; what else is imported is learnt all the same."""
    with fail_after(120):
        async with site() as here:
            first = here.zygotes
            await here.import_until(module, lambda: here.learning.left_out)
            assert reason in here.learning.left_out[module]
            (line,) = here.said("a module can't be preloaded and is left out for good")
            assert line["module"] == module
            assert f"{module} is left out" in here.runner.checks()[3].detail
            while here.zygotes != first:
                await trio.sleep(0.01)
            await here.import_until("slowly", lambda: here.learning.names)
            assert here.learning.names == ("slowly",)
            for _ in range(4):
                assert await here.value(IMPORT.format(module)) == [module]
            assert here.learning.due(1e9) is None


@pytest.mark.slow
async def test_a_start_with_what_no_zygote_comes_up_with(packages: Path, tmp_path: Path) -> None:
    """What is kept may be wrong by now: the runner starts without it, and finds out whose fault it is."""
    state = tmp_path / "state"
    state.write_text('{"version": 1, "pools": {"default": {"learnt": {"slowly": 1, "crashes": 1}, "left_out": {}}}}')
    with fail_after(120):
        async with site(state_path=str(state)) as here:
            (line,) = here.said("no zygote comes up with what was learnt to preload: without it")
            assert line["modules"] == ("slowly", "crashes")
            await here.import_until("crashes", lambda: here.learning.left_out)
            await here.import_until("slowly", lambda: here.learning.names)
            assert here.learning.names == ("slowly",)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"[1]", b'{"version": 2}', b'{"version": 1, "pools": {"default": {"learnt": {"a": "b"}}}}',
     b'{"version": 1, "pools": {"default": {"learnt": {"a": 1e999}}}}', b"[" * 100_000, b" " * (2 << 20), "directory",
     "fifo"],
)  # fmt: skip
async def test_a_state_file_that_is_none(tmp_path: Path, content: bytes | str) -> None:
    """It is ignored, with a line, and keeps no runner from starting."""
    from reptarium.pool.ops.metrics import Metrics
    from reptarium.pool.workers.learnt import Learnt

    state = tmp_path / "state"
    if content == "directory":
        state.mkdir()
    elif content == "fifo":
        os.mkfifo(state)
    elif isinstance(content, bytes):
        state.write_bytes(content)
    with capture_logs() as lines:
        learnt = Learnt(budget=1 << 30, meter=Metrics().preload, path=str(state))
    kept = [] if content != "directory" else ["what is learnt can't be kept"]
    assert [line["event"] for line in lines] == ["what was learnt can't be read and is ignored", *kept]
    assert learnt.said == ""


@pytest.mark.parametrize(("place", "reason"), [("none/state", "No such file"), ("file/state", "Not a directory")])
async def test_a_state_file_that_cannot_be_written(tmp_path: Path, place: str, reason: str) -> None:
    """The start says so, not the first change hours later; one that can be leaves nothing behind."""
    from reptarium.pool.ops.metrics import Metrics
    from reptarium.pool.workers.learnt import Learnt

    (tmp_path / "file").touch()
    with capture_logs() as lines:
        Learnt(budget=1 << 30, meter=Metrics().preload, path=str(tmp_path / place))
    assert lines[-1]["event"] == "what is learnt can't be kept"
    assert lines[-1]["reason"].startswith(reason)
    with capture_logs() as lines:
        Learnt(budget=1 << 30, meter=Metrics().preload, path=str(tmp_path / "state"))
    assert lines == []
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.slow
async def test_what_is_too_dear_is_not_learnt(packages: Path) -> None:
    """Its zygote ends, and the first one goes on."""
    with fail_after(120):
        async with site(preload_memory=1 << 20) as here:
            first = here.zygotes
            event = "a module takes more memory than preloading it is worth"
            await here.import_until("slowly", lambda: here.said(event))
            assert here.learning.names == ()
            while here.zygotes != first:
                await trio.sleep(0.01)


async def test_off(packages: Path) -> None:
    """Nothing is learnt."""
    with fail_after(60):
        async with site(preload_learn="off") as here:
            for _ in range(5):
                assert await here.value(IMPORT.format("slowly")) == ["slowly"]
            assert here.learning._scores == {}


@pytest.mark.parametrize("grant", [True, False])
async def test_who_is_connected_to_before_all_is_preloaded(grant: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a grant, which runs out, the broker, and nothing is offered until the pool is ready; otherwise nobody."""
    ready = trio.Event()
    with fail_after(120):
        async with open_broker(BrokerConfig(auth_token="secret", drain_grace=0.2)) as broker:
            tokens: dict[str, Any] = {"auth_token": None if grant else "secret"}
            tokens["grant_token"] = broker.grant_token() if grant else None
            runner = Runner(msgspec.structs.replace(make_settings(), broker_uris=(broker.uri,), **tokens))
            run = runner.pools.run

            async def late(*, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
                await ready.wait()
                await run(task_status=task_status)

            monkeypatch.setattr(runner.pools, "run", late)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(runner.run)
                if grant:
                    await broker.wait_for_runner()
                    handle = broker.submit({"code": "return [1]", "items": []}, timeout=60)
                    await trio.sleep(0.2)
                    assert runner.links[0].registered
                    assert (runner.links[0].open_offers, runner.accepted) == (0, 0)
                    ready.set()
                else:
                    await trio.sleep(0.2)
                    assert runner.links == []
                    ready.set()
                    await broker.wait_for_runner()
                    handle = broker.submit({"code": "return [1]", "items": []}, timeout=60)
                assert (await handle.outcome()).status == "done"
                runner.shutdown()
