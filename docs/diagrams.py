"""The diagrams of architecture.md, from the code: ``python docs/diagrams.py`` writes them anew.

The rooms come from the imports, the states from the tables of the session, of an execution and of a worker. A test
holds the page against this (tests/unit/house/test_diagrams.py).
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"
#: Where a folder of the checkout is installed (pyproject.toml, package-dir).
FOLDERS = {"reptarium.pool": ROOT / "pool", "reptarium.sandbox": ROOT / "sandbox"}
#: Not modules of ours: example scripts of Code nodes, types for editors, the package's top.
_NOT_OURS = ("pool/demo/scripts/", "sandbox/userspace/reptarium-stubs/", "pool/reptarium/")


def modules() -> dict[str, Path]:
    """Every module of ours by its name, packages included."""
    found = {}
    for package, folder in FOLDERS.items():
        for path in sorted(folder.rglob("*.py")):
            if path.relative_to(ROOT).as_posix().startswith(_NOT_OURS):
                continue
            inside = path.relative_to(folder).with_suffix("").parts
            found[".".join((package, *(part for part in inside if part != "__init__")))] = path
    return found


@functools.cache
def import_statements(path: Path) -> list[ast.Import | ast.ImportFrom]:
    """Those of a file, wherever in it."""
    return [
        node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Import | ast.ImportFrom)
    ]


def imports(path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """What a file imports: modules of ours by their names, others by what stands in the statement."""
    for node in import_statements(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        else:
            source = "." * node.level + (node.module or "")
            for alias in node.names:
                yield f"{source}.{alias.name}" if f"{source}.{alias.name}" in known else source


def room(module: str) -> str:
    """The room that a module is in: ``pool/tasks``, ``sandbox/kernel``; ``pool/runner`` stands by itself."""
    return "/".join(module.split(".")[1:3])


@functools.cache
def arrows() -> dict[str, set[str]]:
    """Room → the rooms that it imports from. What a package's own top imports counts for the package."""
    known = modules()
    found: dict[str, set[str]] = {room(name): set() for name in known if name.count(".") > 1}
    for name, path in known.items():
        for other in imports(path, known):
            if other in known and other.count(".") > 1 and name.count(".") > 1 and room(other) != room(name):
                found[room(name)].add(room(other))
    return found


def _reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    todo = list(graph[start])
    while todo:
        if (name := todo.pop()) not in seen:
            seen.add(name)
            todo += graph[name]
    return seen


def rooms_diagram() -> str:
    """The rooms and who imports whom; an arrow that follows from others is left out."""
    graph = arrows()
    lines = ["flowchart TD"]
    for side in ("pool", "sandbox"):
        names = sorted(name for name in graph if name.startswith(f"{side}/"))
        lines.append(f'    subgraph {side}["{side}/"]')
        lines += [f'        {name.replace("/", "_")}["{name.split("/")[1]}"]' for name in names]
        lines.append("    end")
    for name in sorted(graph):
        implied = set().union(*(_reachable(graph, other) for other in graph[name])) if graph[name] else set()
        lines += [
            f"    {name.replace('/', '_')} --> {other.replace('/', '_')}" for other in sorted(graph[name] - implied)
        ]
    return "\n".join(lines)


def _states_diagram(table: Mapping[str, Mapping[str, str]]) -> str:
    """State → event → next state, as a diagram of what leaves a state."""
    lines = ["stateDiagram-v2", f"    [*] --> {next(iter(table)).upper()}"]
    lines += [f"    {state.split()[0].upper()}: {state}" for state in table]
    for state, row in table.items():
        targets: dict[str, list[str]] = {}
        for event, target in row.items():
            if target != state:
                targets.setdefault(target, []).append(event)
        lines += [
            f"    {state.split()[0].upper()} --> {target.split()[0].upper()}: {', '.join(events)}"
            for target, events in targets.items()
        ]
    return "\n".join(lines)


def session_diagram() -> str:
    """A task in the session, from the table that the session walks."""
    from reptarium.pool.protocol.transitions import TRANSITIONS

    return _states_diagram(
        {
            state.value: {event.value: cell.next.value for event, cell in row.items()}
            for state, row in TRANSITIONS.items()
        }
    )


def execution_diagram() -> str:
    """An execution, from its table."""
    from reptarium.pool.tasks.states import EXECUTION_TRANSITIONS

    return _states_diagram(EXECUTION_TRANSITIONS)


def worker_diagram() -> str:
    """A worker, from its table."""
    from reptarium.pool.workers.states import WORKER_TRANSITIONS

    return _states_diagram(WORKER_TRANSITIONS)


DIAGRAMS = {
    "rooms": rooms_diagram,
    "session": session_diagram,
    "execution": execution_diagram,
    "worker": worker_diagram,
}
_BLOCK = re.compile(r"(<!-- diagram: (\w+) -->\n```mermaid\n).*?(```)", re.DOTALL)


def drawn(page: str) -> str:
    """The page with its diagrams drawn anew."""
    return _BLOCK.sub(lambda block: f"{block[1]}{DIAGRAMS[block[2]]()}\n{block[3]}", page)


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text("utf-8")), "utf-8")
