"""What is refused of a program under a policy, and the least of powers under which nothing is.

A program is compiled as a worker compiles it; what only running would tell, and stands in the text nevertheless, is
added: names that a short façade lacks, functions that refuse, files, connections.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

import msgspec

from reptarium.sandbox.judge.absent import absent, is_standard_part
from reptarium.sandbox.judge.features import features
from reptarium.sandbox.judge.given import missing
from reptarium.sandbox.judge.messages import Judgement, Kind, Needs, Objection, ProgramFeatures
from reptarium.sandbox.language import Finding, LanguagePolicy, PolicyViolation, mode_of, with_other_mode
from reptarium.sandbox.language.compile.program import parse
from reptarium.sandbox.language.packages import pandas, registry
from reptarium.sandbox.language.policy import files, stdlib
from reptarium.sandbox.language.policy.allowlist import (
    BUILTINS_SETTING,
    CONNECT_SETTING,
    EXTERNAL_SETTING,
    STDLIB_SETTING,
)
from reptarium.sandbox.language.policy.refusals import IN_PYTHON, WITH_FILES
from reptarium.sandbox.language.runtime.parts import is_part
from reptarium.sandbox.language.runtime.preloading import COMMON
from reptarium.sandbox.userspace.names import NAMES, mentioned

SCRATCH_SETTING = "REPTARIUM_SCRATCH"
_NEVER = "No setting allows it."
#: A later one may take what this one doesn't.
_NO_PYTHON = f"it isn't Python {sys.version_info[0]}.{sys.version_info[1]}"
#: Names of n8n's in JavaScript that a task has with another first character.
_OF_SCRIPTS = re.compile(r"\$(json|binary|input|items|node|workflow|execution|vars|env|now|today|jmespath|prevNode)\b")
#: Parts of standard packages that every worker has loaded: in plain Python they are there without an import.
LOADED = frozenset(
    "collections.abc importlib.machinery importlib.util json.decoder json.encoder json.scanner os.path "
    "urllib.parse".split()
)
#: Parts of a dotted name that are looked at: no module lies deeper.
_DEEPEST = 8

_BY_SETTING: dict[str | None, Kind] = {
    STDLIB_SETTING: "imports",
    EXTERNAL_SETTING: "imports",
    BUILTINS_SETTING: "builtins",
    CONNECT_SETTING: "connections",
    SCRATCH_SETTING: "files",
}


def judge(source: str, policy: LanguagePolicy, *, with_needs: bool = True) -> Judgement:
    """What of a program the policy refuses, and (``with_needs``) what it would need."""
    try:
        found = features(parse(source.removeprefix("\ufeff"), "<task>"))
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        refusals = [_unreadable(error)]
        return Judgement(refusals, Needs(unsolved=refusals), ProgramFeatures())
    found.undefined = {name: line for name, line in found.undefined.items() if name not in NAMES}
    needs = _needs(source, found, policy) if with_needs else Needs()
    names = _names(source, found)
    found.reads = missing(found.reads, names)
    refusals = _refusals(source, found, policy)
    gone = list(absent(found.of_modules, [use.name for use in found.uses]))
    found.of_modules = []  # nobody else asks for them
    told = {one.message for one in (*refusals, *needs.unsolved)}
    gone = [one for one in gone if one.message not in told]
    if with_needs:
        needs.unsolved += gone
    return Judgement(sorted([*refusals, *gone], key=lambda one: one.line), needs, found, names)


def _unreadable(error: BaseException) -> Objection:
    if isinstance(error, SyntaxError):
        script = _OF_SCRIPTS.search((error.text or "")[:1_000])
        why = f"instead: _{script[1]} (${script[1]} is JavaScript's)" if script else _NO_PYTHON
        return Objection(error.lineno or 1, f"{error.msg}", why, None, "syntax")
    if isinstance(error, ValueError):  # a null character
        return Objection(1, str(error), _NO_PYTHON, None, "syntax")
    return Objection(1, "the program is nested too deeply", "Python can't compile it", None, "never")


def _names(source: str, found: ProgramFeatures) -> list[str]:
    if NAMES.isdisjoint(found.names):
        return []
    try:
        plain = LanguagePolicy(stdlib_allow=("*",), external_allow=("*", *_external(found)), mode="python")
        return sorted(mentioned(mode_of(plain).compile_task(source, plain)))
    except Exception:  # it can't be compiled: what it refuses is told elsewhere
        return sorted(NAMES & found.names.keys())


# ---- refusals ---------------------------------------------------------------------------


def _refusals(source: str, found: ProgramFeatures, policy: LanguagePolicy) -> list[Objection]:
    findings: list[Finding] = []
    try:
        mode_of(policy).compile_task(source, policy)
    except PolicyViolation as error:
        findings += error.findings
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        return [_unreadable(error)]
    if policy.mode == "python":
        # what isn't the language's business: the kernel layer holds it in either mode
        open_lists = msgspec.structs.replace(
            policy, mode="restricted", stdlib_allow=("*",), external_allow=("*", *_external(found))
        )
        tried = {f"import of '{one.module}' is not allowed" for one in found.imports if one.optional}
        held = [one for one in _refusals(source, found, open_lists) if one.kind in ("connections", "files", "never")]
        held = [one for one in held if one.message not in tried]  # it fails, as the program expects
        if "syntax/relative-import" in found.signs:
            line, why = found.signs["syntax/relative-import"], "a task is not part of a package"
            held.append(Objection(line, "a relative import finds nothing", why, None, "never"))
        held += _unloaded(found, policy)
        return sorted({*(_refusal(one, policy.files) for one in findings), *held}, key=lambda one: one.line)
    findings += _at_run_time(found, policy)
    refusals = list(dict.fromkeys(_refusal(finding, policy.files) for finding in findings))
    refusals += _of_files(found, policy, {one.line for one in refusals if one.kind == "files"})
    refusals += _of_connections(found, policy, {one.line for one in refusals if one.kind == "connections"})
    return sorted(refusals, key=lambda one: one.line)


def _refusal(finding: Finding, with_files: bool) -> Objection:
    setting, kind = finding.setting, _BY_SETTING.get(finding.setting, "never")
    if setting is None:
        told = with_other_mode(finding.text())
        if IN_PYTHON.removesuffix(".") in told:
            setting, kind = "REPTARIUM_LANGUAGE", "language"
        elif WITH_FILES.removesuffix(".") in told:
            # what is refused to tasks with files too is refused by the restricted mode
            setting, kind = ("REPTARIUM_LANGUAGE", "language") if with_files else (SCRATCH_SETTING, "files")
    return Objection(finding.line, finding.message, finding.why, setting, kind)


def _at_run_time(found: ProgramFeatures, policy: LanguagePolicy) -> Iterator[Finding]:
    """Names that the façades of modules lack, and functions that refuse."""
    imported = {one.module for one in found.imports}  # of modules the compiler tells
    told: set[str] = set()
    for use in found.uses:
        for module, name in _splits(use.name):
            own = f"{module}.{name}"
            why = _withheld(module, name, policy.files) if own not in imported else None
            setting = None
            if own in stdlib.NETWORK and not policy.connections and own not in imported:
                why, setting = stdlib.NO_NETWORK, CONNECT_SETTING
            if why and own not in told:
                told.add(own)
                yield Finding(use.line, f"'{own}' isn't there", setting, why.removesuffix(f". {_NEVER}"))
            if why:
                break
    tops = {one.module.partition(".")[0] for one in found.imports}
    for name, why in pandas.METHODS.items():
        if name in found.methods and "pandas" in tops:
            yield Finding(found.methods[name], f"'DataFrame.{name}' is not allowed", None, why)


def _unloaded(found: ProgramFeatures, policy: LanguagePolicy) -> Iterator[Objection]:
    """Parts of standard packages that the program uses and doesn't import: in plain Python they are there when
    something else has imported them. What packages import isn't known, so that of programs with some nothing is said.
    """
    imported = {*(one.module for one in found.imports), *found.taken}
    if _external(found):
        return
    there = {*imported, *LOADED, *(COMMON if "*" in policy.stdlib_allow else ())}
    told: set[str] = set()
    for use in found.uses:
        parts = use.name.split(".")
        for end in range(2, min(len(parts), _DEEPEST) + 1):
            part = ".".join(parts[:end])
            if not is_standard_part(part):
                break
            if not any(one == part or one.startswith(f"{part}.") for one in there):
                if part not in told:
                    told.add(part)
                    why = f"nothing has imported it: write import {part}"
                    yield Objection(use.line, f"'{part}' isn't there", why, None, "never")
                break


def _splits(name: str) -> Iterator[tuple[str, str]]:
    """A dotted name as modules and attributes of theirs, the outermost first, as far as the tables may know it."""
    parts = name.split(".")
    known = parts[0] in registry.PACKAGES
    for end in range(1, min(len(parts), _DEEPEST)):
        module = ".".join(parts[:end])
        if known or module in stdlib.ONLY or module in stdlib.OPEN or module in files.MODULES:
            yield module, parts[end]


def _withheld(module: str, name: str, with_files: bool) -> str | None:
    if is_part(f"{module}.{name}") or name.startswith("_"):  # of these the compiler tells
        return None
    short = files.names(module, stdlib.ONLY) if with_files else stdlib.ONLY.get(module, "").split()
    if short and name not in short:
        return stdlib.withheld_reason(module, name, with_files)
    if name in stdlib.OPEN.get(module, ()):
        return stdlib.withheld_reason(module, name)
    package = registry.PACKAGES.get(module.partition(".")[0])
    if package is None or (with_files and files.is_of_files(module, name)):
        return None
    for why, names in (*package.refused.get(module, {}).items(), *package.withheld.get(module, {}).items()):
        if name in names.split():
            return why
    return None


def _of_files(found: ProgramFeatures, policy: LanguagePolicy, told: set[int]) -> Iterator[Objection]:
    """Files that libraries would open; ``told``: the lines of which something is said already."""
    for file in found.files:
        what = f"it {'writes' if file.writes else 'reads'} the file {file.path!r}" if file.path else "it opens a file"
        if not policy.files:
            if file.line not in told:
                yield Objection(file.line, what, "tasks have no files", SCRATCH_SETTING, "files")
        elif file.writes and file.path.startswith("/") and not f"{file.path}/".startswith("/tmp/"):
            why = "a task writes in its own directory only; return it as binary data, and let a node of n8n write it"
            yield Objection(file.line, what, why, None, "never")


def _of_connections(found: ProgramFeatures, policy: LanguagePolicy, told: set[int]) -> Iterator[Objection]:
    if policy.connections or told:
        return
    for library, line in found.connects.items():
        yield Objection(line, f"{library} can't connect to anything", stdlib.NO_NETWORK, CONNECT_SETTING, "connections")


# ---- the least that does ----------------------------------------------------------------


def _needs(source: str, found: ProgramFeatures, policy: LanguagePolicy) -> Needs:
    required, external = _stdlib(found), _external(found)
    base = msgspec.structs.replace(policy, stdlib_allow=tuple(required), external_allow=tuple(external))
    base = msgspec.structs.replace(base, builtins_deny=())
    best: Needs | None = None
    for language in ("restricted", "python"):
        for with_files, connections in ((False, False), (True, False), (False, True), (True, True)):
            tried = msgspec.structs.replace(base, mode=language, files=with_files, connections=connections)
            refusals = _refusals(source, found, tried)
            if best is None or _weight(refusals) < _weight(best.unsolved):
                best = Needs(language, with_files, connections, required, external, _optional(found), refusals)
            if not refusals:
                return best
    assert best is not None
    return best


def _weight(refusals: list[Objection]) -> tuple[int, int]:
    """Fewest first; of as many those that say what to change, and not which setting would refuse something else."""
    return len(refusals), sum(one.setting is not None for one in refusals)


def _is_standard(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names


def _stdlib(found: ProgramFeatures) -> list[str]:
    """The standard modules to list: as imported, and their parents where the program uses more of them than that."""
    wanted = {one.module for one in found.imports if _is_standard(one.module) and one.module != "__future__"}
    for use in found.uses:
        if _is_standard(use.name) and not any(
            use.name == entry or use.name.startswith(f"{entry}.") or entry.startswith(f"{use.name}.")
            for entry in wanted
        ):
            wanted.add(use.name.partition(".")[0])
    return sorted(entry for entry in wanted if not _below(entry, wanted))


def _below(entry: str, others: set[str]) -> bool:
    parts = entry.split(".")
    return any(".".join(parts[:end]) in others for end in range(1, len(parts)))


def _external(found: ProgramFeatures) -> list[str]:
    return sorted({one.module.partition(".")[0] for one in found.imports if not _is_standard(one.module)})


def _optional(found: ProgramFeatures) -> list[str]:
    required = {one.module.partition(".")[0] for one in found.imports if not one.optional}
    return sorted({one.module.partition(".")[0] for one in found.imports} - required)
