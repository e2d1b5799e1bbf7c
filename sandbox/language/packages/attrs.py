"""attrs: no allowlist opens it, but packages that tasks may import make their classes with it."""

from __future__ import annotations

from reptarium.sandbox.language.packages.package import Package

PACKAGE = Package("attr", code_makers={"attr._make": None})
