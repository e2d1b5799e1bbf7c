"""constraints.txt, which images are built with: what the runner needs, and nothing that only tests need."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[3]


def pinned(name: str) -> set[str]:
    """The packages that a file pins."""
    return {
        canonicalize_name(one) for one in re.findall(r"^([A-Za-z][\w.-]*)==", (ROOT / name).read_text(), re.MULTILINE)
    }


def needed(root: str) -> set[str]:
    """All that is installed with a package, as what is installed here says."""
    found: set[tuple[str, tuple[str, ...]]] = set()
    left = [Requirement(root)]
    while left:
        one = left.pop()
        key = canonicalize_name(one.name), tuple(sorted(one.extras))
        try:
            requires = distribution(one.name).requires or ()
        except PackageNotFoundError:
            continue  # for another Python or system
        if key not in found:
            found.add(key)
            inner = map(Requirement, requires)
            wanted = ({"extra": extra} for extra in ("", *one.extras))
            environments = list(wanted)
            left += [r for r in inner if r.marker is None or any(map(r.marker.evaluate, environments))]
    return {name for name, _ in found}


def test_user_codes_packages_are_free() -> None:
    """EXTRA_PACKAGES='pandas==2.2.3' can be had: only the runner's own packages are pinned, and each of them is."""
    assert pinned("constraints.txt") == needed("reptarium[sentry]") - {"reptarium"}
    assert "pandas" in pinned("constraints-test.txt")
    assert not pinned("constraints-test.txt") & pinned("constraints.txt")
    assert "\n-c constraints.txt\n" in (ROOT / "constraints-test.txt").read_text()
