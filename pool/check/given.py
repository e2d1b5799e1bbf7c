"""What a program takes for one of the names that a task has, or for a part of one, and isn't there.

Which attributes are missing the judge has found; what n8n's old Python node and JavaScript have in their place
is told with what there is instead.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from reptarium.pool.check.distributions import is_pyodides
from reptarium.pool.check.old_names import INSTEAD, OldName
from reptarium.pool.check.workflows import CodeNode
from reptarium.sandbox.judge.messages import Objection, ProgramFeatures, Read

#: Names that people take for those of a node's data → what there is instead, where nothing defines them.
_MISTAKEN = {
    "_items": "the node runs once for each item: read _item, or run it once for all items",
    "_item": "the node runs once for all items: read _items, or run it once for each",
    "items": "instead: _items",
    "item": "instead: _item",
    "query": "instead: _query",
    "helpers": "instead: _helpers",
    "DateTime": "instead: datetime.datetime",
    "Duration": "instead: datetime.timedelta",
    "Interval": "instead: two datetimes",
    "JSON": "instead: json.dumps and json.loads",
    "console": "instead: print",
    "true": "instead: True",
    "false": "instead: False",
    "null": "instead: None",
    "undefined": "instead: None",
    "np": "write import numpy as np",
    "pd": "write import pandas as pd",
}
_EMPTY = "nothing defines it"
#: Class → attribute, as people know it from elsewhere → what there is instead; {} is what it is read of.
_INSTEAD: dict[str, dict[str, str]] = {
    "datetime": {
        "toISO": "{}.isoformat()", "toISODate": "{}.date().isoformat()", "toISOTime": "{}.time().isoformat()",
        **dict.fromkeys(("toFormat", "format", "toLocaleString"), "{}.strftime('%Y-%m-%d')"),
        "plus": "{} + datetime.timedelta(days=1)", "minus": "{} - datetime.timedelta(days=1)",
        **dict.fromkeys(("toMillis", "valueOf", "ts"), "int({}.timestamp() * 1000)"),
        "weekday": "{}.isoweekday()", "toSeconds": "{}.timestamp()", "toUnixInteger": "int({}.timestamp())",
        "setZone": "{}.astimezone(zoneinfo.ZoneInfo('Europe/Berlin'))",
        "toUTC": "{}.astimezone(datetime.timezone.utc)", "toLocal": "{}.astimezone()", "toJSDate": "{} itself",
        "set": "{}.replace(hour=0)", "startOf": "{}.replace(hour=0, minute=0, second=0, microsecond=0)",
        "diff": "one datetime minus another is a timedelta", "diffNow": "{} - another datetime is a timedelta",
        "hasSame": "compare parts of both, as {}.date() == other.date()", "weekNumber": "{}.isocalendar().week",
        "weekYear": "{}.isocalendar().year", "weekdayLong": "{}.strftime('%A')", "weekdayShort": "{}.strftime('%a')",
        "monthLong": "{}.strftime('%B')", "monthShort": "{}.strftime('%b')", "ordinal": "{}.timetuple().tm_yday",
        "quarter": "({}.month + 2) // 3", "millisecond": "{}.microsecond // 1000", "zoneName": "{}.tzname()",
        "daysInMonth": "calendar.monthrange({0}.year, {0}.month)[1]", "offset": "{}.utcoffset()",
        "isInLeapYear": "calendar.isleap({}.year)", "toString": "str({})",
    },
    "dict": {"json": "{}['json']", "binary": "{}.get('binary')", "to_py": "{} itself"},
    "list": {
        "length": "len({})", "push": "{}.append(…)", "map": "[… for item in {}]", "forEach": "for item in {}: …",
        "filter": "[item for item in {} if …]", "to_py": "{} itself",
    },
    "ExecutionView": dict.fromkeys(
        ("resumeUrl", "resumeFormUrl", "resume_url"), "a field set to {{{{ $execution.resumeUrl }}}} in a node before"
    ),
    "Helpers": dict.fromkeys(
        ("httpRequestWithAuthentication", "requestWithAuthentication"), "an HTTP Request node, which has credentials"
    ),
}  # fmt: skip


def rewritten(old_names: Iterable[OldName], features: ProgramFeatures) -> Iterable[Objection]:
    """What of the old node isn't there, so that the code must change."""
    for name in old_names:
        if name.instead:
            yield _objection(name.line, f"the name '{name.name}' isn't there", f"instead: {name.instead}")
    for one in features.imports:
        if is_pyodides(one.module) and not one.optional:
            why = "it is Pyodide's, where n8n's old Python node ran; packages are installed beside the runner now"
            yield _objection(one.line, f"'{one.module}' isn't there", why)


def undefined(node: CodeNode, features: ProgramFeatures) -> Iterable[Objection]:
    """Names that nothing defines, and that the program surely reads."""
    given = {"_item" if node.each else "_items", "_query"}
    for name, line in features.undefined.items():
        if name not in given and name not in INSTEAD:
            why = f"write import {name}" if name in sys.stdlib_module_names else _EMPTY
            yield _objection(line, f"the name '{name}' isn't there", _MISTAKEN.get(name, why))


def missing_attributes(features: ProgramFeatures) -> Iterable[Objection]:
    """Attributes of what a task has that it hasn't."""
    for read in features.reads:
        attribute = read.path.rpartition(".")[2]
        yield _objection(read.line, f"'{read.of}.{attribute}' isn't there", _instead(read, attribute))


def _instead(read: Read, attribute: str) -> str:
    known = _INSTEAD.get(read.kind, {}).get(attribute)
    if known:
        return f"instead: {known.format(read.of)}"
    if read.kind == "Nodes":
        return f'instead: {read.of}["{attribute}"]'
    if read.kind == "dict":
        return f'it is a dict; instead: {read.of}["{attribute}"]'
    return "it is a datetime of Python's" if read.kind == "datetime" else "docs/user-code.md has what is there"


def _objection(line: int, what: str, why: str) -> Objection:
    return Objection(line, what, why, None, "never")
