"""lxml: its tools for doctest change that module."""

from __future__ import annotations

from reptarium.sandbox.language.packages.package import Package

PACKAGE = Package("lxml", withheld={"lxml": {"it changes the module doctest": "doctestcompare usedoctest"}})
