"""``reptarium stubs``: types of the names that a task has, and what tells editors and linters of them."""

from __future__ import annotations

import argparse
import re
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from reptarium.pool.cli.say import say
from reptarium.pool.cli.status import BAD_INPUT

_SNIPPET = """\
# What runs as a Code node: code with names of n8n's, `return` and `await` outside of functions.
[tool.pyright]
stubPath = {folder}

[tool.mypy]
mypy_path = {folder}

[tool.ruff]
builtins = [{names}]

[tool.ruff.lint]
extend-ignore = ["F704", "F706"]
"""
_FILE = "pyproject.toml"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description = (
        "Write types of the names that a task has (_items, _node, _helpers …) into DIR, for Pyright, Pylance and mypy, "
        "and what pyproject.toml needs for them: into a new one beside DIR, or to standard output where there is one."
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="the folder for them; it is made where it isn't there")


def call(arguments: argparse.Namespace) -> int:
    """Write them. Returns the exit status."""
    folder: Path = arguments.folder.absolute()
    folder = folder.resolve() if folder.name in ("", "..") else folder
    stubs = resources.files("reptarium.sandbox") / "userspace/reptarium-stubs"
    try:
        names = _copy(stubs, folder)
        text = _SNIPPET.format(folder=f'"{_escaped(folder.name)}"', names=", ".join(f'"{one}"' for one in names))
        project = folder.parent / _FILE
        if project.exists():
            say(f"reptarium stubs: {project} is there already; it needs this:")
            print(text, end="")
        else:
            project.write_text(text, "utf-8")
            say(f"wrote {folder} and {project}")
    except OSError as error:
        say(f"reptarium stubs: {error.filename}: {error.strerror}")
        return BAD_INPUT
    return 0


def _copy(stubs: Traversable, folder: Path) -> list[str]:
    """The stubs into the folder. Returns the names that they declare as builtins."""
    builtins = (stubs / "__builtins__.pyi").read_text("utf-8")
    (folder / "reptarium").mkdir(parents=True, exist_ok=True)
    (folder / "__builtins__.pyi").write_text(builtins, "utf-8")
    module = (stubs / "reptarium/__init__.pyi").read_text("utf-8")
    (folder / "reptarium/__init__.pyi").write_text(module, "utf-8")
    return re.findall(r"^    \w+ as (\w+),$", builtins, re.MULTILINE)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
