"""``reptarium check``: which Python nodes of workflows will run, what they need, and the settings for it."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path

import msgspec

from reptarium.pool.brokers.stream import broker_tls
from reptarium.pool.check.checking import Result, check, to_run
from reptarium.pool.check.distributions import look_in
from reptarium.pool.check.exports import Document, Problem, read_all
from reptarium.pool.check.n8n_api import PAGE, ApiError, base_of, in_the_clear, read_key, read_workflows
from reptarium.pool.check.proposal import POLICY_PATH
from reptarium.pool.check.report import as_json, page, sarif, table
from reptarium.pool.check.running import Answers, NoOtherRunner, read_answers, run_all
from reptarium.pool.check.workflows import Found, find
from reptarium.pool.cli.interruptible import run_interruptibly
from reptarium.pool.cli.say import say
from reptarium.pool.cli.status import BAD_CONFIG, BAD_INPUT, FAILED, INTERRUPTED, contained
from reptarium.pool.cli.task_input import BadInput, read_items, read_query
from reptarium.pool.config import Settings, load_settings
from reptarium.pool.installing.place import place_of
from reptarium.pool.ops.logs import configure_logging
from reptarium.pool.policy.file import PolicyError, read_policy
from reptarium.pool.policy.rules import Policy

#: Seconds between lines about progress, and before the first one.
_PACE = 5.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description = (
        "Read workflow exports of n8n's, say of each Python node whether it runs under the settings of this "
        "environment and what stands in its way, and give the smallest settings under which everything runs. Without "
        "--run no code is run. Exit status: 0 every node runs, 1 some don't, 2 something couldn't be read, 78 the "
        "environment is wrong, 130 it was interrupted. See docs/check.md."
    )
    parser.add_argument("places", metavar="FILE|DIR|-", nargs="*", help="exports: files, folders of them, '-'")
    parser.add_argument("--n8n-url", metavar="URL", help="also read the workflows of this n8n, over its public API")
    parser.add_argument("--api-key-file", metavar="FILE", help="the file with the key for it (Settings, n8n API)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="machine-readable output")
    form.add_argument("--sarif", action="store_true", help="output for code review (SARIF 2.1.0)")
    parser.add_argument(
        "--run", action="store_true", help="run each node in the sandbox on pinned items, and compare what comes out"
    )
    parser.add_argument(
        "--items", metavar="NODE=FILE", action="append", default=[], help="with --run: items for the nodes of this name"
    )
    parser.add_argument(
        "--query", metavar="NODE=TEXT", action="append", default=[],
        help="with --run: what the Code Tools of this name are asked (JSON, or text)",
    )  # fmt: skip
    parser.add_argument("--answers", metavar="FILE", help="with --run: recorded answers to calls to n8n")
    parser.add_argument("--against", metavar="CMD", help="with --run: compare with this runner, n8n's own")
    parser.add_argument("--html", metavar="FILE", help="also write the report as one page of HTML")
    parser.add_argument(
        "--settings", metavar="DIR", help="also write the settings: runner.env, requirements.txt, policy.toml"
    )


def call(arguments: argparse.Namespace) -> int:
    """Check. Returns the exit status."""
    if not arguments.places and not arguments.n8n_url:
        say("reptarium check: name a FILE or DIR, - for standard input, or --n8n-url")
        return BAD_INPUT
    if bool(arguments.n8n_url) != bool(arguments.api_key_file):
        say("reptarium check: --n8n-url needs --api-key-file, and the other way round")
        return BAD_INPUT
    if not arguments.run:
        idle = [f"--{flag}" for flag in ("items", "query", "answers", "against") if getattr(arguments, flag)]
        if idle:
            say(f"reptarium check: {idle[0]} is for --run")
            return BAD_INPUT
    settings = load_settings(os.environ)
    if (place := place_of(settings)) is not None and place.ready():
        look_in(str(place.site))
    try:
        policy = Policy(settings=settings) if settings.policy is None else read_policy(settings.policy, settings)
    except PolicyError as error:
        say(str(error))
        return BAD_CONFIG
    documents: Iterator[Document | Problem] = read_all(arguments.places)
    if arguments.n8n_url:
        try:
            documents = chain(documents, _of_n8n(arguments, settings))
        except ApiError as error:
            say(f"reptarium check: {error}")
            return BAD_INPUT
    found = find(documents)
    result = run_interruptibly(check, found, policy, _progress(len(found.nodes)))
    interrupted = False
    if arguments.run:
        try:
            interrupted = _run(arguments, result, policy)
        except BadInput as error:
            say(f"reptarium check: {error}")
            return BAD_INPUT
    try:
        _write_files(arguments, result)
    except OSError as error:
        say(f"reptarium check: {error.filename}: {error.strerror}")
        return BAD_INPUT
    _write(arguments, result)
    return INTERRUPTED if interrupted else status(found, result)


def _of_n8n(arguments: argparse.Namespace, settings: Settings) -> list[Document | Problem]:
    """What n8n itself has. Raises :class:`ApiError`."""
    base, key = base_of(arguments.n8n_url), read_key(arguments.api_key_file)
    if in_the_clear(base):
        say(f"reptarium check: {base} isn't encrypted: whoever is on the way can read the key")

    def tell(count: int) -> None:
        if count >= PAGE:
            say(f"reptarium check: {count:,} workflows read")

    return run_interruptibly(read_workflows, base, key, broker_tls(settings), tell)


def _run(arguments: argparse.Namespace, result: Result, policy: Policy) -> bool:
    """Run the nodes. Returns whether somebody has interrupted it: what came of those before is in the result.

    Raises :class:`BadInput`, and what :func:`run_all` raises.
    """
    nodes = result.checked.found.nodes
    tools = {node.name for node in nodes if node.tool}
    given = {
        name: read_items(path, "--items")
        for name, path in _named(arguments.items, {node.name for node in nodes} - tools, "--items", "NODE=FILE")
    }
    queries = {
        name: read_query(text, f"--query {name}")
        for name, text in _named(arguments.query, tools, "--query", "NODE=TEXT")
    }
    answers: Answers = {}
    if arguments.answers:
        try:
            answers = read_answers(Path(arguments.answers).read_text("utf-8-sig"))
        except (OSError, ValueError) as error:
            raise BadInput(f"--answers {arguments.answers}: {error}") from None
    wanted = to_run(result, policy)
    configure_logging(msgspec.structs.replace(policy.settings, log_level="critical"))
    run = partial(
        run_all, result.checked.found, wanted, result.runs, given=given, queries=queries, answers=answers,
        against=arguments.against, progress=_progress(len(wanted), "nodes run"),
    )  # fmt: skip
    try:
        run_interruptibly(run)
    except (NoOtherRunner, KeyboardInterrupt, BaseExceptionGroup) as error:
        if contained(error, KeyboardInterrupt) is not None:
            say("reptarium check: interrupted; what came of the nodes before is in the report")
            return True
        if (other := contained(error, NoOtherRunner)) is None:
            raise
        raise BadInput(str(other)) from None
    return False


def _named(pairs: list[str], names: set[str], option: str, form: str) -> Iterator[tuple[str, str]]:
    """What is given for nodes by their names. A name may hold "=": the longest that is one counts.

    Raises :class:`BadInput`, which names the option.
    """
    kind = "Code Tool" if option == "--query" else "Python Code node"
    for pair in pairs:
        parts = pair.split("=")
        if len(parts) == 1:
            raise BadInput(f"{option} {pair}: {form} is wanted")
        splits = [("=".join(parts[:at]), "=".join(parts[at:])) for at in range(len(parts) - 1, 0, -1)]
        found = next((split for split in splits if split[0] in names), None)
        if found is None:
            raise BadInput(f"{option} {pair}: there is no {kind} {splits[-1][0]!r}")
        yield found


def status(found: Found, result: Result) -> int:
    """The exit status of a check."""
    if found.problems:
        return BAD_INPUT
    failed = any(one.counts and one.status != "runs" for one in result.checked.reports)
    return FAILED if failed or any(one.verdict in ("fails", "differs") for one in result.runs) else 0


def _write_files(arguments: argparse.Namespace, result: Result) -> None:
    if arguments.html is not None:
        Path(arguments.html).write_text(page.render(result), "utf-8")
    if arguments.settings is not None:
        _write_settings(Path(arguments.settings), result)


def _write(arguments: argparse.Namespace, result: Result) -> None:
    if arguments.json:
        sys.stdout.write(as_json.render(result))
    elif arguments.sarif:
        sys.stdout.write(sarif.render(result))
    else:
        table.show(result)


def _write_settings(folder: Path, result: Result) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    proposal = result.proposal
    texts = {
        "runner.env": "\n".join(proposal.lines()),
        "requirements.txt": "\n".join(proposal.lines_to_install()),
        Path(POLICY_PATH).name: proposal.policy.rstrip(),
    }
    for name, text in texts.items():
        if text:
            (folder / name).write_text(text + "\n", "utf-8")


def _progress(total: int, what: str = "programs") -> Callable[[int], None]:
    """A line on standard error every few seconds, once the work has taken as long."""
    last = time.monotonic()

    def tell(done: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _PACE and done < total:
            last = time.monotonic()
            say(f"reptarium check: {done:,} of {total:,} {what}")

    return tell
