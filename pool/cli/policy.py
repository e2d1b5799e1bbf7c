"""``reptarium policy``: checks a file of rules, says which rule a task comes under, prints the schema for editors."""

from __future__ import annotations

import argparse
import os
import sys

from reptarium.pool.cli.status import BAD_CONFIG, BAD_INPUT
from reptarium.pool.config import load_settings
from reptarium.pool.config.table import BY_RULE
from reptarium.pool.policy.file import PolicyError, read_policy
from reptarium.pool.policy.rules import DEFAULT, Policy, Rule, Subject
from reptarium.pool.policy.schema import render
from reptarium.pool.tasks.rulings import wanted_pools


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description = "Rules that give some workflows and nodes other powers and limits. See docs/policy.md."
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    check = commands.add_parser(
        "check",
        help="check a file of rules, and show them",
        description="Check a file of rules against the settings of this environment, and show them. With "
        "--workflow-id, --workflow or --node: which of them such a task comes under. Exit status: 0 it can be used, "
        "2 bad usage, 78 it can't be (or the environment is wrong).",
    )
    check.add_argument("file", metavar="FILE", nargs="?", help="the file (default: REPTARIUM_POLICY)")
    check.add_argument("--workflow-id", metavar="ID", help="a task of the workflow with this id")
    check.add_argument("--workflow", metavar="NAME", help="a task of a workflow of this name")
    check.add_argument("--node", metavar="NAME", help="a task of a node of this name")
    check.set_defaults(policy=_check)
    schema = commands.add_parser(
        "schema",
        help="print the JSON Schema of such files, for editors",
        description="Print the JSON Schema of such files, for editors.",
    )
    schema.set_defaults(policy=_schema)


def call(arguments: argparse.Namespace) -> int:
    """Carry out one of its commands. Returns the exit status."""
    return int(arguments.policy(arguments))


def _schema(arguments: argparse.Namespace) -> int:
    print(render(), end="")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    settings = load_settings(os.environ)
    path = arguments.file or settings.policy
    if path is None:
        print("reptarium policy check: name a FILE, or set REPTARIUM_POLICY", file=sys.stderr)
        return BAD_INPUT
    try:
        policy = read_policy(path, settings)
        pools = len(wanted_pools(policy))
    except PolicyError as error:
        print(error, file=sys.stderr)
        return BAD_CONFIG
    for warning in policy.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    asked = Subject(arguments.workflow_id, arguments.workflow, arguments.node)
    if asked != Subject():
        rule = policy.rule_for(asked)
        print(f"rule: {DEFAULT if rule is None else rule.name}")
        for line in [] if rule is None else changes(rule):
            print(f"  {line}")
        return 0
    print("\n".join(described(policy)))
    print(f"{len(policy.rules)} rules, {pools} {'pool' if pools == 1 else 'pools'} of at most {settings.max_pools}")
    return 0


def described(policy: Policy) -> list[str]:
    """The rules in words, a line for each and for what it changes."""
    lines = []
    for rule in policy.rules:
        conditions = "; ".join(f"{key} {', '.join(values)}" for key, values in rule.conditions.items())
        lines += [f"rule {rule.name}: {conditions or 'every task'}", *(f"  {line}" for line in changes(rule))]
    return lines


def changes(rule: Rule) -> list[str]:
    """What a rule sets, as `run --print-config` shows values."""
    shown = {key: BY_RULE[key].kind.show(value) if value is not None else "none" for key, value in rule.changes.items()}
    return [f"{key}  {value}" for key, value in shown.items()]
