"""What is said of each node: whether it runs, what it needs, what will be different."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from ipaddress import ip_address
from typing import Literal

import msgspec

from reptarium.pool.check.distributions import Provided, is_pyodides, is_standard, provided
from reptarium.pool.check.given import missing_attributes, rewritten, undefined
from reptarium.pool.check.old_names import OldName, used
from reptarium.pool.check.parts import parts_not_imported
from reptarium.pool.check.workflows import CodeNode, Found
from reptarium.pool.config import Settings
from reptarium.pool.differences.signs import about
from reptarium.pool.embedded_broker.items import NotItems, items_of, text_of
from reptarium.pool.powers.destinations import Destinations, Entry, normal_name, parse_entry
from reptarium.sandbox.judge.messages import File, Host, Judgement, Needs, Objection, Returned

#: ``runs``: under the settings that were checked; ``settings``: under others; ``never``: the code must change.
Status = Literal["runs", "settings", "never"]

#: Attributes of ``_helpers`` → the call that it is, as REPTARIUM_RPC_ALLOW names it. Names of n8n's are the same.
CALLS = {
    "http_request": "httpRequest",
    "get_binary": "getBinaryDataBuffer",
    "binary_info": "assertBinaryData",
    "prepare_binary": "prepareBinaryData",
    "set_binary": "setBinaryDataBuffer",
    "binary_to_string": "binaryToString",
}
_HTTP = frozenset({"httpRequest", "request"})
#: Names that are answered from the data of the execution.
_TASK_DATA = frozenset(
    "_node _ _input _prev_node _prevNode _workflow _execution _vars _env _now _today _run_index _runIndex "
    "_getWorkflowStaticData".split()
)
TASK_DATA = "taskData"
THREADS_SETTING = "REPTARIUM_MAX_THREADS"


class Warned(msgspec.Struct, frozen=True):
    """A difference from n8n's own runner that the program may notice. ``gain``: it works here and there it doesn't."""

    id: str
    line: int
    what: str
    original: str
    ours: str
    why: str
    gain: bool


class ImportReport(msgspec.Struct, frozen=True):
    """One imported module. ``refused``: why it may not be imported under the settings; empty where it may.

    ``by``: what imports it, where that isn't the program itself: something of a library's that it uses.
    """

    module: str
    line: int
    standard: bool
    optional: bool
    distribution: str
    installed: bool
    refused: str
    guessed: bool = False
    by: str = ""


class NodeReport(msgspec.Struct, kw_only=True):
    """All that is said of one node."""

    node: CodeNode
    status: Status
    refusals: list[Objection]
    """What keeps it from running under the settings that were checked."""
    needs: Needs
    imports: list[ImportReport]
    late: list[ImportReport]
    """What its libraries import besides, when it uses something of theirs."""
    calls: dict[str, int]
    """Calls to n8n, by their names → the first line."""
    old_names: list[OldName]
    libraries: list[str]
    ports: list[int]
    hosts: list[Host]
    http_hosts: list[Host]
    unknown_hosts: bool
    files: list[File]
    threads: int
    """Of its largest pool whose size stands in the code; 0: there is none."""
    asynchronous: int
    prints: int
    warnings: list[Warned]

    @property
    def counts(self) -> bool:
        """Whether it runs at all in n8n."""
        return not self.node.disabled


class Checked(msgspec.Struct, kw_only=True):
    """Everything: what was read, and a report of each Python node."""

    found: Found
    reports: list[NodeReport]

    def count(self, status: Status) -> int:
        """How many nodes, of those that aren't disabled, are of this status."""
        return sum(report.status == status for report in self.reports if report.counts)


def report(node: CodeNode, judgement: Judgement, settings: Settings) -> NodeReport:
    """Of one node: ``judgement`` was made under ``settings``."""
    features, needs = judgement.features, judgement.needs
    pyodide = {f"import of '{one.module}' is not allowed" for one in features.imports if is_pyodides(one.module)}
    # a setting that opens a construct and refuses it nevertheless is none to name
    solved = {one.message: one for one in needs.unsolved}
    refusals = [solved.get(one.message, one) for one in judgement.refusals if one.message not in pyodide]
    imports = _imports(judgement)
    by_helpers = not features.libraries
    http_hosts = list(features.http_hosts)
    if by_helpers and _HTTP & {CALLS.get(name, name) for name in features.helpers}:
        http_hosts += [host for host in features.hosts if host not in http_hosts]
    calls = _calls(judgement)
    old_names = used(features.names, judgement.names)
    refusals += _more(judgement, settings, calls, http_hosts)
    late = _late(judgement)
    missing = _missing([*imports, *late])
    if node.code.startswith("="):
        why = "what n8n makes of it is known only when it runs; write the code itself"
        never = refusals = [Objection(1, "the code is an expression of n8n's", why, None, "never")]
    else:
        changes = [*rewritten(old_names, features), *undefined(node, features), *missing_attributes(features)]
        changes += parts_not_imported(features, settings.preload)
        changes += [] if changes else _no_items(node, features.returns)
        never = [*needs.unsolved, *changes]
        refusals += changes
    status: Status = "never" if never else "settings" if refusals or missing else "runs"
    return NodeReport(
        node=node, status=status, refusals=sorted([*refusals, *missing], key=lambda one: one.line),
        needs=msgspec.structs.replace(needs, unsolved=never), imports=imports, late=late, calls=calls,
        old_names=old_names, libraries=features.libraries, ports=features.ports,
        hosts=[] if by_helpers else features.hosts, http_hosts=http_hosts,
        unknown_hosts=features.unknown_hosts, files=features.files, threads=features.threads[0],
        asynchronous=features.asynchronous, prints=features.prints, warnings=_warnings(features.signs),
    )  # fmt: skip


def _imports(judgement: Judgement) -> list[ImportReport]:
    refused = {one.message: one.why for one in judgement.refusals}
    found = []
    for one in judgement.features.imports:
        standard = is_standard(one.module)
        source = Provided(one.module, "", True) if standard else provided(one.module)
        why = refused.get(f"import of '{one.module}' is not allowed", "")
        found.append(
            ImportReport(
                one.module, one.line, standard, one.optional, source.distribution, source.installed, why,
                source.guessed,
            )
        )  # fmt: skip
    return found


def _late(judgement: Judgement) -> list[ImportReport]:
    """What libraries import when the program uses something of theirs."""
    found = []
    for one in judgement.features.late:
        sources = [provided(module) for module in one.modules]
        source = next((each for each in sources if each.installed), sources[0])
        found.append(
            ImportReport(
                source.module, one.line, False, False, source.distribution, source.installed, "", source.guessed, one.by
            )
        )
    return found


def _missing(imports: Iterable[ImportReport]) -> list[Objection]:
    """Imports that fail because nothing provides them here."""
    found: dict[str, Objection] = {}
    for one in imports:
        if not one.installed and not one.optional and one.distribution:
            what = f"'{one.module.partition('.')[0]}' is not installed"
            what = f"{one.by} needs '{one.module}', which is not installed" if one.by else what
            sure, guess = f"{one.distribution} provides it", f"{one.distribution} is a guess by its name: look it up"
            why = guess if one.guessed else sure
            refusal = Objection(one.line, what, why, None, "install")
            found.setdefault(one.distribution, refusal)
    return list(found.values())


def _calls(judgement: Judgement) -> dict[str, int]:
    features = judgement.features
    gone = {read.path for read in features.reads}
    called = {name: line for name, line in features.helpers.items() if f"_helpers.{name}" not in gone}
    calls = {CALLS.get(name, name): line for name, line in called.items()}
    if used_names := _TASK_DATA & set(judgement.names):
        calls[TASK_DATA] = min(features.names.get(name, 1) for name in used_names)
    return calls


def _no_items(node: CodeNode, returns: list[Returned]) -> list[Objection]:
    """A result that n8n refuses however the program goes. A node's failure may do, where its workflow goes on."""
    whys = [] if node.continue_on_fail else [_why_no_items(node, one.value) for one in returns]
    if not whys or None in whys:
        return []
    return [Objection(returns[0].line, "n8n refuses what the code returns", whys[0] or "", None, "never")]


def _why_no_items(node: CodeNode, value: object) -> str | None:
    if node.each and value is None:  # the item is left out
        return None
    try:
        text_of(value) if node.tool else items_of([value] if node.each else value)
    except NotItems as error:
        return str(error).removesuffix(".")
    return None


def _more(
    judgement: Judgement, settings: Settings, calls: dict[str, int], http_hosts: Iterable[Host]
) -> Iterable[Objection]:
    """What the supervisor would refuse."""
    features = judgement.features
    if features.libraries and settings.connect_allow:
        allowed = destinations(settings)
        for host in features.hosts:
            if not opens(allowed, host):
                what = f"a connection to {host.host}:{host.port} is not allowed"
                yield Objection(host.line, what, "it isn't listed", "REPTARIUM_CONNECT_ALLOW", "connections")
    for name, line in calls.items():
        if not ({name, "*"} & set(settings.rpc_allow)):
            yield Objection(line, f"the call {name} is not allowed", "it isn't listed", "REPTARIUM_RPC_ALLOW", "calls")
    if _HTTP & calls.keys() and "*" not in settings.http_allow:
        for host in http_hosts:
            if not any(fnmatchcase(host.host.lower(), pattern.lower()) for pattern in settings.http_allow):
                what = f"a request to {host.host} is not allowed"
                yield Objection(host.line, what, "it isn't listed", "REPTARIUM_HTTP_ALLOW", "calls")
    if settings.scratch is not None:
        for file in features.files:
            if is_elsewhere(file) and not file.writes and not _readable(file.path, settings):
                what = f"the file {file.path!r} can't be read"
                yield Objection(file.line, what, "it isn't listed", "REPTARIUM_READ_PATHS", "files")

    threads, line = features.threads
    if threads > settings.max_threads:
        why = f"a task has {settings.max_threads} beside its own, and fails once the pool wants more"
        yield Objection(line, f"a pool of {threads:,} threads is too large", why, THREADS_SETTING, "limits")


def is_elsewhere(file: File) -> bool:
    """Whether it is a file outside of the task's own directory."""
    return file.path.startswith("/") and not f"{file.path}/".startswith("/tmp/")


def _readable(path: str, settings: Settings) -> bool:
    return any(path == listed or path.startswith(f"{listed.rstrip('/')}/") for listed in settings.read_paths)


def destinations(settings: Settings) -> Destinations:
    """What tasks may connect to under the settings."""
    return Destinations([parse_entry(entry) for entry in settings.connect_allow])


def opens(allowed: Destinations, host: Host) -> bool:
    """Whether a connection to the host, by its name or its address, is listed; without a port nothing is refused."""
    try:
        return not host.port or allowed.judge(ip_address(_address(host)), host.port).allowed
    except ValueError:
        name = normal_name(host.host)
        return name is not None and any(entry.names(name) and entry.opens(host.port) for entry in allowed.entries)


def _address(host: Host) -> str:
    """A host as the list has it, where no resolver is asked for it."""
    return "127.0.0.1" if host.host == "localhost" else host.host


def entry_for(host: Host) -> str | None:
    """The narrowest entry of ``REPTARIUM_CONNECT_ALLOW`` for a host; None where it can't be listed."""
    name = _address(host)
    text = f"[{name}]:{host.port}" if ":" in name else f"{name}:{host.port}"
    try:
        entry: Entry = parse_entry(text.lower())
    except ValueError:
        return None
    return str(entry)


def _warnings(signs: dict[str, int]) -> list[Warned]:
    found = []
    for row, shown in about(signs):
        names = ", ".join(f"`{sign.partition('/')[2]}`" for sign in shown)
        what, original, ours, why = (
            one.replace("{names}", names) for one in (row.what, row.original, row.ours, row.why)
        )
        found.append(Warned(row.id, min(signs[sign] for sign in shown), what, original, ours, why, row.gain))
    return found
