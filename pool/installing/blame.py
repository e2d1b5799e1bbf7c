"""What an installer that has failed said, in few words, and which line of the requirements file it is about."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from reptarium.pool.installing.own import own_versions
from reptarium.pool.installing.requirements import RequirementLine, Requirements, normalized

#: Characters of the installer's words that are told.
LONGEST = 900

_USER = re.compile(r"://[^/@\s]+@")
_BEGINS = re.compile(r"\s*(?:error:|×|ERROR:)", re.IGNORECASE)
#: Of pip, lines that say where to read on, or what has been said.
_NOISE = re.compile(
    r"\s*(?:ERROR: )?(?:note:|hint:.*release notes|\[end of output\]|See above for|.*resolution-impossible)", re.I
)
#: pip's ways to name a line, and uv's.
_LINES = (
    re.compile(r"line (?P<number>\d+) of (?P<file>[^\s)]+)"),
    re.compile(r"-r (?P<file>\S+) \(line (?P<number>\d+)\)"),
    re.compile(r"(?P<file>\S+):(?P<number>\d+):\d+$", re.MULTILINE),
)


def plain(line: str) -> str:
    """A line of foreign output as it can be logged: without passwords in addresses, and nothing that moves a cursor."""
    shown = "".join(character if character.isprintable() else " " for character in line)
    return _USER.sub("://", shown).rstrip()


def explain(requirements: Requirements, said: Sequence[str], status: int) -> str:
    """Why it failed: each line of the file that is meant, and the installer's own words."""
    error = _error(said) or [line for line in said if line.strip()][-5:]
    words = " ".join(" ".join(error).split())[:LONGEST] or f"it ended with status {status} and said nothing"
    meant = _meant(requirements, error) or _meant(requirements, list(said)[-40:])
    where = "; ".join(f"{line.file}, line {line.number} ({line.text[:120]})" for line in meant[:3])
    return f"REPTARIUM_REQUIREMENTS: {where or requirements.path}: {words}{_about_ours(error)}"


def _error(said: Sequence[str]) -> list[str]:
    """From the first line that begins an error on."""
    begins = next((number for number, line in enumerate(said) if _BEGINS.match(line)), None)
    if begins is None:
        return []
    return [re.sub(r"^\s*(?:ERROR|error):\s*", "", line) for line in said[begins:] if not _NOISE.match(line)]


def _meant(requirements: Requirements, said: Sequence[str]) -> list[RequirementLine]:
    """Lines of the file that these words are about, those first that are named first."""
    text = "\n".join(said)
    found: dict[RequirementLine, int] = {}
    for match in (one for form in _LINES for one in form.finditer(text)):
        for line in requirements.lines:
            if line.number == int(match["number"]) and os.path.basename(line.file) == os.path.basename(match["file"]):
                found.setdefault(line, match.start())
    plainly = normalized(text)
    for line in requirements.lines:
        if line.name:
            match_ = re.search(rf"(?<![a-z0-9-]){re.escape(line.name)}(?![a-z0-9]|-[a-z])", plainly)
            if match_ is not None:
                found.setdefault(line, match_.start())
        elif line.text in text:
            found.setdefault(line, text.index(line.text))
    return sorted(found, key=lambda line: found[line])


def _about_ours(error: Sequence[str]) -> str:
    """A sentence where it is one of the runner's own dependencies that can't be had in two versions."""
    text = normalized(" ".join(error))
    for name, version in own_versions().items():
        if re.search(rf"(?<![a-z0-9-]){re.escape(name)}(?=\s*[<>=!~]|[ -]\d)", text):
            return f" (the runner itself needs {name} {version}: `reptarium install --constraints` prints all of those)"
    return ""
