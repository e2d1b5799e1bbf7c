"""The kernel layer's attacks, but for those on sockets (`test_attacks.py` has them), where tasks may connect."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from reptarium.sandbox.kernel import notify
from tests.powers.rig import rig

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "security/kernel"))

from arena import PRELUDE, ROOT, bystanders
from test_reach import CASES

#: A worker that may connect lowers its own limit on descriptors after its first word (`notify.py`), so that a task may,
#: too. That nobody raises it is in `test_attacks.py`.
LOWERED = "other: own limits"

pytestmark = [
    pytest.mark.skipif(notify.problem() != "", reason="this machine hands over no connections"),
    pytest.mark.slow,
]


@pytest.mark.parametrize("isolation", [{"namespaces": "off"}, {"adjustable": True}], ids=["stock", "full"])
async def test_nothing_but_connections_is_opened(isolation: dict[str, Any]) -> None:
    """Each attack gets the refusal that it gets without connections, and nothing has changed outside."""
    wrong = {}
    with trio.fail_after(300), bystanders() as targets:
        async with rig("127.0.0.1:1", **isolation) as it:
            sibling = await it.pool.lease()
            zygote = int(Path(f"/proc/{sibling.pid}/stat").read_text().rsplit(")", 1)[1].split()[1])  # noqa: ASYNC240
            for name, code, right in CASES:
                if name.startswith("socket: ") or name == LOWERED:
                    continue
                came = await it.run(
                    code if "result =" in code else f"result = {code}",
                    PRELUDE,
                    victim=targets.victim,
                    supervisor=targets.supervisor,
                    zygote=zygote,
                    sibling=sibling.pid,
                    directory=targets.directory,
                    port=targets.port,
                    abstract=targets.abstract,
                    root=str(ROOT),
                )
                answer = str(came.result)
                if answer not in right and not set(answer.split()) <= right and answer != "no such call here":
                    wrong[name] = answer
        assert wrong == {}
        assert targets.facts() == targets.before
