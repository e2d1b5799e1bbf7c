"""A process of a run: started in a session of its own, its output in a file, ended in the end."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from harness import Timeout, wait_for


class Child:
    """One process, which may be started again after it ended."""

    def __init__(self, name: str, log_path: str | Path | None = None) -> None:
        self.name = name
        self.log_path = Path(log_path) if log_path else None
        self.proc: subprocess.Popen[bytes] | None = None

    def launch(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        cwd: str | Path | None = None,
        user: str | None = None,
    ) -> None:
        """Start it; as `user` where one is given. What it says goes to the end of its log."""
        with open(self.log_path or os.devnull, "ab") as log:
            self.proc = subprocess.Popen(
                command,
                env=environ,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **({"user": user, "group": user, "extra_groups": []} if user else {}),
            )

    @property
    def pid(self) -> int:
        """Its id. Raises AssertionError when it was never started."""
        assert self.proc is not None, f"{self.name} was not started"
        return self.proc.pid

    def alive(self) -> bool:
        """Whether it runs."""
        return self.proc is not None and self.proc.poll() is None

    def end(self, grace: float = 20.0, by: int = signal.SIGTERM) -> int | None:
        """Ask it to end; kill it and all of its session when it hasn't after `grace` seconds.

        Returns:
            Its exit status, as Popen has it: negative for a signal; None when it was never started.
        """
        if self.proc is None:
            return None
        if self.proc.returncode is None:
            self.proc.send_signal(by)
            # Not reaped before its session is swept: its id must not be another's by then
            with suppress(Timeout):
                wait_for(self.name, self._ended, grace, every=0.05)
            with suppress(ProcessLookupError):
                os.killpg(self.proc.pid, signal.SIGKILL)
        return self.proc.wait()

    def _ended(self) -> bool:
        assert self.proc is not None
        return os.waitid(os.P_PID, self.proc.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def kill(self) -> None:
        """SIGKILL to it alone, as the kernel's out-of-memory killer would."""
        if self.proc is not None and self.proc.poll() is None:
            self.proc.kill()
            self.proc.wait()

    def log_text(self) -> str:
        """What it said."""
        if self.log_path is None or not self.log_path.exists():
            return ""
        return self.log_path.read_text("utf-8", "replace")

    def log_tail(self, lines: int = 40) -> str:
        """The end of it."""
        return "\n".join(self.log_text().splitlines()[-lines:])
