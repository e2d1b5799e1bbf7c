"""Rules from a file: TOML, with strict types. Every mistake is said, with file, line, rule and key, not only the first.

    [[rule]]
    name = "charts"
    workflow = "Report *"
    scratch = "64MiB"

Keys are conditions (:data:`CONDITIONS`) and settings: those of the table that are marked for it
(``config/table.py``), named like their variables, without prefix and in lower case.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from reptarium.pool.config import ConfigError, Settings, contradictions, oddities
from reptarium.pool.config.table import BY_RULE
from reptarium.pool.config.variable import Variable
from reptarium.pool.policy.lines import Place, lines_of
from reptarium.pool.policy.rules import DEFAULT, Policy, Rule

__all__ = ["CONDITIONS", "LONGEST_NAME", "PolicyError", "parse_policy", "read_policy"]

CONDITIONS = {
    "workflow_id": "Id of the workflow, as in its address in n8n; or a list of them.",
    "workflow": "Name of the workflow, with * for any characters and ? for one; or a list of such patterns.",
    "node": "Name of the node, likewise.",
}
#: Characters of a rule's name: it stands in log lines.
LONGEST_NAME = 64
_LONGEST_FILE = 1 << 20
_KEYS = ("name", *CONDITIONS, *BY_RULE)
_WORDS = {"string": "a text", "integer": "a whole number", "number": "a number", "array": "a list of texts"}


class PolicyError(ConfigError):
    """The file can't be used. `problems` has a line for each mistake."""


def read_policy(path: str, settings: Settings) -> Policy:
    """The rules in a file, over the environment's settings. Raises :class:`PolicyError`."""
    try:
        if Path(path).is_fifo():  # nobody may ever write to it
            raise PolicyError((f"{path}: a pipe; expected a file",))
        with Path(path).open("rb") as file:
            raw = file.read(_LONGEST_FILE + 1)
    except OSError as error:
        raise PolicyError((f"{path}: can't be read ({error.strerror})",)) from error
    if len(raw) > _LONGEST_FILE:
        raise PolicyError((f"{path}: longer than {_LONGEST_FILE >> 20} MiB, no file of rules",))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PolicyError((f"{path}: not UTF-8 (byte {error.start})",)) from None
    return parse_policy(text, settings, path)


def parse_policy(text: str, settings: Settings, path: str) -> Policy:
    """The rules in a text; ``path`` is for errors. Raises :class:`PolicyError`."""
    try:
        document = tomllib.loads(text.replace("\r\n", "\n"))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        found = re.search(r"\(at line (\d+), ", str(error))
        raise PolicyError((f"{path}{f':{found[1]}' if found else ''}: not TOML: {error}",)) from None
    reader = _Reader(path, lines_of(text), settings)
    reader.read(document)
    if reader.problems:
        raise PolicyError(tuple(reader.problems))
    return Policy(settings=settings, rules=tuple(reader.rules), warnings=tuple(reader.warnings))


class _Reader:
    def __init__(self, path: str, lines: Mapping[Place, int], settings: Settings) -> None:
        self.rules: list[Rule] = []
        self.problems: list[str] = []
        self.warnings: list[str] = []
        self._path = path
        self._lines = lines
        self._settings = settings
        self._names: set[str] = set()

    def read(self, document: Mapping[str, Any]) -> None:
        for key in document:
            if key != "rule":
                self.problems.append(f"{self._at(key)}: {key!r} is no key of this file; expected [[rule]] only")
        tables = document.get("rule", [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self.problems.append(f"{self._at('rule')}: rules are written [[rule]], with two brackets each")
            return
        for index, table in enumerate(tables):
            self._read_rule(index, table)
        self._look_for_unreachable()

    def _read_rule(self, index: int, table: Mapping[str, Any]) -> None:
        before = len(self.problems)
        name = self._name(index, table)
        for key in table:
            if key not in _KEYS:
                near = difflib.get_close_matches(key, _KEYS, n=1, cutoff=0.6)
                hint = f"; did you mean {near[0]}?" if near else f"; expected one of {', '.join(_KEYS)}"
                self._say(index, name, key, f"there is no such key{hint}")
        conditions = {key: self._condition(index, name, key, table[key]) for key in CONDITIONS if key in table}
        changes = {key: self._value(index, name, BY_RULE[key], table[key]) for key in BY_RULE if key in table}
        if len(self.problems) > before:
            return
        settings = msgspec.structs.replace(self._settings, **changes)
        for problem in contradictions(settings):
            self._say(index, name, "", problem)
        odd = set(oddities(settings)).difference(oddities(self._settings))
        self.warnings += [f"{self._where(index, name)}: {one}" for one in sorted(odd)]
        if not changes:
            self.warnings.append(f"{self._where(index, name)}: it sets nothing: the environment's values count")
        self._names.add(name)
        self.rules.append(Rule(name=name, settings=settings, changes=changes, **conditions))

    def _name(self, index: int, table: Mapping[str, Any]) -> str:
        name = table.get("name")
        if not isinstance(name, str) or not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
            given = "it has none" if name is None else f"{name!r} is none"
            self._say(index, "", "name", f"{given}; expected a printable text of 1 to {LONGEST_NAME} characters")
            return ""
        if name == DEFAULT:
            self._say(index, name, "name", "this stands for tasks that no rule matches; expected another")
        elif name in self._names:
            self._say(index, name, "name", "another rule has it; expected one of its own")
        return name

    def _condition(self, index: int, name: str, key: str, value: Any) -> tuple[str, ...]:
        found = [value] if isinstance(value, str) else value
        if not isinstance(found, list) or not found or not all(isinstance(one, str) and one for one in found):
            self._say(index, name, key, f"{_shown(value)}; expected a text, or a list of texts, none of them empty")
            return ()
        return tuple(dict.fromkeys(found))

    def _value(self, index: int, name: str, variable: Variable, value: Any) -> Any:
        try:
            return _typed(variable, value)
        except ValueError as error:
            allowed = _allowed(variable)
            self._say(index, name, variable.field, f"{_shown(value)}: {error}; expected {allowed}")
            return None

    def _look_for_unreachable(self) -> None:
        last: Rule | None = None
        for index, rule in enumerate(self.rules):
            if last is not None:
                why = f'"{last.name}" before it matches every task'
                self.warnings.append(f'{self._at("rule", index)}: rule "{rule.name}" is never reached: {why}')
            elif not rule.conditions:
                last = rule

    # ---- where a mistake is -------------------------------------------------------------

    def _say(self, index: int, name: str, key: str, what: str) -> None:
        where = self._where(index, name, key)
        self.problems.append(f"{where}: {key}: {what}" if key else f"{where}: {what}")

    def _where(self, index: int, name: str, key: str = "") -> str:
        rule = f'rule "{name}"' if name else f"rule {index + 1}"
        return f"{self._at('rule', index, key)}: {rule}"

    def _at(self, *place: str | int) -> str:
        """The file, and the line of this key, or of the table in which it is missing."""
        line = self._lines.get(place) or self._lines.get(place[:-1])
        return f"{self._path}:{line}" if line else self._path


def _typed(variable: Variable, value: Any) -> Any:
    """A value of the file as the setting's. Raises ValueError."""
    kind, wanted = variable.kind, variable.kind.schema["type"]
    if wanted == "array":
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise ValueError("not a list of texts")
        if any(kind.separator in one or not one.strip() for one in value):
            raise ValueError(f"an entry is empty, or has a {kind.separator!r} in it")
        return kind.parse(kind.separator.join(value))
    types = {"string": (str,), "integer": (int,), "number": (int, float)}[wanted]
    if type(value) not in types:
        raise ValueError(f"not {_WORDS[wanted]}")
    if value not in kind.schema.get("enum", [value]):
        raise ValueError("not one of them")
    return kind.parse(f"{value:f}" if isinstance(value, float) else str(value).strip())


def _allowed(variable: Variable) -> str:
    words = variable.kind.allowed
    if variable.kind.schema["type"] != "array":
        return words
    words = re.sub(r"a comma-separated list of|separated by colons", "", words).strip()
    return "a list of texts: " + re.sub(r", or (nothing|none)$|; or none$", "", words) + "; [] for none"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else text[:100] + "…"
