"""``reptarium install``: the packages of a requirements file, without starting a runner."""

from __future__ import annotations

import argparse
import os

import msgspec

from reptarium.pool.cli.interruptible import run_interruptibly
from reptarium.pool.cli.say import say
from reptarium.pool.config import load_settings
from reptarium.pool.installing.installation import Installation
from reptarium.pool.installing.own import own_constraints
from reptarium.pool.installing.place import place_of
from reptarium.pool.installing.pruning import prune
from reptarium.pool.ops.logs import configure_logging
from reptarium.pool.refusal import StartRefused


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description = (
        "Install what REPTARIUM_REQUIREMENTS names into REPTARIUM_REQUIREMENTS_PATH, as `reptarium run` would at its "
        "start, and end: for an init container, or a machine that may reach an index. Prints where it is. Exit "
        "status: 0 it is there, 78 it can't be had, 130 interrupted."
    )
    parser.add_argument(
        "--constraints",
        action="store_true",
        help="instead, print the versions that the runner itself needs, as a file of constraints (pip-compile -c, uv "
        "pip compile -c)",
    )
    parser.add_argument(
        "--prune",
        action="store_true",
        help="then remove what lies there for other files, older versions of this one and other Pythons. Runners that "
        "still use it can't import from it any more",
    )


def call(arguments: argparse.Namespace) -> int:
    """Install. Returns the exit status."""
    if arguments.constraints:
        print(own_constraints(), end="")
        return 0
    settings = load_settings(os.environ)
    configure_logging(msgspec.structs.replace(settings, log_level="warning"))
    for warning in settings.warnings:
        say(f"warning: {warning}")
    place = place_of(settings)
    if place is None:
        raise StartRefused("nothing to install: set REPTARIUM_REQUIREMENTS to a requirements file")
    run_interruptibly(Installation(place, settings, os.environ, lambda step: say(f"reptarium install: {step}")).have)
    if arguments.prune:
        try:
            for gone in prune(place):
                say(f"reptarium install: removed {gone}")
        except OSError as error:
            raise StartRefused(f"--prune: {error.filename or place.root}: {error.strerror or error}") from error
    print(place.site)
    return 0
