"""``python -m reptarium.sandbox FD``: the zygote (``process/zygote.py``), on memory that is cheap to fork."""

from __future__ import annotations

import sys

from reptarium.sandbox.process import heap


def main() -> int:
    """Returns an exit status."""
    heap.gather()
    from reptarium.sandbox.process import zygote  # not before: what it imports is what the memory is laid out for

    try:
        return zygote.main()
    except (BrokenPipeError, ConnectionResetError):
        return 0  # the supervisor has gone


if __name__ == "__main__":
    sys.exit(main())
