"""Prints the page on settings from their table: `python -m reptarium.pool.config.docs > docs/configuration.md`."""

from __future__ import annotations

from reptarium.pool.config.table import BY_FIELD, VARIABLES
from reptarium.pool.config.variable import Variable

_HEAD = """\
# Configuration

<!-- Printed by `python -m reptarium.pool.config.docs` from pool/config/table.py; a test keeps the two in step. -->

Everything is set by environment variables. Those that begin with `N8N_` (and `ENVIRONMENT`,
`DEPLOYMENT_NAME`) are n8n's: its own Python runner reads the same names with the same meaning. Those that
begin with `REPTARIUM_` are ours.

- `reptarium run --print-config` shows the effective values and where each came from, with secrets hidden.
- Every variable can be given as a file: `NAME_FILE=/run/secrets/name`. When both are set, `NAME` counts.
- White space around a value doesn't matter. An empty value is the same as none, except for lists, where it
  means the empty list.
- A wrong value ends the start with an error that names variable, value and what is allowed; all mistakes at
  once.
- A name that begins with `N8N_RUNNERS_` or `REPTARIUM_` and isn't known gets a warning with the nearest known
  name.
- Sizes: `64MiB`, `1GiB`, `500MB`; times: seconds, decimals allowed; booleans: `true`/`false`, `1`/`0`,
  `yes`/`no`, `on`/`off`.
"""

_COLUMNS = "| Variable | Default | Allowed | Meaning |\n| --- | --- | --- | --- |\n"


def render() -> str:
    """The whole page, ending in a line end."""
    parts = [_HEAD]
    for group in dict.fromkeys(variable.group for variable in VARIABLES):
        parts.append(f"\n## {group}\n\n{_COLUMNS}")
        for variable in VARIABLES:
            if variable.group == group:
                cells = (f"`{variable.name}`", _default(variable), variable.kind.allowed, variable.doc)
                parts.append("| " + " | ".join(_cell(cell) for cell in cells) + " |\n")
    return "".join(parts)


def _default(variable: Variable) -> str:
    if variable.default_from is not None:
        return f"that of `{BY_FIELD[variable.default_from].name}`"
    if variable.default is None or variable.default == "":
        return "(not set)"
    text = variable.kind.show(variable.default)
    return text if text.startswith("(") else f"`{text}`"


def _cell(text: str) -> str:
    # A bar ends the cell even inside `code`; a lone star would begin emphasis.
    return text.replace("|", "\\|").replace("or * alone", "or `*` alone")


if __name__ == "__main__":
    print(render(), end="")
