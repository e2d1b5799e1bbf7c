"""Play many histories, or one: ``python -m tests.simulation --seeds 100000`` or ``--seed 7``."""

from __future__ import annotations

import argparse
import io
import os
import sys
import traceback

from tests.simulation.many import many
from tests.simulation.world import Failure, play


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


if __name__ == "__main__":
    sys.exit(main())
