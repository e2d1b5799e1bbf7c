"""The kernel layer's attacks in every combination of powers with connections: the language mode, files of a task's own.

Those without connections are in `tests/security/kernel/test_reach.py`; those on sockets in `test_attacks.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from reptarium.sandbox.kernel import notify
from tests.powers.rig import rig

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "security/kernel"))

from arena import PRELUDE, PYTHON, ROOT, bystanders
from test_reach import CASES, WITH_SCRATCH

from tests.limits import fail_after

#: A worker that may connect lowers its own limit on descriptors after its first word (`notify.py`), so that a task may,
#: too. That nobody raises it is in `test_attacks.py`.
LOWERED = "other: own limits"

pytestmark = [
    pytest.mark.skipif(notify.problem() != "", reason="this machine hands over no connections"),
    pytest.mark.slow,
]


LANGUAGES: dict[str, dict[str, Any]] = {"from below": {}, "python": {"language": PYTHON}}
SCRATCH: dict[str, dict[str, Any]] = {"no files": {}, "scratch": {"scratch_bytes": 2**20}}
NAMESPACES: dict[str, dict[str, Any]] = {"stock": {"namespaces": "off"}, "full": {"adjustable": True}}


@pytest.mark.parametrize("namespaces", NAMESPACES)
@pytest.mark.parametrize("files", SCRATCH)
@pytest.mark.parametrize("language", LANGUAGES)
async def test_nothing_but_what_is_given_is_opened(language: str, files: str, namespaces: str) -> None:
    """Each attack gets the refusal that it gets without connections, and nothing has changed outside."""
    isolation = LANGUAGES[language] | SCRATCH[files] | NAMESPACES[namespaces]
    wrong = {}
    with fail_after(300), bystanders() as targets:
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
                if files == "scratch":
                    right = right | WITH_SCRATCH.get(name, set())
                if answer not in right and not set(answer.split()) <= right and answer != "no such call here":
                    wrong[name] = answer
        assert wrong == {}
        assert targets.facts() == targets.before
