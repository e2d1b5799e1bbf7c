"""Play many histories, or one: ``python -m tests.simulation --seeds 100000`` or ``--seed 7``."""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Iterator

from tests.simulation.world import Failure, play

#: Seeds that a process plays between two words about its progress.
BATCH = 200


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", default="1000", help="how many, from 0 on, or a range: 5000-6000")
    parser.add_argument("--seed", type=int, help="one seed, with all its events")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--go-on", action="store_true", help="don't stop at the first failure")
    chosen = parser.parse_args()
    for stream in (sys.stdout, sys.stderr):  # garbage holds half a surrogate pair
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if chosen.seed is not None:
        return replay(chosen.seed)
    first, _, last = chosen.seeds.rpartition("-")
    return many(range(int(first or 0), int(last)), chosen.processes, go_on=chosen.go_on)


def replay(seed: int) -> int:
    """Every event of one seed. Returns the exit status."""
    try:
        print("\n".join(play(seed, keep=None).lines()))
    except Failure as failure:
        print("\n".join(failure.events))
        traceback.print_exception(failure.__cause__)
        print(failure)
        return 1
    print(f"seed {seed}: well")
    return 0


def many(seeds: range, processes: int, *, go_on: bool) -> int:
    """Every seed of a range, with progress. Returns the exit status."""
    began, done, failures = time.monotonic(), 0, 0
    batches = [range(start, min(start + BATCH, seeds.stop)) for start in range(seeds.start, seeds.stop, BATCH)]
    for played, failed in _results(batches, processes):
        done += played
        for seed, why, events in failed:
            failures += 1
            print("\n" + "\n".join([*events[-40:], why, f"again, with all its events: make simulate SEED={seed}"]))
        seconds = time.monotonic() - began
        print(
            f"\r{done} of {len(seeds)} seeds, {failures} failed, {seconds:.0f} s", end="", file=sys.stderr, flush=True
        )
        if failures and not go_on:
            break
    print(file=sys.stderr)
    print(f"{done} seeds in {time.monotonic() - began:.0f} s, {failures} failed")
    return 1 if failures else 0


Played = tuple[int, list[tuple[int, str, list[str]]]]


def _results(batches: list[range], processes: int) -> Iterator[Played]:
    if processes <= 1:
        yield from map(_play_all, batches)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(_play_all, batches)


def _play_all(seeds: range) -> Played:
    failed = []
    for seed in seeds:
        try:
            play(seed)
        except Failure as failure:
            failed.append((seed, str(failure), failure.events))
    return len(seeds), failed


if __name__ == "__main__":
    sys.exit(main())
