"""The benchmark of the kernel layer measures what it says."""

from __future__ import annotations

import json

import pytest
from kernel_helpers import child

from reptarium.pool.bench import kernel


@pytest.mark.usefixtures("kernel_layer")
def test_measures() -> None:
    """A measurement has every part, its workers were restricted, and its caller is not."""
    code = """
from reptarium.pool.bench import kernel
from reptarium.sandbox.kernel import IsolationConfig
import msgspec
cost = kernel.measure("x", IsolationConfig(policy="best-effort", namespaces="off"), 5)
os.close(os.open("/proc/self/status", os.O_RDONLY))
report(msgspec.to_builtins(cost))
"""
    cost, status = child(code)
    assert status == 0
    assert cost["forks"] == 5
    for part in (
        "restrict_ms",
        "restrict_p10_ms",
        "restrict_p95_ms",
        "fork_ms",
        "plain_fork_ms",
        "dispatch_ms",
        "plain_dispatch_ms",
    ):
        assert cost[part] > 0, part
    assert {layer["name"]: layer["state"] for layer in cost["layers"]}["seccomp"] == "active"


def test_tells_what_failed() -> None:
    """When the zygote can't be made the child's words are the error."""
    code = """
from reptarium.pool.bench import kernel
from reptarium.sandbox.kernel import IsolationConfig
try:
    kernel.measure("x", IsolationConfig(memory=0), 5)
except RuntimeError as error:
    report(str(error))
"""
    assert "memory" in child(code)[0]


def test_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit status says whether every configuration keeps to the budget; JSON holds the numbers."""
    made = kernel.Cost("x", 1, 0.6, 0.5, 0.7, 1, 1, 1, 1, 1, 1, ())
    monkeypatch.setattr(kernel, "measure", lambda *args: made)
    assert kernel.main(["--json"]) == 1
    assert json.loads(capsys.readouterr().out)[0]["restrict_ms"] == 0.6
