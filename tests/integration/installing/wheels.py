"""Wheels, and one package that has to be built, made in a moment: nothing comes over a network."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path


def wheel(folder: Path, name: str, version: str, modules: Mapping[str, str], *requires: str) -> Path:
    """A wheel of these modules, file name → text."""
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {one}\n" for one in requires)
    files = {
        **modules,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    return path


def sha256(path: Path) -> str:
    """As `--hash` has it."""
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


#: Tells what it sees, and never ends.
_BACKEND = """
import os, subprocess, sys, time

def build_wheel(*arguments):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    with open({told!r} + ".new", "w") as file:
        file.write("\\n".join([str(child.pid), str(os.getpid()), *map("=".join, os.environ.items())]))
    os.rename({told!r} + ".new", {told!r})
    time.sleep(1000)
"""


def endless_package(folder: Path, told: Path) -> None:
    """The source of a package ``endless`` whose building never ends. ``told`` has then the ids of two processes of it,
    and the environment that it sees, each on a line.
    """
    files = {
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "endless"\nversion = "1.0"\n',
        "PKG-INFO": "Metadata-Version: 2.1\nName: endless\nVersion: 1.0\n",
        "backend.py": _BACKEND.format(told=str(told)),
    }
    with tarfile.open(folder / "endless-1.0.tar.gz", "w:gz") as archive:
        for file, text in files.items():
            member = tarfile.TarInfo(f"endless-1.0/{file}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
