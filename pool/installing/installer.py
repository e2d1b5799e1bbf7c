"""Who installs: uv, or pip wherever it can be had. Its command, and the little of our environment that it gets.

Packages may bring programs that run while they are built. So the environment is a list of what installers are known to
need, and of what the requirements file itself names; never a variable that has, or is, a secret of the runner.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.machinery import PathFinder
from pathlib import Path

from reptarium.pool.config import Settings
from reptarium.pool.config.settings import secret_values
from reptarium.pool.config.table import VARIABLES
from reptarium.pool.installing.place import Place
from reptarium.pool.installing.requirements import PackagesRefused

_PASSED = frozenset(
    """PATH HOME USER LOGNAME LANG LANGUAGE TZ NETRC SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE
    HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY http_proxy https_proxy all_proxy no_proxy XDG_CONFIG_HOME XDG_CONFIG_DIRS
    CC CXX CFLAGS CXXFLAGS CPPFLAGS LDFLAGS PKG_CONFIG_PATH SOURCE_DATE_EPOCH""".split()
)
_PREFIXES = ("PIP_", "UV_", "LC_")
#: Where packages go, what is installed, and for which Python is ours to say.
_OURS = frozenset(
    """PIP_TARGET PIP_USER PIP_PREFIX PIP_ROOT PIP_REQUIREMENT PIP_CONSTRAINT PIP_EDITABLE PIP_PYTHON PIP_DRY_RUN
    PIP_REPORT PIP_UPGRADE PIP_NO_DEPS PIP_LOG UV_PYTHON UV_SYSTEM_PYTHON UV_TARGET UV_PREFIX UV_CONSTRAINT UV_OVERRIDE
    UV_BUILD_CONSTRAINT UV_NO_VERIFY_HASHES UV_DRY_RUN UV_NO_DEPS UV_PROJECT UV_WORKING_DIRECTORY UV_LOG_DIR""".split()
)
#: What says nothing of where packages come from.
_HARMLESS = frozenset(
    """PIP_DISABLE_PIP_VERSION_CHECK PIP_NO_CACHE_DIR PIP_CACHE_DIR PIP_ROOT_USER_ACTION PIP_NO_INPUT PIP_QUIET
    PIP_VERBOSE PIP_PROGRESS_BAR PIP_NO_COLOR PIP_NO_WARN_SCRIPT_LOCATION PIP_DEFAULT_TIMEOUT PIP_TIMEOUT
    PIP_RETRIES""".split()
)


def environment(environ: Mapping[str, str], settings: Settings, place: Place, work: Path) -> dict[str, str]:
    """What the installer sees of ``environ``. ``work``: a directory that it may fill, gone afterwards."""
    marked = {spelling for variable in VARIABLES if variable.secret for spelling in _spelt(variable.name)}
    tokens = secret_values(settings)
    found = {
        name: value
        for name, value in environ.items()
        if value
        and (name in _PASSED or name.startswith(_PREFIXES) or name in place.requirements.variables)
        and name not in _OURS | marked
        and not any(token in value for token in tokens)
    }
    # a root file system may be read-only, and /tmp small or not there
    found |= {"TMPDIR": str(work / "tmp"), "PYTHONUTF8": "1"}
    if "UV_CACHE_DIR" not in found:
        found["UV_CACHE_DIR"] = str(work / "cache")
    if "PIP_CACHE_DIR" not in found:
        found["PIP_NO_CACHE_DIR"] = "1"
    return found


def _spelt(name: str) -> tuple[str, str]:
    return name, name + "_FILE"


def command(settings: Settings, place: Place, environ: Mapping[str, str], work: Path, target: Path) -> list[str]:
    """What installs the packages of ``place`` into ``target``; a file ``work/constraints.txt`` is there.

    ``environ`` is the installer's own. Asks an interpreter whether it has pip: not for the event loop's thread. Raises
    :class:`PackagesRefused` when there is none.
    """
    uv = _uv(settings.installer, environ)
    if uv is not None:
        found = [
            uv,
            "pip",
            "install",
            "--python",
            sys.executable,
            "--no-progress",
            "--compile-bytecode",
            "--color=never",
        ]
        found += ["--link-mode=copy"]  # its cache is somewhere else, or gone afterwards
    else:
        found = [*_pip(settings.installer), "install", "--no-input", "--disable-pip-version-check", "--no-color"]
        found += ["--progress-bar=off", "--no-warn-script-location", "--root-user-action=ignore"]
    if settings.wheels is not None:
        found += ["--no-index", "--find-links", settings.wheels]
    if place.requirements.hashed:
        found.append("--require-hashes")
    return [*found, "--target", str(target), "-c", str(work / "constraints.txt"), "-r", place.requirements.path]


def _uv(wanted: str, environ: Mapping[str, str]) -> str | None:
    if wanted == "pip":
        return None
    here = os.path.dirname(sys.executable)
    found = shutil.which("uv", path=os.pathsep.join((here, environ.get("PATH", os.defpath))))
    if wanted == "uv":
        if found is None:
            raise PackagesRefused("REPTARIUM_INSTALLER=uv: there is no uv on the PATH; install it, or say pip")
        return found
    # what pip is told (an index of one's own, say) uv doesn't hear: it would ask others
    return None if _configures_pip(environ) else found


def _configures_pip(environ: Mapping[str, str]) -> bool:
    given = {name for name, value in environ.items() if value}
    if any(name.startswith("UV_") and name != "UV_CACHE_DIR" for name in given):
        return False
    without_files = environ.get("PIP_CONFIG_FILE") == os.devnull  # as pip has it
    harmless = _HARMLESS | ({"PIP_CONFIG_FILE"} if without_files else set())
    if any(name.startswith("PIP_") and name not in harmless for name in given):
        return True
    home = environ.get("HOME", "/nonexistent")
    of_user = environ.get("XDG_CONFIG_HOME", f"{home}/.config")
    files = ("/etc/pip.conf", "/etc/xdg/pip/pip.conf", f"{of_user}/pip/pip.conf", f"{home}/.pip/pip.conf")
    return not without_files and any(os.path.exists(file) for file in (*files, os.path.join(sys.prefix, "pip.conf")))


def _pip(wanted: str) -> list[str]:
    """Of this environment; of the Python that it was made with; or the one that Python itself brings along."""
    # by their files: setuptools' finder acts on the question alone
    if PathFinder.find_spec("pip") is not None:
        return [sys.executable, "-I", "-m", "pip"]
    base = getattr(sys, "_base_executable", sys.executable)
    if base != sys.executable and _has_pip(base):
        return [base, "-I", "-m", "pip"]
    # Debian has it in a package of its own
    brought = PathFinder.find_spec("ensurepip")
    folders = [] if brought is None else brought.submodule_search_locations or []
    bundled = sorted(wheel for folder in folders for wheel in Path(folder, "_bundled").glob("pip-*.whl"))
    if not bundled:
        program = "pip" if wanted == "pip" else "neither uv nor pip"
        raise PackagesRefused(
            f"REPTARIUM_REQUIREMENTS: {'no pip' if program == 'pip' else program} is here to install with; put uv on "
            "the PATH, or pip into this Python"
        )
    return [sys.executable, "-I", "-c", _BUNDLED, str(bundled[-1])]


#: pip out of its wheel.
_BUNDLED = "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); runpy.run_module('pip', run_name='__main__')"


def _has_pip(python: str) -> bool:
    try:
        asked = subprocess.run(
            [python, "-I", "-c", "import pip"], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0
