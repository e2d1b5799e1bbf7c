"""What a short façade lacks although the module has it is refused with the true reason, however it is asked for."""

from __future__ import annotations

import pytest
from programs import NO_SETTING, OPEN, outcome

from reptarium.sandbox.language import RefusedImport

FILES = "tasks have no files; use the node's binary data, or io.BytesIO"
PROCESSES = "tasks start no processes; let n8n do it in another node"
OTHER = "it is about the interpreter or the machine, not the data"
REASONS = {
    ("os", "getcwd"): FILES,
    ("os", "listdir"): FILES,
    ("os", "remove"): FILES,
    ("os", "system"): PROCESSES,
    ("os", "fork"): PROCESSES,
    ("os", "kill"): PROCESSES,
    ("os", "getuid"): OTHER,
    ("os.path", "getsize"): "tasks have no files",
    ("io", "open"): "tasks have no files",
    ("sys", "modules"): OTHER,
    ("sys", "settrace"): OTHER,
    ("codecs", "open"): OTHER,
    ("gc", "get_objects"): OTHER,
    ("inspect", "currentframe"): OTHER,
    ("asyncio", "create_subprocess_exec"): "tasks start no processes",
    ("asyncio", "open_connection"): (
        "tasks have no network; let n8n do the request, with _helpers.http_request(…) or an HTTP Request node"
    ),
}


@pytest.mark.parametrize(("module", "name"), REASONS)
def test_missing_name(module: str, name: str) -> None:
    """As an attribute, and in an import."""
    why = REASONS[module, name]
    ended = outcome(f"import {module}\nreached.append({module}.{name})")
    assert (type(ended), str(ended)) == (
        AttributeError,
        f"module {module!r} has no attribute {name!r}: {why}. {NO_SETTING}",
    )
    ended = outcome(f"from {module} import {name} as x\nreached.append(x)", OPEN)
    assert (type(ended), str(ended)) == (
        RefusedImport,
        f"cannot import name {name!r} from {module!r}: {why}. {NO_SETTING}",
    )


def test_a_name_that_nobody_has() -> None:
    """It is missing as anywhere."""
    ended = outcome("import os\nreached.append(os.nonsense)")
    assert str(ended) == "module 'os' has no attribute 'nonsense'"
