"""What the runner itself is made of, in which versions: nothing that is installed for user code may want others.

A zygote has our own dependencies in it, and a task that imports one of them gets that one.
"""

from __future__ import annotations

import importlib.metadata
import re
from functools import cache

from reptarium.pool.installing.requirements import normalized

_REQUIRED = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^]]*)\])?([^;]*)(?:;(.*))?")
_EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)["']""")
#: What only other systems need.
_ELSEWHERE = re.compile(r"""(?:os_name|sys_platform|platform_system)\s*==\s*["'](?:nt|win32|windows|darwin)""", re.I)
#: Of our own, what a runner may have been installed with.
_EXTRAS = frozenset({"sentry"})


@cache
def own_versions() -> dict[str, str]:
    """Normalized name → version of all that is installed and that the runner needs, over others too."""
    found: dict[str, str] = {}
    waiting = [("reptarium", _EXTRAS)]
    seen = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # of another system or Python, or an extra that isn't here
        found[normalized(name)] = distribution.version
        for line in distribution.requires or ():
            if (parts := _REQUIRED.fullmatch(line)) is None:
                continue
            needed, wanted, _, marker = parts.groups()
            asked = set(_EXTRA.findall(marker or ""))
            if not _ELSEWHERE.search(marker or "") and (not asked or asked & extras):
                waiting.append((needed, frozenset(one.strip() for one in (wanted or "").split(",") if one.strip())))
    found.pop("reptarium", None)
    return dict(sorted(found.items()))


def own_constraints() -> str:
    """The same as a file of constraints."""
    # a local version (1.0+cpu) is no other than the public one to whoever compares
    return "".join(f"{name}=={version}\n" for name, version in own_versions().items())
