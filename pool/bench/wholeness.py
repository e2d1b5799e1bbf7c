"""What a site's processes hold, before the faults and after them: seen from the operating system."""

from __future__ import annotations

from contextlib import suppress

import msgspec
import psutil
import trio

from reptarium.pool.bench.faults import GIVEN_UP, alive
from reptarium.pool.bench.runners import Site
from reptarium.pool.bench.stats import descriptors_of, tree


class State(msgspec.Struct, frozen=True):
    """How much of what a site's processes hold."""

    processes: int
    descriptors: int
    threads: int


def state(site: Site) -> State:
    """What they hold now."""
    processes = descriptors = threads = 0
    for root in site.processes():
        processes += sum(alive(process) for process in tree(root))
        with suppress(psutil.NoSuchProcess):
            descriptors += descriptors_of(root)
            threads += root.num_threads()
    return State(processes, descriptors, threads)


async def quiet(site: Site) -> State:
    """What the site's processes hold once every pool is warm and nothing changes any more."""
    last, since = state(site), trio.current_time()
    with trio.move_on_after(GIVEN_UP):
        while trio.current_time() - since < 0.4:
            await trio.sleep(0.05)
            now = state(site)
            if now != last:
                last, since = now, trio.current_time()
    return last


def _status(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess):
        return str(process.status())
    return "gone"


def changed(site: Site, before: State) -> list[str]:
    """What isn't as before the faults, in words."""
    found, now, runners = [], state(site), len(site.runners)
    if now.processes != before.processes:
        found.append(f"{now.processes} processes where {before.processes} were before the faults")
    if now.descriptors > before.descriptors + 2 * runners:
        found.append(f"{now.descriptors} descriptors where {before.descriptors} were before the faults")
    # trio keeps an idle thread of its cache for ten seconds: one that fetched a grant is not a leak
    if now.threads > before.threads + runners:
        found.append(f"{now.threads} threads where {before.threads} were before the faults")
    for root in site.processes():
        for status in (psutil.STATUS_ZOMBIE, psutil.STATUS_STOPPED):
            pids = [process.pid for process in tree(root) if _status(process) == status]
            if pids:
                found.append(f"processes that are {status}: {pids}")
    return found
