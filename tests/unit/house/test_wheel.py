"""The built wheel: what is in it, and that it runs beside packages of other people that have our folders' names."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from docs.diagrams import FOLDERS, ROOT, modules
from tests.limits import within

pytestmark = pytest.mark.slow  # builds and installs

#: What the two folders hold beside modules, by its place in the wheel.
DATA = {
    "reptarium/pool/differences/signs.json",
    "reptarium/pool/policy/reptarium-policy.schema.json",
    "reptarium/pool/py.typed",
    "reptarium/sandbox/py.typed",
    "reptarium/sandbox/userspace/reptarium-stubs/__builtins__.pyi",
    "reptarium/sandbox/userspace/reptarium-stubs/reptarium/__init__.pyi",
}


def run(*command: str | Path, cwd: Path) -> str:
    """The standard output of a command that must succeed."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, timeout=within(300), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of what it is made of."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE", "pool", "sandbox"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    target = tmp_path_factory.mktemp("wheel")
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        target,
        source,
        cwd=target,
    )
    (found,) = target.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel, beside foreign packages named `pool` and `sandbox`. Returns its bin folder.

    Our dependencies come from this environment by a path, which brings no editable install along.
    """
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    python = folder / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])", cwd=folder).strip())
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", wheel, cwd=folder)
    for name in ("pool", "sandbox"):
        (site / name).mkdir()
        (site / name / "__init__.py").write_text("foreign = True\n")
    return folder / "bin"


def test_wheel_holds_every_module(wheel: Path) -> None:
    """Each module of the two folders is in the wheel, below `reptarium`, and there is nothing else at its top."""
    names = {name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith("/")}
    wanted = {"reptarium/__init__.py", "reptarium/__main__.py", *DATA}
    for module, path in modules().items():
        package = "reptarium.pool" if module.startswith("reptarium.pool") else "reptarium.sandbox"
        wanted.add(f"{package.replace('.', '/')}/{path.relative_to(FOLDERS[package]).as_posix()}")
    assert wanted <= names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"reptarium"}


def test_runs_beside_foreign_packages(environment: Path, tmp_path: Path) -> None:
    """The demo runs from the wheel where somebody else's `pool` and `sandbox` are installed, which stay theirs."""
    assert "All as it should be." in run(environment / "reptarium", "demo", cwd=tmp_path)
    run(environment / "python", "-c", "import pool, sandbox; assert pool.foreign and sandbox.foreign", cwd=tmp_path)


def test_module_is_the_command(environment: Path, tmp_path: Path) -> None:
    """``python -m reptarium`` and ``reptarium`` are the same, and both tell the version."""
    for command in (("reptarium",), ("python", "-m", "reptarium")):
        assert run(environment / command[0], *command[1:], "--version", cwd=tmp_path).startswith("reptarium 0.")


def test_own_code_is_unreadable_for_tasks(environment: Path, tmp_path: Path) -> None:
    """A worker of an installed runner can't read the runner's own code, nor import it."""
    (tmp_path / "script.py").write_text("import reptarium\nreturn []")
    done = subprocess.run(
        [environment / "reptarium", "exec", tmp_path / "script.py", "--allow-external", "*"],
        cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, timeout=within(120), check=False,
    )  # fmt: skip
    assert "import of 'reptarium' is not allowed: it is the sandbox's own" in done.stderr
    found = json.loads(run(environment / "reptarium", "doctor", "--json", cwd=tmp_path))
    (attempt,) = (one for one in found["attempts"] if one["name"] == "read the runner's own code")
    assert attempt["ok"]


def test_editable_install_has_no_other_name(tmp_path: Path) -> None:
    """In this environment, perhaps an editable install, there is no top-level package of our folders' names either."""
    code = "import importlib.util as u; print([u.find_spec(name) for name in ('pool', 'sandbox')])"
    assert run(sys.executable, "-P", "-c", code, cwd=tmp_path).strip() == "[None, None]"
