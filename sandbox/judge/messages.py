"""What is asked of a judge, and what it answers."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from reptarium.sandbox.language.policy import LanguagePolicy

#: What opens a refused construct: the lists of imports, the list of removed builtins, connections, files, plain
#: Python; nothing; or it is no Python (``syntax``). ``install``, ``calls`` and ``limits`` are said by who knows more
#: than the text.
Kind = Literal[
    "imports", "builtins", "connections", "files", "language", "never", "syntax", "install", "calls", "limits"
]


class JudgeRequest(msgspec.Struct):
    """One program, and the policy that it is judged under. ``needs``: whether it is asked what it would need."""

    code: str
    policy: LanguagePolicy
    needs: bool = True


class ImportedModule(msgspec.Struct, frozen=True):
    """One imported module. ``optional``: within a ``try`` that expects it to fail."""

    module: str
    line: int
    optional: bool = False


class Use(msgspec.Struct, frozen=True):
    """A name of a module, as the program has it: ``os.path.join``."""

    name: str
    line: int


class Host(msgspec.Struct, frozen=True):
    """A host that stands in the program; ``port`` is 0 where nothing tells it."""

    host: str
    port: int
    line: int


class File(msgspec.Struct, frozen=True):
    """A file that the program names. ``path`` is empty where it is put together at run time."""

    path: str
    line: int
    writes: bool


class LateImport(msgspec.Struct, frozen=True):
    """What a library imports when the program uses ``by``: one of ``modules``, by the names of their imports."""

    modules: list[str]
    line: int
    by: str


class Read(msgspec.Struct, frozen=True):
    """An attribute that is read of a name that a task has: ``_node[].first``. ``of``: what it is read of, as the
    program has it; ``called``: the attribute is called at once; ``kind``: the class that hasn't got it.
    """

    path: str
    of: str
    line: int
    called: bool
    kind: str = ""


class Returned(msgspec.Struct, frozen=True):
    """A value that the program returns, as JSON: a number, a text, nothing, a list of those; {} is any dict."""

    line: int
    value: Any


class ProgramFeatures(msgspec.Struct):
    """All of it, each in the order of the program."""

    imports: list[ImportedModule] = []
    late: list[LateImport] = []
    """What its libraries import besides, when they are used."""
    uses: list[Use] = []
    of_modules: list[Use] = []
    """Those of them that are surely read, and surely of a module."""
    taken: list[str] = []
    """Names of modules that ``from … import …`` takes: where such a name is a module, that is imported."""
    helpers: dict[str, int] = {}
    """Method of ``_helpers`` → its first line."""
    hosts: list[Host] = []
    http_hosts: list[Host] = []
    """Those in calls of ``_helpers``, which n8n connects to."""
    unknown_hosts: bool = False
    """Whether it connects to what doesn't stand in it."""
    libraries: list[str] = []
    """Clients that it uses."""
    connects: dict[str, int] = {}
    """The same → the first line that does."""
    ports: list[int] = []
    """Where these connect to unless they're told otherwise; 0: nothing tells."""
    files: list[File] = []
    methods: dict[str, int] = {}
    """Attributes that it calls, of whatever → the first line."""
    signs: dict[str, int] = {}
    """What docs/differences.toml knows programs by → its first line."""
    names: dict[str, int] = {}
    """Names that it reads and nowhere binds → the first line."""
    reads: list[Read] = []
    """Attributes that it reads of what a task has, and that aren't there."""
    undefined: dict[str, int] = {}
    """Those of them that it surely reads, and that no Python has → the first line."""
    asynchronous: int = 0
    """The line of the first ``await`` or ``async``; 0: none."""
    prints: int = 0
    threads: tuple[int, int] = (0, 0)
    """Of its largest pool whose size stands in it, and the line of that."""
    returns: list[Returned] = []
    """What it returns, where each of these values stands in it; nothing where one is made at run time."""


class Objection(msgspec.Struct, frozen=True):
    """One refused construct. ``setting``: the variable that decides it, None where none does."""

    line: int
    message: str
    why: str
    setting: str | None
    kind: Kind


class Needs(msgspec.Struct):
    """The least under which nothing is refused, or, where something always is, the least that refuses fewest."""

    language: Literal["restricted", "python"] = "restricted"
    files: bool = False
    connections: bool = False
    stdlib: list[str] = []
    external: list[str] = []
    optional: list[str] = []
    """Modules that it does without."""
    unsolved: list[Objection] = []


class Judgement(msgspec.Struct):
    """All that is said of one program."""

    refusals: list[Objection]
    needs: Needs
    features: ProgramFeatures
    names: list[str] = []
    """Names that call back into n8n."""
