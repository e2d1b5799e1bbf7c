"""``reptarium demo``: the example scripts, and what comes out."""

from __future__ import annotations

import argparse

from reptarium.pool.cli.interruptible import run_interruptibly
from reptarium.pool.demo import demo


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments: there are none."""
    parser.description = "Run a handful of example scripts through the whole path and show what comes out."


def call(_: argparse.Namespace) -> int:
    """Run every script. Exit status 1 when one ends otherwise than it is meant to."""
    return run_interruptibly(demo)
