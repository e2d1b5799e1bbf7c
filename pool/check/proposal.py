"""The smallest settings under which everything runs that any settings let run, as lines to paste.

What all tasks have is lists of imports, told in variables. Powers (plain Python, files, connections) go to the nodes
that need them, by rules of a policy: `workflow_id` is what nobody else can take on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from reptarium.pool.check.distributions import KNOWN
from reptarium.pool.check.reports import THREADS_SETTING, Checked, ImportReport, NodeReport, entry_for, is_elsewhere
from reptarium.pool.check.workflows import CUT, MOST_NODES, is_cut
from reptarium.pool.config import Settings, load_settings
from reptarium.pool.policy.file import LONGEST_NAME, parse_policy
from reptarium.pool.policy.rules import DEFAULT, Policy
from reptarium.pool.tasks.rulings import wanted_pools
from reptarium.sandbox.judge.messages import File

#: Where the page of rules is meant to be, and how much of files a rule gives.
POLICY_PATH, SCRATCH = "/etc/reptarium/policy.toml", "64MiB"
#: Characters that a number behind a rule's name may take, with the blank: there are MOST_NODES rules at most.
_LONGEST_NUMBER = len(f" {MOST_NODES}")
_MAX_POOLS = "REPTARIUM_MAX_POOLS"
#: What REPTARIUM_MAX_THREADS may be.
_MOST_THREADS = 4_096
#: Nodes that are named where one line is about many.
_NAMED = 4


class Proposal(msgspec.Struct, kw_only=True):
    """Settings to paste, and what they leave open."""

    environ: dict[str, str]
    """Variable → value, those only that are needed."""
    everywhere: dict[str, str]
    """What the rules' powers would be as variables, for those who give them to every task."""
    requirements: list[str]
    guesses: list[str]
    """Distributions that nothing but the name of an import speaks for: none of :attr:`requirements`."""
    policy: str
    """The file of rules; empty where none is needed."""
    open: list[str]
    """What somebody has to look up."""

    def lines(self) -> list[str]:
        """The variables, as a shell or a file of an environment reads them."""
        return _lines(self.environ)

    def lines_to_install(self) -> list[str]:
        """What a file of requirements says, guesses as remarks."""
        return [*self.requirements, *(f"# {name}  # a guess: see what is still to decide" for name in self.guesses)]

    def lines_everywhere(self) -> list[str]:
        """:attr:`everywhere`, in the same way."""
        return _lines(self.everywhere)


def propose(checked: Checked, settings: Settings) -> Proposal:
    """The least for all nodes that any settings let run. ``settings``: those that they were checked under."""
    wanting = [one for one in checked.reports if one.counts and one.status != "never"]
    stdlib = {module for one in wanting for module in one.needs.stdlib if _is_needed(one, module)}
    external = {module for one in wanting for module in one.needs.external if _is_needed(one, module)}
    environ = {
        "N8N_RUNNERS_STDLIB_ALLOW": ",".join(_without_inner(stdlib)),
        "N8N_RUNNERS_EXTERNAL_ALLOW": ",".join(sorted(external)),
        "REPTARIUM_PRELOAD": ",".join(_preload(wanting)),
    }
    environ = {name: value for name, value in environ.items() if value} | _taken_back(wanting, settings)
    rules = _rules(wanting)
    installs = [(report, one) for report in wanting for one in _installs(report)]
    sure = {KNOWN.get(one.module.partition(".")[0], one.distribution) for _, one in installs if not one.guessed}
    guesses = {one.distribution for _, one in installs if one.guessed}
    proposal = Proposal(
        environ=environ, everywhere=_everywhere(wanting), requirements=sorted(sure, key=str.lower),
        guesses=sorted(guesses - sure), policy=_policy(rules), open=[*_open(wanting), *_guessed(installs)],
    )  # fmt: skip
    if rules:
        environ["REPTARIUM_POLICY"] = POLICY_PATH
        pools = len(wanted_pools(under(proposal)))
        if pools > load_settings({}).max_pools:
            environ[_MAX_POOLS] = str(min(pools, 64))
    return proposal


def under(proposal: Proposal) -> Policy:
    """The policy that the lines make."""
    settings = load_settings({name: value for name, value in proposal.environ.items() if name != "REPTARIUM_POLICY"})
    if not proposal.policy:
        return Policy(settings=settings)
    return parse_policy(proposal.policy, settings, POLICY_PATH)


def is_proven(report: NodeReport) -> bool:
    """Whether a node that was judged under a proposal runs under it, once what is left open is decided, and installed
    what has to be.
    """
    later = ("install", "connections") if _is_to_fill_in(report) else ("install",)
    return all(refusal.kind in later for refusal in report.refusals)


def _taken_back(reports: list[NodeReport], settings: Settings) -> dict[str, str]:
    """What an administrator has closed, as far as it has to be open, and limits that are too low."""
    refused = [one for report in reports for one in report.refusals]
    closed = {one.setting for one in refused}
    found = {}
    if (name := "REPTARIUM_RPC_ALLOW") in closed:
        found[name] = {*settings.rpc_allow, *(call for report in reports for call in report.calls)}
    if (name := "REPTARIUM_HTTP_ALLOW") in closed:
        found[name] = {*settings.http_allow, *(host.host for report in reports for host in report.http_hosts)}
    if (name := "N8N_RUNNERS_BUILTINS_DENY") in closed:
        needed = {one.message.split("'")[1] for one in refused if one.setting == name}
        found[name] = {*settings.builtins_deny} - needed
    lines = {name: ",".join(sorted(values)) for name, values in found.items()}
    if THREADS_SETTING in closed:
        lines[THREADS_SETTING] = str(min(max(report.threads for report in reports), _MOST_THREADS))
    return lines


def _is_needed(report: NodeReport, module: str) -> bool:
    """Not what the program does without, where it isn't installed."""
    top = module.partition(".")[0]
    if top not in report.needs.optional:
        return True
    return all(one.installed for one in report.imports if one.module.partition(".")[0] == top)


def _without_inner(modules: set[str]) -> list[str]:
    """Without those that another one opens."""
    return sorted(one for one in modules if not any(one.startswith(f"{other}.") for other in modules))


def _preload(reports: Iterable[NodeReport]) -> list[str]:
    """Submodules of packages: the lists have the packages themselves imported ahead, and not what is below them."""
    names = {
        one.module
        for report in reports
        for one in report.imports
        if not one.standard and not one.optional and "." in one.module
    }
    return sorted(names)


def _installs(report: NodeReport) -> Iterable[ImportReport]:
    """What has to be installed for it, whether it is here or not."""
    for one in (*report.imports, *report.late):
        if not one.standard and one.distribution and _is_needed(report, one.module):
            yield one


def _guessed(installs: Iterable[tuple[NodeReport, ImportReport]]) -> Iterable[str]:
    """Imports of which nothing says what provides them, each once."""
    places: dict[tuple[str, str], str] = {}
    for report, one in installs:
        if one.guessed:
            places.setdefault((one.module.partition(".")[0], one.distribution), report.node.place)
    for (module, distribution), place in sorted(places.items()):
        yield (
            f"{place}: what provides the import '{module}' isn't known here; by its name it may be {distribution}, but "
            "anybody may have taken that name: look it up, then put it into requirements.txt"
        )


# ---- powers -----------------------------------------------------------------------------


class _Powers(msgspec.Struct, frozen=True):
    """What a rule gives."""

    language: str = ""
    scratch: str = ""
    connect_allow: tuple[str, ...] = ()
    read_paths: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    """Where it may connect to is for somebody to fill in: an example for each library."""


def _powers(report: NodeReport) -> _Powers:
    needs = report.needs
    entries = {entry for host in report.hosts if (entry := entry_for(host))} if needs.connections else set()
    return _Powers(
        "python" if needs.language == "python" else "",
        SCRATCH if needs.files else "",
        tuple(sorted(entries)),
        tuple(sorted(path for path in _reads(report) if _is_listable(path))),
        tuple(_examples(report)),
    )


def _is_to_fill_in(report: NodeReport) -> bool:
    """Whether it connects to what somebody has to look up."""
    return bool(report.libraries) and (report.unknown_hosts or any(not host.port for host in report.hosts))


def _examples(report: NodeReport) -> Iterable[str]:
    """Entries to fill in."""
    if not report.needs.connections:
        return []
    found = [f"{host.host}:PORT" for host in report.hosts if not host.port]
    if report.unknown_hosts or not report.hosts:
        found += [f"HOST:{port or 'PORT'}" for port in report.ports or [0]]
    return found


def _reads(report: NodeReport) -> set[str]:
    """Paths outside a task's own files that it reads."""
    if not report.needs.files:
        return set()
    return {file.path for file in report.files if is_elsewhere(file) and not file.writes}


def _is_listable(path: str) -> bool:
    """The code says the path: what would end a line to paste, or drive a terminal, is for people to look at."""
    return ":" not in path and path.isprintable()


class _Rule(NamedTuple):
    """What some nodes of one workflow get."""

    workflow_id: str
    workflow: str
    nodes: list[str]
    powers: _Powers


def _rules(reports: Iterable[NodeReport]) -> list[_Rule]:
    """A rule for the nodes of one workflow that need the same. Inline workflows run under the id of the one around."""
    wanted: dict[tuple[str, str, str], _Powers] = {}
    names: dict[tuple[str, str], str] = {}
    for report in reports:
        node = report.node
        key = (node.workflow_id, "" if node.workflow_id else node.workflow_name)
        names.setdefault(key, node.workflow_name)
        # nodes of one name can't be told apart: each gets what both need
        wanted[*key, node.name] = _both(wanted.get((*key, node.name), _Powers()), _powers(report))
    groups: dict[tuple[str, str, _Powers], list[str]] = {}
    for (workflow_id, workflow, node_name), powers in wanted.items():
        if powers != _Powers():
            groups.setdefault((workflow_id, workflow, powers), []).append(node_name)
    return [_Rule(id, names[id, name], nodes, powers) for (id, name, powers), nodes in groups.items()]


def _both(one: _Powers, other: _Powers) -> _Powers:
    return _Powers(
        one.language or other.language,
        one.scratch or other.scratch,
        tuple(sorted({*one.connect_allow, *other.connect_allow})),
        tuple(sorted({*one.read_paths, *other.read_paths})),
        tuple(sorted({*one.unknown, *other.unknown})),
    )


def _policy(rules: list[_Rule]) -> str:
    parts = []
    names = _RuleNames()
    for rule in rules:
        powers = rule.powers
        lines = ["[[rule]]", f"name = {_toml(names.take(rule.workflow))}"]
        if rule.workflow_id:
            lines.append(f"workflow_id = {_toml(rule.workflow_id)}")
        else:
            lines.append(f"workflow = {_pattern(rule.workflow)} # its id wasn't exported: better give powers by that")
        lines.append(f"node = {_pattern(*rule.nodes)}")
        if powers.language:
            lines.append(f"language = {_toml(powers.language)}")
        if powers.scratch:
            lines.append(f"scratch = {_toml(powers.scratch)}")
        if powers.connect_allow:
            lines.append(f"connect_allow = {_toml_list(powers.connect_allow)}")
        if powers.unknown:
            lines.append(f"# connect_allow = {_toml_list(powers.unknown)} # where to doesn't stand in the code")
        if powers.read_paths:
            lines.append(f"read_paths = {_toml_list(powers.read_paths)}")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _pattern(*names: str) -> str:
    """Names as patterns that match as little else as can be."""
    texts = [name.replace("*", "?") for name in names]
    texts = [f"{name.removesuffix(CUT)}*" if is_cut(name) else name for name in texts]
    return _toml(texts[0]) if len(texts) == 1 else _toml_list(texts)


class _RuleNames:
    """Names of rules, each once: those of workflows, with numbers."""

    def __init__(self) -> None:
        self._taken = {DEFAULT}
        self._last: dict[str, int] = {}

    def take(self, workflow: str) -> str:
        """A name that no other rule has."""
        printable = "".join(one if one.isprintable() else " " for one in workflow).strip()
        base = printable[: LONGEST_NAME - _LONGEST_NUMBER] or "workflow"
        name, number = base, self._last.get(base, 1)
        while name in self._taken:
            number += 1
            name = f"{base} {number}"
        self._last[base] = number
        self._taken.add(name)
        return name


def _toml(text: str) -> str:
    # half a surrogate pair is nobody's
    whole = text.encode("utf-8", "replace").decode()
    return '"' + "".join(map(_escaped, whole)) + '"'


def _escaped(one: str) -> str:
    if one in '"\\':
        return f"\\{one}"
    return one if one.isprintable() else f"\\U{ord(one):08x}"


def _toml_list(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(_toml, texts))}]"


def _everywhere(reports: Iterable[NodeReport]) -> dict[str, str]:
    each = [_powers(report) for report in reports]
    found = {
        "REPTARIUM_LANGUAGE": next((one.language for one in each if one.language), ""),
        "REPTARIUM_SCRATCH": next((one.scratch for one in each if one.scratch), ""),
        "REPTARIUM_CONNECT_ALLOW": ",".join(sorted({entry for one in each for entry in one.connect_allow})),
        "REPTARIUM_READ_PATHS": ":".join(sorted({path for one in each for path in one.read_paths})),
    }
    return {name: value for name, value in found.items() if value}


def _open(reports: list[NodeReport]) -> Iterable[str]:
    """What no text of a program tells."""
    yield from _in_tmp(reports)
    for report in reports:
        for path in sorted(_reads(report)):
            if not _is_listable(path):
                # with its escapes: it may hold what nobody sees
                yield f"{report.node.place}: the path {path!a} is none that REPTARIUM_READ_PATHS takes"
        if examples := list(_examples(report)):
            who = f"{', '.join(report.libraries)} connects" if report.libraries else "it connects"
            yield (
                f"{report.node.place}: where {who} to doesn't stand in the code; "
                f"name it: REPTARIUM_CONNECT_ALLOW={','.join(examples)}, or connect_allow of its rule"
            )
        for host in report.hosts if report.needs.connections else ():
            if host.port and entry_for(host) is None:
                yield f"{report.node.place}: {host.host} is no name or address that REPTARIUM_CONNECT_ALLOW takes"


def _in_tmp(reports: list[NodeReport]) -> Iterable[str]:
    places = [report.node.place for report in reports if report.needs.files and any(map(_is_in_tmp, report.files))]
    if places:
        more = f" and {len(places) - _NAMED} more" if len(places) > _NAMED else ""
        yield (
            f"{', '.join(places[:_NAMED])}{more}: /tmp is a task's own directory only where the runner may have a "
            "mount namespace, which stock containers forbid (`reptarium doctor` shows it: namespaces); without one "
            "write a path without a slash, or ask tempfile.gettempdir()"
        )


def _is_in_tmp(file: File) -> bool:
    return f"{file.path}/".startswith("/tmp/")


def _lines(environ: Mapping[str, str]) -> list[str]:
    return [f"{name}={_quoted(value)}" for name, value in environ.items()]


def _quoted(value: str) -> str:
    return value if all(one.isalnum() or one in ",._-/:" for one in value) else "'" + value.replace("'", "'\\''") + "'"
