"""What is wrong, or hardly meant, about values that are well-formed by themselves."""

from __future__ import annotations

import builtins
import difflib
import sys
from collections.abc import Iterable, Iterator

from reptarium.pool.config.settings import Settings
from reptarium.pool.config.table import BY_FIELD

_BUILTINS = frozenset(dir(builtins))
_STANDARD = sys.stdlib_module_names


def contradictions(settings: Settings) -> tuple[str, ...]:
    """A line for each setting that can't be together with another."""
    if settings.language == "python" and settings.isolation != "enforce":
        return (
            f"REPTARIUM_LANGUAGE='python': only with REPTARIUM_ISOLATION=enforce, which is {settings.isolation}: "
            "nothing but the kernel layer holds user code in this mode",
        )
    return ()


def meant(name: str, known: Iterable[str]) -> str:
    """A question for the known name that is near, or nothing."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    return f"; did you mean {near[0]}?" if near else ""


def _in_the_wrong_list(name: str, field: str) -> Iterator[str]:
    variable, standard = BY_FIELD[field].name, name.partition(".")[0] in _STANDARD
    if standard and field == "external_allow":
        yield f"{variable}: {name!r} is of Python's standard library; N8N_RUNNERS_STDLIB_ALLOW is its list"
    elif not standard and field == "stdlib_allow":
        hint = meant(name, _STANDARD) or "; other packages are listed in N8N_RUNNERS_EXTERNAL_ALLOW"
        yield f"{variable}: {name!r} is no module of this Python's standard library{hint}"


def oddities(settings: Settings) -> list[str]:
    """A line for each value that is allowed and hardly meant."""
    found = []
    for field in ("stdlib_allow", "external_allow", "preload"):
        for name in getattr(settings, field):
            if name != "*" and not all(part.isidentifier() for part in name.split(".")):
                found.append(
                    f"{BY_FIELD[field].name}: {name!r} can't be an import name "
                    "(a package's import name may differ from the name it is installed by)"
                )
            elif name != "*" and field != "preload":
                found += _in_the_wrong_list(name, field)
    for name in settings.builtins_deny:
        if name not in _BUILTINS:
            found.append(
                f"N8N_RUNNERS_BUILTINS_DENY: {name!r} is no built-in name and removes nothing{meant(name, _BUILTINS)}"
            )
    if not settings.allow_transitive_imports:
        found.append(
            "N8N_RUNNERS_ALLOW_TRANSITIVE_IMPORTS=false has no effect: what an allowed module imports itself needs no "
            "entry, and user code can't reach it"
        )
    if settings.sentry_profiles_sample_rate and not settings.sentry_traces_sample_rate:
        found.append("N8N_SENTRY_PROFILES_SAMPLE_RATE has no effect without N8N_SENTRY_TRACES_SAMPLE_RATE")
    if settings.worker_uids is not None:
        first, last = settings.worker_uids
        needed = settings.max_concurrency + settings.warm_workers
        if last - first + 1 < needed:
            found.append(
                f"REPTARIUM_WORKER_UIDS has {last - first + 1} ids for up to {needed} workers: some will share one"
            )
    if settings.max_result > settings.max_payload:
        found.append("REPTARIUM_MAX_RESULT is above N8N_RUNNERS_MAX_PAYLOAD: results between the two can't be sent")
    return found
