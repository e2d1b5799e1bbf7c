"""Standard input, output and error of a command that was started without some of them.

Imports only what opens no files: libffi (ctypes) opens its own for good, and would get the number of a closed stream.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress


def open_standard_descriptors() -> None:
    """Put /dev/null where standard input, output or error is closed.

    Otherwise the next socket gets its number, and what somebody prints goes to a broker.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        mode = os.O_RDONLY if number == 0 else os.O_WRONLY
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):  # there is no /dev/null here
                os.set_inheritable(os.open(os.devnull, mode), True)  # it gets the lowest free number: this one
                if getattr(sys, name) is None:
                    setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115
