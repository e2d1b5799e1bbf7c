"""What a worker tells of a task's imports: in a process of its own, whose loaders are changed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from tests.limits import within

_BUSY = "import time\nuntil = time.thread_time() + {ms} / 1000\nwhile time.thread_time() < until: pass\n"
_PROGRAM = """
import json, sys
from reptarium.sandbox import wire
from reptarium.sandbox.process import imports
sys.path.insert(0, {path!r})
found = []
def told():
    head = wire.ResultHead(imported=imports.told())
    found.append(json.loads(__import__("msgspec").json.encode(head)))
imports.watch()
import before
imports.forget()
{code}
print(json.dumps(found))
"""


def told(tmp_path: Path, code: str, **modules: str) -> Any:
    (tmp_path / "before.py").write_text(_BUSY.format(ms=20))
    for name, text in modules.items():
        (tmp_path / f"{name}.py").write_text(text)
    program = _PROGRAM.format(path=str(tmp_path), code=code)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=within(60))
    return msgspec.json.decode(done.stdout)


def test_what_a_task_imports_is_told_once(tmp_path: Path) -> None:
    """With all that it brings itself, and with the time of what fails; nothing where nothing new was imported."""
    modules = {
        "slow": "import inner\n" + _BUSY.format(ms=30),
        "inner": _BUSY.format(ms=30),
        "fails": _BUSY.format(ms=20) + "raise ValueError",
        "quick": "",
    }
    code = (
        "import slow, quick, before\ntell = told\ntell()\nimport slow, inner, json\ntell()\n"
        "try:\n    import fails\nexcept ValueError:\n    import before\ntell()"
    )
    first, second, third = told(tmp_path, code, **modules)
    assert list(first["imported"]) == ["slow"]
    assert first["imported"]["slow"] >= 60
    assert second == {}
    assert third["imported"]["fails"] >= 20


def test_parts_of_packages_are_not_told(tmp_path: Path) -> None:
    """To preload the package wouldn't spare a task what only its part takes."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "package" / "part.py").write_text(_BUSY.format(ms=30))
    assert told(tmp_path, "import package.part\ntold()") == [{}]


def test_a_report_is_bounded(tmp_path: Path) -> None:
    """The dearest that there is room for, whatever their number; a name that is too long isn't among them."""
    modules = {f"m{n}": _BUSY.format(ms=2 + n % 2) for n in range(40)} | {"x" * 65: _BUSY.format(ms=5)}
    code = "\n".join(f"import {name}" for name in modules) + "\ntold()"
    ((_, imported),) = told(tmp_path, code, **modules)[0].items()
    assert len(imported) == 32
    assert max(map(len, imported)) < 65
