"""What a program names: imports, free names, calls, addresses and files that stand in it as texts.

Read off the syntax tree: what is put together at run time can't be seen, and of hosts that is said (``unknown_hosts``).
"""

from __future__ import annotations

import ast
import builtins
import re
from typing import Any

from reptarium.sandbox.judge.absent import surely_of_modules
from reptarium.sandbox.judge.addresses import hosts
from reptarium.sandbox.judge.arguments import Arguments
from reptarium.sandbox.judge.clients import Clients
from reptarium.sandbox.judge.constants import Constants, parts_of
from reptarium.sandbox.judge.given import reads
from reptarium.sandbox.judge.late import late
from reptarium.sandbox.judge.messages import File, Host, ImportedModule, ProgramFeatures, Use
from reptarium.sandbox.judge.network import BY_ADDRESS, BY_PLACE, LIBRARIES, PORTS, SCHEMES, library_of
from reptarium.sandbox.judge.opened import opened
from reptarium.sandbox.judge.returned import returned
from reptarium.sandbox.judge.surely import surely_read
from reptarium.sandbox.judge.threads import threads_of
from reptarium.sandbox.language.compile.transformer import expects_import_error

_NAMING = (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)
#: pandas' own, and others', which read what is at an address, too.
_READERS = frozenset(
    "read_csv read_excel read_json read_parquet read_table read_fwf read_feather read_html read_xml read_orc "
    "read_stata read_pickle read_sas loadtxt".split()
)
_WRITERS = frozenset("to_csv to_excel to_parquet to_feather to_pickle savefig savetxt savez".split())
#: What anything may be called that takes a text, which may be a secret.
_MAYBE_WRITERS = frozenset("save to_json to_html write_image".split())
#: Meant for a path, by a folder or a suffix.
_PATH = re.compile(r"\S*/\S*|.*\.[a-zA-Z][a-zA-Z0-9]{0,7}")
#: In what a library may load that isn't a path: lines, a cookie.
_NO_PATH = frozenset("\n=;<")
#: What imports a module by a text.
_BY = frozenset(("importlib.import_module", "importlib.__import__"))
#: With these names may be bound by their text.
_BINDING = frozenset("exec globals locals vars __import__ __builtins__".split())
_PATH_WRITERS = frozenset("write_text write_bytes mkdir touch unlink rmdir rename symlink_to".split())
_EXTRACTS = frozenset(("extractall", "extract"))
_PATH_READERS = frozenset("read_text read_bytes iterdir".split())


def features(tree: ast.Module) -> ProgramFeatures:
    """What a program names. Takes time that grows with its length and no faster."""
    reader = _Reader()
    reader.read(tree)
    return reader.found


class _Reader:
    def __init__(self) -> None:
        self.found = ProgramFeatures()
        self._modules: dict[str, str] = {}  # name → what it stands for: a module, or a name in one
        self._bound: set[str] = set()
        self._seen: set[tuple[str, Any]] = set()
        self._inner: set[int] = set()  # attributes that are part of a longer chain
        self._asked: set[int] = set()  # texts that are looked at where they stand
        self._clients = Clients()
        self._constants = Constants()
        self._arguments = Arguments(self._constants)
        self._tops: frozenset[str] = frozenset()  # packages that are imported

    def read(self, tree: ast.Module) -> None:
        nodes = list(_with_context(tree))
        for node, optional, _ in nodes:
            self._bind(node, optional)
            self._clients.bind(node)
            self._constants.bind(node)
        self._tops = frozenset(one.module.partition(".")[0] for one in self.found.imports)
        for node, _, function in nodes:
            self._look(node, function)
            self._clients.look(node)
        found = self.found
        found.connects = self._clients.libraries()
        found.libraries = list(found.connects)
        found.ports = sorted(
            {LIBRARIES.get(library, 0 if library in BY_ADDRESS.values() else 443) for library in found.libraries}
        )
        if found.libraries:
            found.signs["uses/network"] = 1
        found.unknown_hosts = bool(found.libraries) and not found.hosts
        for name in self._bound:
            found.names.pop(name, None)
            for kind in ("builtin", "given-all"):
                found.signs.pop(f"{kind}/{name}", None)
        found.reads = reads(nodes, {name for name in found.names if name.startswith("_")})
        if not (_BINDING & found.names.keys() or "syntax/star-import" in found.signs):
            found.undefined = {
                name: line
                for name, line in surely_read(tree).items()
                if name in found.names and not hasattr(builtins, name) and not name.startswith("__")
            }
        if "syntax/module-changed" not in found.signs:
            found.of_modules = list(surely_of_modules(nodes, self._modules, self._constants))
        found.late = late(nodes, self._dotted, self._tops, found.names)
        found.files = sorted(found.files, key=lambda one: one.line)
        if "syntax/yield" not in found.signs:
            found.returns = returned(tree, nodes, self._builtin_or_dotted)

    # ---- names ------------------------------------------------------------------------------

    def _bind(self, node: ast.AST, optional: bool) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                self._module(alias.name, node.lineno, optional)
                name = alias.asname or alias.name.partition(".")[0]
                self._bound.add(name)
                self._modules[name] = alias.name if alias.asname else name
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                self._sign("syntax/relative-import", node)
                return
            if node.module == "__future__":
                self._sign("syntax/future", node)
                return
            self._module(node.module or "", node.lineno, optional)
            for alias in node.names:
                if alias.name == "*":
                    self._sign("syntax/star-import", node)
                    continue
                name = alias.asname or alias.name
                self._bound.add(name)
                self._modules[name] = f"{node.module}.{alias.name}"
                self._use(f"{node.module}.{alias.name}", node)
                self._clients.imported(f"{node.module}.{alias.name}", node)
                self.found.taken.append(f"{node.module}.{alias.name}")
        elif isinstance(node, ast.Call):
            if imported := self._imported(node):
                self._module(imported[1], node.lineno, optional)
        elif isinstance(node, ast.Assign | ast.NamedExpr | ast.AnnAssign) and isinstance(node.value, ast.Call):
            if module := self._given(node.value):
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    if isinstance(target, ast.Name):
                        self._modules[target.id] = module
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            self._bound.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, *_NAMING)):
            self._bound.add(node.name or "")
        elif isinstance(node, ast.MatchMapping):
            self._bound.add(node.rest or "")
        elif isinstance(node, ast.arg):
            self._bound.add(node.arg)

    def _module(self, module: str, line: int, optional: bool) -> None:
        if optional:
            self.found.signs.setdefault("syntax/optional-import", line)
        if module and self._once("import", (module, optional)):
            self.found.imports.append(ImportedModule(module, line, optional))
            self.found.signs.setdefault(f"import/{module}", line)

    def _once(self, kind: str, what: Any) -> bool:
        if (kind, what) in self._seen:
            return False
        self._seen.add((kind, what))
        return True

    def _use(self, name: str, node: ast.AST) -> None:
        if self._once("use", name):
            self.found.uses.append(Use(name, _line(node)))
            self.found.signs.setdefault(f"names/{name}", _line(node))

    def _sign(self, sign: str, node: ast.AST) -> None:
        self.found.signs.setdefault(sign, _line(node))

    def _dotted(self, node: ast.expr) -> str | None:
        """What an expression names of a module: ``os.path.join``; None where it doesn't."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
            self._inner.add(id(node))
        if isinstance(node, ast.Call):
            base = self._given(node)
        else:
            base = self._modules.get(node.id) if isinstance(node, ast.Name) else None
            self._inner.add(id(node))
        return base and ".".join((base, *reversed(parts)))

    def _builtin_or_dotted(self, node: ast.expr) -> str | None:
        if isinstance(node, ast.Name) and node.id not in self._bound:
            return node.id
        return self._dotted(node)

    def _imported(self, node: ast.Call) -> tuple[str, str] | None:
        """What a call imports by, and the module whose name stands in it: ``importlib.import_module("os.path")``."""
        function, module = node.func, _text(node, 0)
        name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
        # only what is called so is looked into: a chain of calls is as long as somebody likes
        if not module or (f"importlib.{name}" not in _BY and self._modules.get(name) not in _BY):
            return None
        by = self._dotted(function) or (name if isinstance(function, ast.Name) else "")
        good = by in ("__import__", *_BY) and all(part.isidentifier() for part in module.split("."))
        return (by, module) if good else None

    def _given(self, node: ast.Call) -> str | None:
        """The module that such a call gives: the outermost one, but where names in it are asked for."""
        found = self._imported(node)
        if found is None or found[0] == "importlib.import_module":
            return found and found[1]
        asked = any(keyword.arg == "fromlist" for keyword in node.keywords) or len(node.args) > 3
        return found[1] if asked else found[1].partition(".")[0]

    # ---- what it does -----------------------------------------------------------------------

    def _look(self, node: ast.AST, function: bool) -> None:
        kind = type(node).__name__
        if isinstance(node, ast.Call):
            self._call(node)
        elif isinstance(node, ast.Attribute):
            self._attribute(node)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            self.found.names.setdefault(node.id, node.lineno)
            self.found.signs.setdefault(f"builtin/{node.id}", node.lineno)
            if id(node) not in self._inner and "." in (whole := self._modules.get(node.id, "")):
                self._clients.read(whole, node)
            if node.id.startswith("_"):
                self.found.signs.setdefault(f"given-all/{node.id}", node.lineno)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in self._asked:
            if node.end_lineno != node.lineno and "\n" in node.value:
                self._sign("syntax/multi-line-string", node)
            self._addresses(node.value, node, whole=True)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            self._asked.add(id(node.value))  # a text that says something to readers
        elif isinstance(node, ast.JoinedStr | ast.BinOp) and id(node) not in self._asked:
            self._put_together(node)
        elif isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith | ast.AsyncFunctionDef):
            self.found.asynchronous = self.found.asynchronous or _line(node)
            if isinstance(node, ast.Await) and not function:
                self._sign("syntax/await", node)
        elif isinstance(node, ast.Yield | ast.YieldFrom):
            self._sign("syntax/generator" if function else "syntax/yield", node)
        elif isinstance(node, ast.FunctionDef) and node.name in ("__del__", "__getattr__"):
            self._sign(f"define/{node.name}", node)
        elif isinstance(node, ast.ClassDef):
            self._sign("syntax/class", node)
            if any(keyword.arg == "metaclass" for keyword in node.keywords):
                self._sign("syntax/metaclass", node)
        elif kind in ("TryStar", "Set", "SetComp", "Global", "Assert"):
            self._sign(f"syntax/{kind}", node)
        elif isinstance(node, ast.Assign | ast.AugAssign):
            self._assignment(node)

    def _put_together(self, node: ast.JoinedStr | ast.BinOp) -> None:
        parts = parts_of(node)
        if not any(id(part) in self._asked for part in parts):
            for text, whole in self._constants.runs(node):
                self._addresses(text, node, whole=whole)
            self._asked.update(id(part) for part in parts if not isinstance(part, ast.JoinedStr))
        inner: ast.expr = node
        while isinstance(inner, ast.BinOp):  # sums within it are parts of it
            self._asked.add(id(inner))
            inner = inner.left

    def _assignment(self, node: ast.Assign | ast.AugAssign) -> None:
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if isinstance(target, ast.Attribute) and self._dotted(target.value) is not None:
                self._sign("syntax/module-changed", node)

    def _attribute(self, node: ast.Attribute) -> None:
        if node.attr.startswith("__"):
            self._sign(f"attribute/{node.attr}", node)
        if id(node) not in self._inner and (name := self._dotted(node)) is not None:
            self._use(name, node)
            self._clients.read(name, node)

    def _call(self, node: ast.Call) -> None:
        name = self._dotted(node.func)
        self._inner.add(id(node.func))
        if name is not None:
            self._use(name, node)
            self._clients.called(name, node)
            self._connection(name, node)
            self.found.threads = max(self.found.threads, threads_of(name, node, self._constants))
            if library := self._arguments.connects_at(name, node):
                self._clients.take(library, node)
            if name in ("tempfile.mkstemp", "tempfile.mkdtemp") or name.startswith(
                ("tempfile.Named", "tempfile.Temporary", "shutil.move")
            ):
                self._file(node, "", True)
            if (file := opened(name, node, self._arguments.plain)) is not None:
                self._file(node, *file)
        if isinstance(node.func, ast.Name):
            self._call_of_name(node.func.id, node)
        elif isinstance(node.func, ast.Attribute):
            self._method(node.func, node)

    def _call_of_name(self, name: str, node: ast.Call) -> None:
        if name == "print" and name not in self._bound:
            self.found.prints += 1
            if node.keywords:
                self._sign("print/keywords", node)
        elif name == "open" and name not in self._bound:
            path, mode = self._arguments.text(node, 0, "file"), self._arguments.text(node, 1, "mode")
            self._file(node, path, bool(set(mode) & set("wax+")))
        elif name in ("set", "frozenset") and name not in self._bound:
            self._sign("syntax/Set", node)

    def _method(self, function: ast.Attribute, node: ast.Call) -> None:
        if isinstance(function.value, ast.Name) and function.value.id == "_helpers":
            self.found.helpers.setdefault(function.attr, node.lineno)
            for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
                for inner in ast.walk(argument):
                    if isinstance(inner, ast.JoinedStr | ast.Constant) and id(inner) not in self._asked:
                        self._http(inner)
            return
        self.found.methods.setdefault(function.attr, node.lineno)
        clients = self._clients.used() if function.attr == "connect" else []
        if clients and self._dotted(function) is None:
            library = next((one for one in clients if one in BY_PLACE), clients[0])
            self._connects(node, library, LIBRARIES.get(library, 0))
        text = self._arguments.text(node, 0)
        if function.attr in _WRITERS | _MAYBE_WRITERS and text and "://" not in text:
            is_path = _PATH.fullmatch(text) is not None
            if is_path or function.attr in _WRITERS:
                self._file(node, text if is_path else "", True)
        elif function.attr in _READERS and "://" in text:
            reader = next((one for one in ("pandas", "polars") if one in self._tops), None)
            if reader and text.partition("://")[0] in SCHEMES:
                self._clients.take(reader, node)
        elif self._reads_path(function.attr, text):
            self._file(node, text, False)
        elif function.attr in _EXTRACTS and {"zipfile", "tarfile"} & self._tops:
            place = 0 if function.attr == "extractall" else 1
            self._file(node, self._arguments.text(node, place, "path"), True)
        elif function.attr in _PATH_WRITERS | _PATH_READERS and "pathlib" in self._tops:
            self._file(node, self._arguments.plain(function.value), function.attr in _PATH_WRITERS)

    def _reads_path(self, method: str, text: str) -> bool:
        if method == "read":
            return "configparser" in self._tops and _PATH.fullmatch(text) is not None
        return method in _READERS and text != "" and not _NO_PATH.intersection(text)

    # ---- addresses and files ----------------------------------------------------------------

    def _file(self, node: ast.AST, path: str, writes: bool) -> None:
        if self._once("file", (path, writes)):
            shown = path[:200].encode("utf-8", "replace").decode()  # half a surrogate pair can't be told on
            self.found.files.append(File(shown, _line(node), writes))

    def _http(self, node: ast.Constant | ast.JoinedStr) -> None:
        runs = [(node.value, True)] if isinstance(node, ast.Constant) else self._constants.runs(node)
        self._asked.update(map(id, [node] if isinstance(node, ast.Constant) else node.values))
        for text, whole in runs:
            for host in hosts(text, _line(node), whole) if isinstance(text, str) else ():
                if self._once("http", (host.host, host.port)):
                    self.found.http_hosts.append(host)

    def _addresses(self, text: str, node: ast.AST, *, whole: bool) -> None:
        for host in hosts(text, _line(node), whole):
            if self._once("host", (host.host, host.port)):
                self.found.hosts.append(host)

    def _connection(self, name: str, node: ast.Call) -> None:
        """A host that is given to a client as such, not within an address."""
        library = library_of(name)
        if library is not None:
            self._connects(node, library, PORTS.get(name, LIBRARIES[library]))

    def _connects(self, node: ast.Call, library: str, port: int) -> None:
        found = self._arguments.host(node, library, port)
        if found is not None and self._once("host", found):
            self.found.hosts.append(Host(*found, node.lineno))


def _text(node: ast.Call, place: int) -> str:
    return _plain(node.args[place]) if place < len(node.args) else ""


def _plain(node: ast.AST | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _line(node: ast.AST | None) -> int:
    return int(getattr(node, "lineno", 1))


def _with_context(tree: ast.Module) -> list[tuple[ast.AST, bool, bool]]:
    """Every node in the program's order, whether it stands in a try that expects an import to fail, and whether in a
    function. Without recursion: a program may be as deep as it is long.
    """
    found: list[tuple[ast.AST, bool, bool]] = []
    waiting: list[tuple[ast.AST, bool, bool]] = [(tree, False, False)]
    while waiting:
        node, optional, function = waiting.pop()
        found.append((node, optional, function))
        inner = function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        body: list[ast.stmt] = []
        if isinstance(node, ast.Try) and any(map(expects_import_error, node.handlers)):
            body = node.body
        expected = set(map(id, body))
        children = list(ast.iter_child_nodes(node))
        waiting += [(child, optional or id(child) in expected, inner) for child in reversed(children)]
    return found
