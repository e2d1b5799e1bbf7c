"""What ``reptarium bench`` is told: the values of its flags, scripts to run, what doesn't go together."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from reptarium.pool.bench import brokers
from reptarium.pool.bench.measuring import Work
from reptarium.pool.bench.scripts import Script, script
from reptarium.pool.bench.stages import Stage, ramp, steady, steps
from reptarium.pool.bench.thresholds import Threshold, threshold
from reptarium.pool.cli.numbers import count, positive
from reptarium.pool.cli.task_input import BadInput, read_items, read_json, read_text
from reptarium.pool.embedded_broker.items import NotItems

#: The name of a mix of one's own scripts.
SCRIPTS = "scripts"

T = TypeVar("T")


def limit(text: str) -> Threshold:
    """A condition under which the run has failed."""
    return _told(threshold, text)


def rate(text: str) -> tuple[Stage, ...]:
    """Tasks a second."""
    return steady(positive(text))


def rising(text: str) -> tuple[Stage, ...]:
    """A rate that rises or falls."""
    return _told(ramp, text)


def stepwise(text: str) -> tuple[Stage, ...]:
    """Rates one after the other."""
    return _told(steps, text)


def report_file(text: str) -> Path:
    """Where the report is written to."""
    if (path := Path(text)).suffix not in (".html", ".json"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither .html nor .json")
    return path


def _told(read: Callable[[str], T], text: str) -> T:
    try:
        return read(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


class _Given:
    """A ``--script``, and the flags that stand behind it."""

    def __init__(self, text: str) -> None:
        self.items: str | None = None
        self.expect: str | None = None
        self.each_item = False
        self.path, self.weight = Path(text), 1
        name, sign, weight = text.rpartition("=")
        if sign and not self.path.exists():
            self.path, self.weight = Path(name), count(weight)

    def case(self) -> Script:
        """The case of it. Raises :class:`BadInput`, which names the flag."""
        try:
            code = read_text(str(self.path))
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"--script {self.path}: {getattr(error, 'strerror', None) or error}") from None
        items = [] if self.items is None else read_items(self.items, "--items")
        wanted = None if self.expect is None else read_json(self.expect, "--expect")
        try:
            return script(self.path, code, items, weight=self.weight, each_item=self.each_item, wanted=wanted)
        except NotItems as error:
            raise BadInput(f"--expect {self.expect}: no result that n8n takes: {error}") from None


class _OfScript(argparse.Action):
    """A flag of the ``--script`` before it."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Give it to that script. Ends the command where there is none."""
        if not namespace.script:
            parser.error(f"{option_string} belongs to a --script, and comes after it")
        setattr(namespace.script[-1], self.dest, True if self.nargs == 0 else values)


def script_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of scripts."""
    group = parser.add_argument_group("scripts of one's own")
    group.add_argument(
        "--script", type=_Given, action="append", default=[], metavar="FILE[=WEIGHT]",
        help="a script as a case; several are one case, mixed by their weights (default: 1). Every task must give what "
        "n8n takes",
    )  # fmt: skip
    for name, text in (
        ("--items", "JSON list of items for the script before it"),
        ("--expect", "the items that must come of it, as `reptarium exec` prints them"),
    ):
        group.add_argument(name, action=_OfScript, metavar="FILE", default=argparse.SUPPRESS, help=text)
    group.add_argument(
        "--each-item", action=_OfScript, nargs=0, default=argparse.SUPPRESS, help="it runs for each item"
    )


def of_scripts(given: Sequence[_Given]) -> list[Work]:
    """The work that scripts make: none, or one. Raises :class:`BadInput`."""
    cases = tuple(one.case() for one in given)
    names = [case.name for case in cases]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise BadInput(f"--script: two files are called {doubled[0]}, and figures go by that name")
    return [Work(names[0] if len(names) == 1 else SCRIPTS, cases)] if cases else []


def conflict(arguments: argparse.Namespace) -> str | None:
    """What was given and doesn't go together, in words."""
    listening = arguments.listen is not None
    for flag, value, why in (
        ("--against", arguments.against, "runners that come of themselves take no turns"),
        ("--runner-cmd", arguments.runner_cmd, "the runners are started elsewhere"),
        ("--runners", arguments.runners, "--expect-runners says how many"),
        ("--chaos", arguments.chaos, "it breaks runners that it has started itself"),
    ):
        if listening and value:
            return f"{flag} doesn't go with --listen: {why}"
    if listening and brokers.NAME in (arguments.case or ()):
        return f"--case {brokers.NAME} doesn't go with --listen: it starts a runner for many brokers"
    for flag, value in (
        ("--tls-cert", arguments.tls_cert),
        ("--tls-key", arguments.tls_key),
        ("--expect-runners", arguments.expect_runners),
        ("--expect-within", arguments.expect_within),
    ):
        if not listening and value is not None:
            return f"{flag} needs --listen"
    changing = "--ramp" if arguments.ramp else "--steps" if arguments.steps else None
    for flag, value in (("--tasks", arguments.tasks), ("--duration", arguments.duration)):
        if changing and value is not None:
            return f"{flag} doesn't go with {changing}, which says how long it takes"
    for flag, value in (
        ("--report", arguments.report),
        ("--script", arguments.script),
        ("--case", arguments.case),
        ("--against", arguments.against),
        ("--metrics", arguments.metrics),
        ("--fail-if", arguments.fail_if),
        ("--targets", arguments.targets),
    ):
        if arguments.chaos and value:
            return f"{flag} doesn't go with --chaos, which has tasks and a verdict of its own"
    return None
