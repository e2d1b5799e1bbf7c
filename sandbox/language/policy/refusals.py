"""How a refusal is said: findings in a program's text, and the errors of what is refused at run time."""

from __future__ import annotations

import re
from typing import NamedTuple

#: Ends a refusal that is the restricted mode's alone.
IN_PYTHON = "REPTARIUM_LANGUAGE=python allows it."
#: Ends one of files.
WITH_FILES = "REPTARIUM_SCRATCH gives tasks files of their own."

#: Ends one of what no Python does.
BY_PYTHON = "Python itself refuses it, too."
#: Ends one of connections that another mode makes.
WITH_CONNECTIONS = "REPTARIUM_CONNECT_ALLOW with REPTARIUM_LANGUAGE=python allows it."

_NOWHERE = re.compile(r"no setting allows it", re.IGNORECASE)
_FILES = re.compile(r"have no files|opening files|\b(sqlite3|tempfile)\.\w")
_CONNECTIONS = re.compile(r"have no network")
#: What the kernel layer refuses next, whatever the language.
_HELD_ANYWAY = re.compile(r"start no processes|^(os|socket|shutil|subprocess)\.\w")


def with_other_mode(text: str) -> str:
    """What a person reads of a refusal, with the word that the other language mode would not refuse it.

    ``text`` may have several refusals, one a line, and lines that a library has put around one. What a setting decides,
    and what the kernel layer refuses in either mode, stays as it is.
    """
    lines = text.split("\n")
    refusals = [line for line in lines if _says_what_allows_it(line)] or [line for line in lines if line.strip()][-1:]
    return "\n".join(_with_other_mode(line) if line in refusals else line for line in lines)


def _says_what_allows_it(line: str) -> bool:
    return bool(_NOWHERE.search(line)) or any(end in line for end in _SAID)


_SAID = ("decides this", IN_PYTHON, BY_PYTHON)


def _with_other_mode(line: str) -> str:
    if any(end in line for end in _SAID):
        return line
    if _FILES.search(line):
        return _NOWHERE.sub(WITH_FILES.removesuffix("."), line)
    if _CONNECTIONS.search(line):
        return _NOWHERE.sub(WITH_CONNECTIONS.removesuffix("."), line)
    if _HELD_ANYWAY.search(line):
        return line
    if _NOWHERE.search(line):
        return _NOWHERE.sub(IN_PYTHON.removesuffix("."), line)
    return f"{line.removesuffix('.')}. {IN_PYTHON}"


class Finding(NamedTuple):
    """One refused construct: where (1-based), what, why, and the setting that would allow it (None: none does, ``""``:
    no Python does).
    """

    line: int
    message: str
    setting: str | None
    why: str = ""

    def text(self) -> str:
        """The sentence that the person reads, without the line."""
        why = f": {self.why}" if self.why else ""
        advice = f"{self.setting} decides this." if self.setting else "No setting allows it."
        if self.setting == "":
            advice = BY_PYTHON
        return f"{self.message}{why}. {advice}"


class PolicyViolation(Exception):
    """The program was refused before it ran. ``findings`` holds every refused construct, by line."""

    def __init__(self, findings: list[Finding] | tuple[Finding, ...]) -> None:
        self.findings: tuple[Finding, ...] = tuple(sorted(findings, key=lambda finding: finding.line))
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """One line, for n8n's ``message``."""
        first, *others = self.findings
        more = f" (and {len(others)} more)" if others else ""
        return f"Security violation: Line {first.line}: {first.message}{more}"

    @property
    def description(self) -> str:
        """A line per finding, with the reason and the setting, for n8n's ``description``."""
        return "\n".join(f"Line {finding.line}: {finding.text()}" for finding in self.findings)


class RefusedImport(ModuleNotFoundError):
    """An import that the policy refuses at run time: to who expects that a module may be missing, it is."""

    #: Whether it would go through in the other language mode; a name that the module itself hasn't got would not.
    elsewhere = True


class RefusedAttribute(AttributeError):
    """An attribute that the policy refuses at run time. Says so, and carries no object."""


def unavailable(message: str) -> TypeError:
    """The error of a class that can't be had, with the mark of what the other mode has (task/failures.py)."""
    error = TypeError(message)
    vars(error)["elsewhere"] = True
    return error
