"""Prints the page for those who move over: `python -m reptarium.pool.differences.page > docs/moving-from-n8n.md`."""

from __future__ import annotations

from reptarium.pool.differences.table import Difference, Table, load

#: Kinds of the surface's items whose names stand in code as they are.
_NAMED = ("builtin", "import", "names", "given-all", "attribute")
_HEADER = "| | n8n's runner | Reptarium | Why |\n| --- | --- | --- | --- |\n"


def render(table: Table) -> str:
    """The whole page, ending in a line end."""
    parts = [table.head.strip("\n"), "\n"]
    for area in table.area:
        parts.append(f"\n### {area.title}\n\n")
        if area.text:
            parts.append(area.text.strip("\n") + "\n\n")
        parts.append(_HEADER)
        parts += [_line(row) for row in table.row if row.area == area.id]
    parts += ["\n", table.tail.strip("\n"), "\n"]
    return "".join(parts)


def _line(row: Difference) -> str:
    cells = (cell.replace("{names}", _names(row)) for cell in (row.what, row.original, row.ours, row.why))
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |\n"


def _names(row: Difference) -> str:
    """The names of the surface that a row is about, each once; patterns stand for those that aren't worth a word."""
    items = [pattern.split("/", 2) for pattern in row.surface if "*" not in pattern]
    return ", ".join(dict.fromkeys(f"`{parts[2]}`" for parts in items if parts[0] in _NAMED))


def _cell(text: str) -> str:
    # a bar ends the cell even inside `code`, and so does a line's end
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    print(render(load()), end="")
