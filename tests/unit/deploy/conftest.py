"""Where the checking tools are found. `.ci/deploy-tools.sh` fetches them.

A tool that isn't there skips its tests with the reason. With DEPLOY_TOOLS=required in the
environment it fails them instead, so that a build that means to check can't quietly stop doing so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.limits import within

ROOT = Path(__file__).resolve().parents[3]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def tool() -> Callable[[str], Run]:
    """`tool(name)` is a function that runs the tool; asking for one that isn't installed skips the test."""

    def find(name: str) -> Run:
        own = ROOT / ".venv-deploy" / "bin" / name
        path = str(own) if own.exists() else shutil.which(name)
        if path is None:
            reason = f"{name} is not installed: run .ci/deploy-tools.sh"
            if os.environ.get("DEPLOY_TOOLS") == "required":
                pytest.fail(reason)
            pytest.skip(reason)

        def run(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [path, *map(str, arguments)],
                capture_output=True,
                text=True,
                timeout=within(120),
                check=False,
                **options,
            )

        return run

    return find
