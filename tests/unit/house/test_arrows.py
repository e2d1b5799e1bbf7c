"""The house: who may import whom, what a side may import at all, how long a file may be, names that lead somewhere."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs import diagrams
from tests.each import each
from tests.limits import within

MODULES = diagrams.modules()
ROOT = diagrams.ROOT
#: From the top down: a room imports only from rooms further down.
ORDER = [
    "pool/cli", "pool/check", "pool/bench", "pool/demo", "pool/embedded", "pool/doctor", "pool/runner",
    "pool/brokers", "pool/tasks", "pool/workers", "pool/embedded_broker", "pool/ops", "pool/policy", "pool/installing",
    "pool/config", "pool/powers", "pool/differences", "pool/turns", "pool/protocol", "pool/endings", "pool/refusal",
    "pool/heads",
    "sandbox/__main__", "sandbox/process", "sandbox/task", "sandbox/judge", "sandbox/userspace", "sandbox/wire",
    "sandbox/language", "sandbox/kernel", "sandbox/nesting", "sandbox/texts",
]  # fmt: skip
#: What the trusted side may import of the untrusted one: how to talk to it, its configuration, words that both use.
SHARED = {
    "reptarium.sandbox.wire", "reptarium.sandbox.texts", "reptarium.sandbox.nesting", "reptarium.sandbox.kernel",
    "reptarium.sandbox.language.policy", "reptarium.sandbox.judge.messages",
}  # fmt: skip
#: Packages of others that the untrusted side may import. No trio, and nothing that opens a network connection.
SANDBOX_PACKAGES = {"msgspec", "RestrictedPython"}
#: Of the standard library, what it may not: whatever speaks over a network.
NETWORK = {"asyncio", "ftplib", "http", "imaplib", "poplib", "smtplib", "socketserver", "ssl", "urllib", "xmlrpc"}
#: Of the standard library, what the protocol may not import: whatever reads, writes or waits.
WAITS = {
    "asyncio", "concurrent", "http", "io", "multiprocessing", "os", "pathlib", "select", "selectors", "shutil",
    "signal", "socket", "ssl", "subprocess", "sys", "tempfile", "threading", "time", "urllib",
}  # fmt: skip
LONGEST = 400


def imported(module: str) -> set[str]:
    return set(diagrams.imports(MODULES[module], MODULES))


def test_every_room_has_its_place() -> None:
    """The order names every room there is, and no other."""
    assert sorted(ORDER) == sorted(diagrams.arrows())


@pytest.mark.parametrize("room", ORDER)
def test_rooms_import_downwards(room: str) -> None:
    """A room imports only from rooms below it, so that rooms can't lean on one another in a circle."""
    assert diagrams.arrows()[room] <= set(ORDER[ORDER.index(room) + 1 :])


def test_modules_import_in_no_circle() -> None:
    """No module imports, over others, itself: within a room either."""
    graph = {name: {other for other in imported(name) if other in MODULES} for name in MODULES}
    # a package's own top stands for what it passes on
    circles = [name for name in graph if name in diagrams._reachable(graph, name)]
    assert circles == []


@each("module", [name for name in MODULES if name.startswith("reptarium.pool")])
def test_pool_takes_little_of_sandbox(module: str) -> None:
    """The trusted side imports none of the code that runs tasks; only benchmarks do, which measure it."""
    if not module.startswith("reptarium.pool.bench"):
        assert {name for name in imported(module) if name.startswith("reptarium.sandbox")} <= SHARED


@each("module", [name for name in MODULES if name.startswith("reptarium.sandbox")])
def test_sandbox_imports_nothing_trusted(module: str) -> None:
    """The untrusted side imports itself, the standard library and two packages: no pool, no trio, no network."""
    others = {
        name
        for name in imported(module)
        if not name.startswith("reptarium.sandbox") and name not in ("reptarium", "urllib.parse")
    }
    tops = {name.split(".")[0] for name in others}
    assert tops - sys.stdlib_module_names <= SANDBOX_PACKAGES
    assert tops & NETWORK == set()


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("reptarium.pool.protocol")])
def test_protocol_does_no_io(module: str) -> None:
    """Messages, session and table import nothing that reads, writes or waits."""
    others = {name for name in imported(module) if not name.startswith("reptarium.pool.protocol")}
    others.discard("reptarium.sandbox.nesting")  # nor does that
    tops = {name.split(".")[0] for name in others}
    assert tops & WAITS == set()
    assert tops - sys.stdlib_module_names <= {"msgspec"}


#: A line that may be such an import: to parse every file takes seconds.
_PERHAPS_ODD = re.compile(r"^\s*(from\s*(\.|pool\b|sandbox\b)|import\b.*\b(pool|sandbox)\b)", re.MULTILINE)


@pytest.mark.parametrize("folder", ["pool", "sandbox", "tests", "docs"])
def test_one_import_style(folder: str) -> None:
    """Everything is imported by the name that it is installed under: nothing relative, no `pool`, no `sandbox`."""
    odd = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        if "demo/scripts" in path.as_posix():  # scripts of Code nodes
            continue
        text = path.read_text("utf-8")
        for node in ast.walk(ast.parse(text)) if _PERHAPS_ODD.search(text) else ():
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = ["." * node.level + (node.module or "")]
            if any(name.startswith(".") or name.split(".")[0] in ("pool", "sandbox") for name in names):
                odd.append(f"{path}:{node.lineno}")
    assert odd == []


@each("module", MODULES)
def test_files_are_short(module: str) -> None:
    """A file has at most 400 lines."""
    assert len(MODULES[module].read_text("utf-8").splitlines()) <= LONGEST


def test_one_name_for_one_thing() -> None:
    """No two classes have the same name: a search for a name finds one thing."""
    found: dict[str, list[str]] = {}
    for module, path in MODULES.items():
        for name in re.findall(r"^class ([^\W_]\w*)", path.read_text("utf-8"), re.MULTILINE):
            found.setdefault(name, []).append(module)
    assert {name: where for name, where in found.items() if len(where) > 1} == {}


def _resolves(name: str) -> bool:
    """Whether a dotted name leads to a module of ours, or to something in one."""
    parts = name.split(".")
    for length in range(len(parts), 1, -1):
        if (module := ".".join(parts[:length])) in MODULES:
            return (
                length == len(parts)
                or re.search(rf"\b{parts[length]}\b", MODULES[module].read_text("utf-8")) is not None
            )
    return name == "reptarium"


def _written() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=within(30)
    )
    names = listed.stdout.split() if listed.returncode == 0 else []  # an unpacked archive has no history
    return [ROOT / name for name in names if Path(name).suffix in (".py", ".md", ".toml", ".yaml", ".json", ".pyi")]


def test_names_lead_somewhere() -> None:
    """A module or a file that code, documents or programs in tests name is there."""
    lost = []
    for path in _written():
        if path.name == "CHANGELOG.md" or not path.exists():
            continue
        text = path.read_text("utf-8")
        for name in re.findall(r"\breptarium\.(?:pool|sandbox)(?:\.\w+)*", text):
            if not _resolves(name):
                lost.append(f"{path.relative_to(ROOT)}: {name}")
        for name in re.findall(
            r"(?<![\w/.-])(?:pool|sandbox|tests|docs|deploy)/[\w/-]+\.(?:py|md|toml|json|yaml)\b", text
        ):
            if not (ROOT / name).exists():
                lost.append(f"{path.relative_to(ROOT)}: {name}")
    assert lost == []


def test_neighbours_named_in_code_are_there() -> None:
    """A file that code names in backticks lies beside it, or is named with its folder: `hardening/sealing.py`."""
    listed = {path.relative_to(ROOT).as_posix() for path in _written()} or {
        path.relative_to(ROOT).as_posix() for path in MODULES.values()
    }
    lost = []
    for module, path in MODULES.items():
        for name in re.findall(r"`([\w/-]*\w\.(?:py|md))`", path.read_text("utf-8")):
            beside = (path.parent / name).exists()
            if not beside and not ("/" in name and any(f"/{one}".endswith(f"/{name}") for one in listed)):
                lost.append(f"{module}: {name}")
    assert lost == []
