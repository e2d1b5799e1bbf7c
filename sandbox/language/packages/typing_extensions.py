"""typing_extensions: evaluates annotations as ``typing`` does."""

from __future__ import annotations

from reptarium.sandbox.language.packages.package import Package

PACKAGE = Package("typing_extensions", code_makers={"typing_extensions": None})
