"""threadpoolctl (scikit-learn, joblib): asks the loader for libraries instead of /proc, which tasks lack."""

from __future__ import annotations

from typing import Any

from reptarium.sandbox.language.packages.package import Package


def _patch(threadpoolctl: Any) -> None:
    threadpoolctl._HAS_PROCFS = False


PACKAGE = Package("threadpoolctl", patches={"threadpoolctl": _patch})
