"""Preloading that learns: what tasks import is imported before they come, by another zygote beside the first.

Theory of operation. What is worth it is decided elsewhere (``learning.py``); here it is carried out, one module at a
time. A zygote is started with the longer list beside the one that serves. When it is ready and has parked as many
workers as the pool keeps, it is known what the module costs, and whether it is kept: then the pool goes over to it
(``WorkerPool.succeed``), and the first one ends with its last task. Tasks notice nothing: until that moment they have
workers of the first, from then on of the second, of which as many are parked.

Whatever goes wrong with the second is nobody's trouble but the module's. It is left out for good when the zygote ends
before it is ready, or says that the import fails or starts threads; when it can't fork or the time is bad, another try
follows.
"""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Callable
from functools import cache
from typing import Protocol

import msgspec
import structlog
import trio

from reptarium.pool.ops.preload_metrics import PreloadMetrics
from reptarium.pool.workers.brood import Brood, Owner
from reptarium.pool.workers.learning import Learning, Remembered
from reptarium.pool.workers.succession import Predecessor, Successor, added, memory
from reptarium.pool.workers.worker import Worker
from reptarium.pool.workers.zygote import START_TIMEOUT
from reptarium.sandbox import wire
from reptarium.sandbox.language.policy import LanguagePolicy

__all__ = ["Preloading", "installed"]

log = structlog.get_logger("reptarium.pool.workers.preloading")

#: Seconds: between two looks at whether something is due; in which a zygote that is ready parks its workers.
LOOK, PARKING = 0.5, 30.0


class Pool(Predecessor, Protocol):
    """Whose zygotes change over."""

    config: wire.ZygoteConfig
    size: int

    def serving(self, *, calm: bool) -> tuple[Brood, list[Worker]] | None:
        """The zygote that serves, and its parked workers. ``calm``: None at a bad time for changes."""

    def beside(self, owner: Owner, config: wire.ZygoteConfig) -> Brood:
        """Another zygote. Raises OSError."""

    def succeed(self, old: Brood, new: Brood, hello: wire.Hello, parked: list[Worker]) -> None:
        """Have the workers of this one from now on."""


class Preloading:
    """What one pool has learnt, and its changes. ``keep`` has what is learnt written down, where it is."""

    def __init__(
        self, learning: Learning, meter: PreloadMetrics, keep: Callable[[Remembered], None] = lambda what: None
    ) -> None:
        self.learning = learning
        self._meter = meter
        self._keep = keep

    @classmethod
    def of_nothing(cls, policy: LanguagePolicy, meter: PreloadMetrics) -> Preloading:
        """That of a pool which learns nothing."""
        return cls(Learning(policy, budget=0), meter)

    def added(self, config: wire.ZygoteConfig, *more: str) -> wire.ZygoteConfig:
        """``config`` with what is learnt, and with ``more``."""
        language = config.language
        names = (*language.preload, *self.learning.names, *more)
        return msgspec.structs.replace(config, language=msgspec.structs.replace(language, preload=names))

    def heard(self, worker: Worker) -> None:
        """Its task has ended: what did that import?"""
        if worker.imported:
            report, worker.imported = worker.imported, b""
            self.learning.heard(report, trio.current_time())

    def greeted(self, hello: wire.Hello) -> None:
        """A zygote has come up, perhaps without some of what was learnt."""
        failed = {name: hello.failed[name] for name in self.learning.names if name in hello.failed}
        for name, reason in failed.items():
            self._leave_out(name, reason)

    def distrust(self, reason: str) -> bool:
        """A zygote has ended before it was ready. Whether the next one does without something."""
        names = self.learning.distrust()
        if names:
            log.error("no zygote comes up with what was learnt to preload: without it", modules=names, reason=reason)
            self._meter.learnt(self, self.learning.learnt)
        return bool(names)

    @property
    def said(self) -> str:
        """What is learnt, as a line for the environment, and what is left out."""
        left_out = [f"{name} is left out: {reason}" for name, reason in self.learning.left_out.items()]
        return "; ".join([self.learning.line, *left_out] if self.learning.names else left_out)

    # ---- changes ------------------------------------------------------------------------

    async def run(self, pool: Pool) -> None:
        """Try what is due, one after the other, until cancelled."""
        self.learning.installed = installed()
        self._meter.learnt(self, self.learning.learnt)
        try:
            while True:
                await trio.sleep(LOOK)
                now = trio.current_time()
                name = self.learning.due(now)
                if name is not None and (serving := pool.serving(calm=True)) is not None:
                    self.learning.begin(now)
                    await self._try(pool, serving[0], name)
        finally:
            self._meter.learnt(self, {})

    async def _try(self, pool: Pool, old: Brood, name: str) -> None:
        successor = Successor(pool, pool.size)
        try:
            brood = pool.beside(successor, self.added(pool.config, name))
        except OSError as error:
            self._put_off(name, str(error))
            return
        taken = False
        try:
            await self._settle(successor, brood, pool.config.patience)
            taken = self._conclude(pool, old, brood, successor, name)
        finally:
            if not taken:
                brood.end()

    @staticmethod
    async def _settle(successor: Successor, brood: Brood, patience: float) -> None:
        with trio.move_on_after((START_TIMEOUT + PARKING) * patience):
            while not successor.settled.is_set():
                before = trio.current_time()
                with trio.move_on_after(LOOK):
                    await successor.settled.wait()
                brood.look(min(trio.current_time() - before, 2 * LOOK))

    def _conclude(self, pool: Pool, old: Brood, brood: Brood, successor: Successor, name: str) -> bool:
        """What becomes of the module. Whether the new zygote serves from now on."""
        hello, now = successor.hello, trio.current_time()
        if hello is None:
            self._leave_out(name, str(successor.failure or "it takes too long"))
            return False
        if name in hello.failed:
            self._leave_out(name, hello.failed[name])
            return False
        serving = pool.serving(calm=False)  # it may be slow by now: so much the better
        if not successor.whole or serving is None or serving[0] is not old:
            self._put_off(name, str(successor.failure or "the zygote beside it was replaced meanwhile"))
            return False
        try:
            size = pool.size if serving[1] else 0  # where all have a task, zygotes are compared
            cost = added(memory(brood, successor.parked), memory(old, serving[1]), size)
        except OSError as error:
            self._put_off(name, str(error))
            return False
        saved = self.learning.score(name, now)
        verdict = self.learning.tried(name, cost, now)
        self._meter.changed(verdict)
        told = {"module": name, "memory_bytes": cost, "imports_ms": round(saved)}
        if verdict != "learnt":
            log.info("a module takes more memory than preloading it is worth", **told)
            return False
        pool.succeed(old, brood, hello, successor.parked)
        log.info("a module is preloaded from now on", **told, to_keep_it=self.learning.line)
        self._told()
        return True

    def _leave_out(self, name: str, reason: str) -> None:
        self.learning.leave_out(name, reason)
        self._meter.changed("left out")
        log.warning("a module can't be preloaded and is left out for good", module=name, reason=reason)
        self._told()

    def _put_off(self, name: str, reason: str) -> None:
        self._meter.changed("put off")
        log.info("a module could not be preloaded now", module=name, reason=reason)

    def _told(self) -> None:
        self._meter.learnt(self, self.learning.learnt)
        self._keep(self.learning.remembered)


@cache
def installed() -> frozenset[str]:
    """The modules at the top that can be imported here, by their files alone."""
    return frozenset(module.name for module in pkgutil.iter_modules()) | sys.stdlib_module_names
