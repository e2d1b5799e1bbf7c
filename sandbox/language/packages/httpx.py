"""httpx: modules that it imports when they are first used."""

from __future__ import annotations

import importlib
from typing import Any

from reptarium.sandbox.language.packages.package import Package


def _patch(httpx: Any) -> None:
    importlib.import_module("httpcore")  # which it would import at the first request, with ctypes and more


PACKAGE = Package("httpx", patches={"httpx": _patch})
