"""How far the load is: a bar on a terminal, a line every few seconds for who has none."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

#: Seconds between two lines.
_EVERY = 5.0

Tell = Callable[[int], None]


class LoadProgress:
    """Says on ``console`` (standard error) how many tasks of a round have ended."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock = console, clock
        self._said = clock()

    @contextmanager
    def round(self, name: str, total: int | None) -> Iterator[Tell]:
        """While a round runs: what to tell the number of ended tasks."""
        if not self._console.is_terminal:
            yield lambda done: self._line(name, done, total)
            return
        columns = BarColumn(), TextColumn("{task.completed:.0f} tasks"), TimeElapsedColumn()
        with Progress(TextColumn("{task.description}"), *columns, console=self._console, transient=True) as bar:
            task = bar.add_task(name, total=total)
            yield lambda done: bar.update(task, completed=done)

    def _line(self, name: str, done: int, total: int | None) -> None:
        if self._clock() - self._said >= _EVERY:
            self._said = self._clock()
            whole = "" if total is None else f" of {total}"
            self._console.print(f"{name}: {done}{whole} tasks", markup=False, highlight=False)
