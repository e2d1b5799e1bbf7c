"""``make mutants``: break the sandbox in one place after the other, and see that the tests named beside it tell.

A scratch clone of the repository (what is committed) gives the tests; a copy of its packages, laid out as they are
installed, is what each mutant is applied to. An interpreter of its own finds that copy, and the dependencies where this
one has them: children of tests, which start with an empty environment, find the same. A mutant's workers may outlive
their zygote, and the tests: what is left of each run is ended. Exit status: 0 when every mutant
was caught, 1 when one was not, 2 when the tests fail without any, or a mutant doesn't fit the code any more.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import tomllib
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLE = Path(__file__).resolve().with_name("mutants.toml")
#: How many times as long the tests of one mutant may take as they took without it, and seconds at least and at most:
#: longer is not caught, it hangs. A machine with much to do is no fault of the tests.
TIMES, LEAST, MOST = 10, 300.0, 3600.0


@dataclass(frozen=True)
class Mutant:
    """One broken behaviour, and what must tell."""

    breaks: str
    file: str
    find: str
    replace: str
    tests: tuple[str, ...]


class Unfit(Exception):
    """The mutant, or what it is tried on, is not as the table says."""


def mutants(table: Path = TABLE) -> list[Mutant]:
    """The table. Raises TypeError for an entry with other fields."""
    entries = tomllib.loads(table.read_text("utf-8"))["mutant"]
    return [Mutant(**{**entry, "tests": tuple(entry["tests"])}) for entry in entries]


def mutated(mutant: Mutant, text: str) -> str:
    """``text`` with the mutation. Raises Unfit."""
    if text.count(mutant.find) != 1:
        raise Unfit(f"{mutant.file}: {mutant.find!r} stands there {text.count(mutant.find)} times instead of once")
    return text.replace(mutant.find, mutant.replace)


def adopt() -> None:
    """Be the parent of what loses its own: processes that a mutant's tests leave behind (prctl(2))."""
    if ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0):  # PR_SET_CHILD_SUBREAPER
        raise OSError(ctypes.get_errno(), "no process is adopted here")


def end_what_is_left() -> int:
    """Kill and reap every child that this process has, and what they leave behind. Returns how many there were."""
    ended = 0
    while children := [
        pid for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))) if _parent(pid) == os.getpid()
    ]:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        ended += len(children)
    return ended


def _parent(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:  # it has ended
        return 0
    return int(stat.rpartition(")")[2].split()[1])


class Scratch:
    """The clone, the packages that mutants are applied to, and the interpreter that runs them."""

    def __init__(self, place: Path) -> None:
        self.clone = place / "clone"
        subprocess.run(["git", "clone", "-q", "--shared", str(ROOT), str(self.clone)], check=True)
        site = place / "site"
        self.package = site / "reptarium"
        shutil.copytree(self.clone / "pool" / "reptarium", self.package)
        for side in ("pool", "sandbox"):
            shutil.copytree(self.clone / side, self.package / side)
        venv.create(place / "venv", symlinks=True)
        # a path in a .pth is looked in, but its own .pth files, such as an editable install's, are not followed
        found = subprocess.run(
            [place / "venv" / "bin" / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        Path(found.stdout.strip(), "scratch.pth").write_text(f"{site}\n{sysconfig.get_path('purelib')}\n")
        self.python = place / "venv" / "bin" / "python"
        # read by all; what is mutated, or was, is compiled by each interpreter, since nobody writes byte code (-B)
        subprocess.run([self.python, "-m", "compileall", "-q", "-x", "/scripts/", site], check=True)

    def passes(self, tests: tuple[str, ...], patience: float = MOST) -> bool:
        """Whether these tests pass. Raises Unfit when they could not be run, or take longer than so many seconds."""
        try:
            done = subprocess.run(
                [self.python, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests],
                cwd=self.clone, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=patience, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Unfit(f"the tests hang: {' '.join(tests)}") from None
        finally:
            end_what_is_left()
        if done.returncode not in (0, 1) or " passed" not in done.stdout + " passed" * done.returncode:
            raise Unfit(f"{' '.join(tests)} can't be run: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.returncode == 0

    def catches(self, mutant: Mutant, patience: float) -> bool:
        """Whether the tests tell, in so many seconds. Raises Unfit."""
        path = self.package / Path(mutant.file)
        original = path.read_text("utf-8")
        try:
            path.write_text(mutated(mutant, original), "utf-8")
            return not self.passes(mutant.tests, patience)
        finally:
            path.write_text(original, "utf-8")


def main() -> int:
    """Try all of them, or those whose text has a word in it. Returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", metavar="WORD", help="mutants whose file or behaviour has this in it")
    chosen = [one for one in mutants() if parser.parse_args().only in f"{one.file} {one.breaks}"]
    status = 0
    adopt()
    with tempfile.TemporaryDirectory(prefix="reptarium-mutants-") as place:
        scratch = Scratch(Path(place))
        took: dict[tuple[str, ...], float] = {}  # tests → seconds without a mutant
        for number, mutant in enumerate(chosen, 1):
            print(f"{number}/{len(chosen)} {mutant.file}: {mutant.breaks} … ", end="", flush=True)
            began = time.monotonic()
            try:
                if mutant.tests not in took and not scratch.passes(mutant.tests):
                    raise Unfit(f"the tests fail without the mutant, too: {' '.join(mutant.tests)}")
                took.setdefault(mutant.tests, time.monotonic() - began)
                caught = scratch.catches(mutant, min(MOST, max(LEAST, TIMES * took[mutant.tests])))
            except Unfit as error:
                print(f"UNFIT: {error}")
                status = 2
                continue
            print(f"{'caught' if caught else 'NOT CAUGHT'} ({time.monotonic() - began:.0f} s)")
            if not caught:
                status = max(status, 1)
    print("All mutants were caught." if status == 0 else "Some mutants were not caught, or don't fit: see above.")
    return status


if __name__ == "__main__":
    sys.exit(main())
