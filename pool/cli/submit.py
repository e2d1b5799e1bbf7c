"""``reptarium submit``: one script on a runner of an embedded broker that runs already."""

from __future__ import annotations

import argparse
import os
from functools import partial

import msgspec

from reptarium.pool.brokers.errors import LinkError
from reptarium.pool.brokers.stream import broker_tls
from reptarium.pool.cli.asking import Asked, NoAnswer, ask
from reptarium.pool.cli.flagged import flagged
from reptarium.pool.cli.interruptible import run_interruptibly
from reptarium.pool.cli.numbers import positive
from reptarium.pool.cli.say import say
from reptarium.pool.cli.showing import show, show_print
from reptarium.pool.cli.status import BAD_CONFIG, BAD_INPUT, FAILED
from reptarium.pool.cli.task_input import BadInput, read_task, task_arguments
from reptarium.pool.config import Settings, load_settings
from reptarium.pool.embedded_broker.requesters import TaskRequest
from reptarium.pool.embedded_broker.settings import task_settings
from reptarium.sandbox.nesting import room

_BROKER, _TIMEOUT = "N8N_RUNNERS_TASK_BROKER_URI", "N8N_RUNNERS_TASK_TIMEOUT"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description = (
        "Hand CODE.py, or a node of WORKFLOW.json, to a running `reptarium broker`, which gives it to a runner: so a "
        "runner of whichever make is tried without n8n. The broker's token is read from N8N_RUNNERS_AUTH_TOKEN. Output "
        "and exit status are those of `reptarium exec`; 2 also when the broker can't be reached or refuses."
    )
    task_arguments(parser)
    parser.add_argument(
        "--broker", metavar="URL", help="(default: N8N_RUNNERS_TASK_BROKER_URI, http://127.0.0.1:5679); https: "
        "REPTARIUM_BROKER_CA has a private authority",
    )  # fmt: skip
    parser.add_argument("--timeout", metavar="S", help="time limit (default: N8N_RUNNERS_TASK_TIMEOUT, 60)")
    parser.add_argument(
        "--queue-timeout",
        type=positive,
        default=60.0,
        metavar="S",
        help="how long a runner is waited for (default: 60)",
    )


@room()
def call(arguments: argparse.Namespace) -> int:
    """Run the script. Returns the exit status."""
    given = {_BROKER: ("--broker", arguments.broker), _TIMEOUT: ("--timeout", arguments.timeout)}
    settings = flagged("submit", os.environ, given, load_settings)
    if settings is None:
        return BAD_INPUT
    if len(settings.broker_uris) > 1 or settings.broker_uris[0].startswith("dns+"):
        say("reptarium submit: --broker: one broker is wanted, at an address of its own")
        return BAD_INPUT
    if settings.auth_token is None:
        say("reptarium submit: N8N_RUNNERS_AUTH_TOKEN is not set; `reptarium broker` prints the token that it has made")
        return BAD_CONFIG
    try:
        task = read_task(arguments, "submit").task
        request = TaskRequest(task_settings(task), settings.task_timeout, arguments.queue_timeout)
    except (BadInput, ValueError) as error:
        say(f"reptarium submit: {error}")
        return BAD_INPUT
    return run_interruptibly(partial(_submit, settings, request, raw=arguments.raw or "query" in task))


async def _submit(settings: Settings, request: TaskRequest, *, raw: bool) -> int:
    uri = settings.broker_uris[0]
    try:
        asked = Asked(uri, settings.broker_path, settings.auth_token or "", broker_tls(settings))
        outcome = await ask(asked, msgspec.json.encode(request), show_print)
    except LinkError as error:
        say(f"reptarium submit: {error} (--broker)")
        return BAD_INPUT
    except NoAnswer as error:
        say(f"reptarium submit: {error}")
        return FAILED
    return show(outcome, raw)
