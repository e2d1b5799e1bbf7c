"""The child's side of ``baseline.py``: imported anew in every task's process, as its point is.

The imports are those that a runner's task module typically has: nothing here is shared with the parent.
"""

from __future__ import annotations

import asyncio  # noqa: F401 (imported for its cost)
import io
import json
import logging  # noqa: F401 (imported for its cost)
import textwrap
import traceback
from multiprocessing.connection import Connection
from typing import Any


def main(pipe: Connection) -> None:
    """Run one task: code and items come through ``pipe``, ``ok`` or ``error`` and the text go back."""
    code, per_item = json.loads(pipe.recv_bytes())
    items = json.loads(pipe.recv_bytes())
    try:
        result = _run(code, items, per_item)
        data = json.dumps(result, default=str).encode()
    except BaseException as error:
        traceback.print_exc(file=io.StringIO())
        pipe.send_bytes(b"error")
        pipe.send_bytes(str(error).encode())
    else:
        pipe.send_bytes(b"ok")
        pipe.send_bytes(data)


def _run(code: str, items: list[Any], per_item: bool) -> object:
    source = "def _user_function():\n" + textwrap.indent(code, "    ") + "\n_result = _user_function()"
    if not per_item:
        names: dict[str, Any] = {"_items": items}
        exec(compile(source, "<task>", "exec"), names)  # noqa: S102 (a yardstick for loopback loads of our own code)
        return names["_result"]
    compiled, found = compile(source, "<task>", "exec"), []
    for index, item in enumerate(items):
        names = {"_item": item}
        exec(compiled, names)  # noqa: S102 (as above)
        if names["_result"] is not None:
            found.append({"json": names["_result"], "pairedItem": {"item": index}})
    return found
