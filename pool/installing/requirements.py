"""A requirements file as far as the runner reads it: which line names what, and what the whole of it is.

What lines mean is pip's and uv's to say. Here they are told apart, so that a failure can be said of one, and hashed, so
that another file gets another directory.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import NamedTuple

import msgspec

from reptarium.pool.refusal import StartRefused

#: Bytes of one file, and how many files one may include (-r, -c), each other included.
LONGEST, MOST_FILES = 1 << 20, 64

_INCLUDES = re.compile(r"(?:-r|--requirement|-c|--constraint)(?:\s+|=|(?<=-[rc]))(\S+)")
_CONSTRAINS = re.compile(r"-c|--constraint")
_EDITABLE = re.compile(r"(?:-e|--editable)\b")
_NAME = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[[^]]*\])?\s*(?:$|[@<>=!~;(]|--)")
_FILE = re.compile(r"(?:\S*/)?([A-Za-z0-9][A-Za-z0-9._]*?)-\d\S*\.(?:whl|tar\.gz|zip)(?:[#?]\S*)?(?:\s.*)?")
_EGG = re.compile(r"#egg=([A-Za-z0-9._-]+)")
_COMMENT = re.compile(r"(?:^|\s+)#.*")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")


class PackagesRefused(StartRefused):
    """The packages that were asked for can't be had. The text names the line and says why."""


class RequirementLine(NamedTuple):
    """One requirement or option. ``name``: the normalized name of a package, or nothing."""

    file: str
    number: int
    text: str
    name: str


class Requirements(msgspec.Struct, frozen=True):
    """A file that was read, with those that it includes."""

    path: str
    lines: tuple[RequirementLine, ...]
    digest: str
    """Of all that was read, in hexadecimal."""
    hashed: bool
    """Whether a line has a hash: then each must, as pip has it."""
    variables: frozenset[str]
    """Variables of the environment that it names: `${NAME}`."""

    @property
    def names(self) -> tuple[str, ...]:
        """Normalized names of the packages that it asks for."""
        return tuple(dict.fromkeys(line.name for line in self.lines if line.name))

    @property
    def wants_any(self) -> bool:
        """Whether there is anything to install."""
        return any(line.name or not line.text.startswith("-") for line in self.lines)


def normalized(name: str) -> str:
    """A package's name as indexes compare it: lower case, one dash for each run of dots, dashes and underscores."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_requirements(path: str, *beside: str) -> Requirements:
    """Read a file and what it includes. ``beside``: what else the digest is to be of.

    Raises :class:`PackagesRefused`.
    """
    digest = hashlib.sha256()
    lines: list[RequirementLine] = []
    texts: list[str] = []
    seen: set[str] = set()
    waiting = [(path, False)]
    while waiting:
        file, constrains = waiting.pop(0)
        if file in seen:
            continue
        seen.add(file)
        if len(seen) > MOST_FILES:
            raise PackagesRefused(f"REPTARIUM_REQUIREMENTS={path}: more than {MOST_FILES} files are included")
        text = _read(file)
        texts.append(text)
        digest.update(f"{len(text)}:{text}".encode())
        for line in _lines(file, text):
            if _EDITABLE.match(line.text):
                raise PackagesRefused(
                    f"{_where(line)}: a package that is to be edited can't be installed for workers; name it without -e"
                )
            if included := _INCLUDES.fullmatch(line.text.partition(" #")[0].strip()):
                if "://" not in included[1]:
                    inner = os.path.normpath(os.path.join(os.path.dirname(file), included[1]))
                    waiting.append((inner, constrains or bool(_CONSTRAINS.match(line.text))))
            elif not constrains:
                lines.append(line)
    for other in beside:
        digest.update(f"{len(other)}:{other}".encode())
    return Requirements(
        path=path,
        lines=tuple(lines),
        digest=digest.hexdigest(),
        hashed=any("--hash=" in line.text or "--hash " in line.text for line in lines)
        or any(line.text.startswith("--require-hashes") for line in lines),
        variables=frozenset(name for text in texts for name in _VARIABLE.findall(text)),
    )


def _where(line: RequirementLine) -> str:
    return f"REPTARIUM_REQUIREMENTS: {line.file}, line {line.number} ({line.text})"


def _read(file: str) -> str:
    try:
        with Path(file).open("rb") as stream:
            raw = stream.read(LONGEST + 1)
        if len(raw) > LONGEST:
            raise PackagesRefused(f"REPTARIUM_REQUIREMENTS: {file} is longer than {LONGEST >> 20} MiB")
        return raw.decode("utf-8-sig")
    except OSError as error:
        raise PackagesRefused(f"REPTARIUM_REQUIREMENTS: {file} can't be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise PackagesRefused(f"REPTARIUM_REQUIREMENTS: {file} is not UTF-8 text") from None


def _lines(file: str, text: str) -> list[RequirementLine]:
    """Lines with something in them, continued ones joined, each with the number of its first."""
    found = []
    rest, first = "", 0
    for number, raw in enumerate([*text.splitlines(), ""], 1):
        if not rest:
            first = number
        if raw.endswith("\\") and not raw.lstrip().startswith("#"):
            rest += raw[:-1] + " "
            continue
        whole, rest = " ".join(_COMMENT.sub("", rest + raw).split()), ""
        if whole:
            found.append(RequirementLine(file, first, whole, _name(whole)))
    return found


def _name(text: str) -> str:
    if text.startswith("-"):
        return ""
    found = _FILE.fullmatch(text) or _NAME.match(text) or _EGG.search(text)
    return normalized(found[1]) if found else ""
