"""What programs report with: logging and warnings to the captured standard error, tracebacks of their own errors."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Iterator

import pytest

from reptarium.sandbox.task.console import Console, StderrTail, Stream
from reptarium.sandbox.task.execute import TaskInput, Terms, execute
from reptarium.sandbox.task.failures import TaskFailed
from tests.unit.language.support import OPEN, answers_of_python, assert_same

PROGRAMS = {
    "redirected_to_what_writes_on": """
        import sys, io
        from contextlib import redirect_stdout
        class Tee:
            def __init__(self, *targets): self.targets = targets
            def write(self, text):
                for target in self.targets: target.write(text)
                return len(text)
            def flush(self):
                for target in self.targets: target.flush()
        outer, inner, seen = io.StringIO(), io.StringIO(), []
        with redirect_stdout(outer):
            below = sys.stdout
            with redirect_stdout(Tee(below, inner)):
                print("a", 1)
                sys.stdout.write("b\\n")
                print("c", flush=True)
                with redirect_stdout(None): print("nowhere")
            print("d")
        return [outer.getvalue(), inner.getvalue()]
    """,
    "logging_that_holds_records_back": """
        import logging, queue
        from logging.handlers import BufferingHandler, MemoryHandler, QueueHandler, QueueListener
        seen = []
        class Collect(logging.Handler):
            def emit(self, record): seen.append(self.format(record))
        class Batches(BufferingHandler):
            def flush(self):
                seen.append([record.getMessage() for record in self.buffer])
                super().flush()
        def logger(name, handler):
            log = logging.getLogger(name)
            log.setLevel(logging.DEBUG)
            log.propagate = False
            log.addHandler(handler)
            return log
        held = logger("held", MemoryHandler(100, flushLevel=logging.ERROR, target=Collect()))
        held.debug("first %d", 1)
        before = len(seen)
        held.error("second")
        waiting = queue.Queue()
        listener = QueueListener(waiting, Collect(), respect_handler_level=True)
        listener.start()
        logger("queued", QueueHandler(waiting)).warning("by %s", "another thread")
        listener.stop()
        batches = logger("batches", Batches(2))
        for each in "xyz": batches.info(each)
        return before, seen
    """,
    "logging_to_own_streams": """
        import logging, io
        from logging import getLogger, Formatter, StreamHandler
        out = io.StringIO()
        log = getLogger("orders.import")
        handler = StreamHandler(out)
        handler.setFormatter(Formatter("%(levelname)s %(name)s: %(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.DEBUG)
        log.propagate = False
        class OnlyOdd(logging.Filter):
            def filter(self, record): return record.args[0] % 2 if record.args else True
        class Collect(logging.Handler):
            def __init__(self):
                super().__init__(logging.WARNING)
                self.records = []
            def emit(self, record): self.records.append((record.levelname, record.getMessage(), record.lineno, record.funcName))
        collect = Collect()
        log.addHandler(collect)
        handler.addFilter(OnlyOdd())
        for n in range(3):
            log.debug("row %d", n)
        log.info("plain")
        log.warning("bad")
        try:
            1 / 0
        except ZeroDivisionError:
            log.exception("failed")
        log.error("with info", exc_info=True)
        log.log(logging.CRITICAL, "worst", extra={"row": 7})
        adapter = logging.LoggerAdapter(log, {"task": 1})
        adapter.error("adapted")
        brace = logging.Formatter("{levelname:>8} {message}", style="{")
        dollar = logging.Formatter("$levelname: ${message}", style="$")
        record = logging.LogRecord("n", logging.INFO, "path", 1, "text %s", ("x",), None)
        log.removeHandler(handler)
        log.error("not in out")
        return (out.getvalue(), collect.records, brace.format(record), dollar.format(record), logging.getLevelName(30), log.isEnabledFor(logging.INFO), log.getEffectiveLevel(), log.name, log.parent.name, record.getMessage(), logging.getLogger("orders.import") is log, log.hasHandlers())
    """,
    "warnings": """
        import warnings
        from warnings import warn, catch_warnings, simplefilter
        class Stale(UserWarning): pass
        def old():
            warn("old() is old", DeprecationWarning, stacklevel=2)
            return 1
        with catch_warnings(record=True) as caught:
            simplefilter("always")
            old()
            warn("plain")
            warn(Stale("own"))
            warnings.warn_explicit("explicit", UserWarning, "file.py", 7)
        with catch_warnings():
            simplefilter("ignore")
            old()
        raised = []
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for f in (old, lambda: warn("x", RuntimeWarning)):
                try:
                    f()
                except Warning as w:
                    raised.append((type(w).__name__, str(w)))
        with warnings.catch_warnings(record=True) as few:
            warnings.resetwarnings()
            warnings.filterwarnings("ignore", message=".*skip", category=UserWarning)
            warnings.filterwarnings("always", category=Stale)
            warn("please skip")
            warn("own", Stale)
        with catch_warnings(record=True, action="always") as short:
            warn("again")
        return [(w.category.__name__, str(w.message), w.lineno, w.filename) for w in caught], raised, [str(w.message) for w in few], len(short), warnings.formatwarning("m", UserWarning, "f.py", 1, "line")
    """,
    "traceback": """
        import traceback, io
        class Own(Exception): pass
        def parse(row):
            return int(row["n"])
        def load(rows):
            return [parse(r) for r in rows]
        out = []
        try:
            load([{"n": "1"}, {"n": "x"}])
        except ValueError as e:
            out += [traceback.format_exc(), traceback.format_exception(e), traceback.format_exception_only(e), traceback.format_exc(limit=-1), "".join(traceback.format_exception(type(e), e, None))]
            buffer = io.StringIO()
            traceback.print_exc(file=buffer)
            traceback.print_exception(e, file=buffer, limit=0)
            out.append(buffer.getvalue())
        try:
            try:
                {}["k"]
            except KeyError as e:
                raise Own("while loading") from e
        except Own as e:
            e.add_note("a note")
            out.append(traceback.format_exc())
        try:
            raise ExceptionGroup("many", [ValueError(1), Own(2)])
        except ExceptionGroup:
            out.append(traceback.format_exc())
        return out
    """,
    "streams": """
        import sys
        errors = []
        for bad in (5, b"x"):
            try:
                sys.stderr.write(bad)
            except TypeError as e:
                errors.append(str(e))
        return errors, sys.stdout.write(""), sys.stderr.flush(), sys.stdout.writable()
    """,
}

python = answers_of_python(PROGRAMS)


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Loggers, filters and streams are the process's: a worker ends after a task, this one goes on."""
    root, level, streams = logging.getLogger(), logging.getLogger().level, (sys.stdout, sys.stderr)
    handlers = root.handlers[:]
    with warnings.catch_warnings():
        yield
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.stdout, sys.stderr = streams


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, python: dict[str, str]) -> None:
    """The program gives Python's own answer."""
    assert_same(PROGRAMS[name], python[name])


REPORTS = {
    "root logger's warnings": (
        "import logging\nlogging.warning('low %s', 1)\nlogging.info('no')",
        "WARNING:root:low 1\n",
    ),
    "own logger": ("import logging\nlogging.getLogger('a.b').error('bad')", "bad\n"),
    "basicConfig": (
        "import logging\nlogging.basicConfig(level=logging.INFO, format='%(levelname)s|%(message)s', force=True)\nlogging.getLogger('x').info('hello')",
        "INFO|hello\n",
    ),
    "exception": (
        "import logging\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    logging.exception('failed')",
        'ERROR:root:failed\nTraceback (most recent call last):\n  File "<task>", line 3, in <module>\n    1 / 0\n',
    ),
    "print_exc": (
        "import traceback\ntry:\n    [][1]\nexcept IndexError:\n    traceback.print_exc()",
        'Traceback (most recent call last):\n  File "<task>", line 3, in <module>\n    [][1]\n',
    ),
    "print to stderr": (
        "import sys\nprint('a', 1, file=sys.stderr)\nsys.stderr.write('b\\n')\nsys.stderr.writelines(['c', 'd'])",
        "a 1\nb\ncd",
    ),
    "a logger's own failure": ("import logging\nlogging.warning('%d', 'x')", "--- Logging error ---"),
}


@pytest.mark.parametrize("name", REPORTS)
def test_report_reaches_the_failed_task(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a task wrote to standard error goes with its error report."""
    program, expected = REPORTS[name]
    logging.getLogger().handlers[:] = []  # as in a worker: pytest puts its own there
    terms = Terms(OPEN, "rich", 10_000, 2**20)
    tail = StderrTail()
    monkeypatch.setattr(sys, "stderr", tail)
    task = TaskInput(f"{program}\nraise ValueError('end')", False, b"[]", None)
    with pytest.raises(TaskFailed) as caught:
        execute(task, terms, Console(lambda payload: None, 10_000), tail)
    assert caught.value.failure.message == "end"
    assert caught.value.failure.stderr.startswith(expected)


PRINTED = {
    "basicConfig": (
        "import logging, sys\nlogging.basicConfig(stream=sys.stdout, level='DEBUG', format='%(name)s %(message)s', force=True)"
        "\nlogging.getLogger('x').debug('hi')",
        ["'x hi'"],
    ),
    "write": ("import sys\nsys.stdout.write('out')", ["'out'"]),
    "print to it": ("import sys\nprint('a', 1, file=sys.stdout)", ["'a 1'"]),
    "flush": ("import sys\nprint('a', end='')\nsys.stdout.flush()\nprint('b')", ["'a'", "'b'"]),
    "pprint": ("from pprint import pprint\npprint({'b': 1, 'a': [2]})", ["'{'a': [2], 'b': 1}'"]),
    "a library's": ("import calendar\ncalendar.TextCalendar().prweek([(1, 0)], 2)", ["' 1'"]),
}


@pytest.mark.parametrize("name", PRINTED)
def test_standard_output_is_printed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a task, or a library for it, writes to standard output is shown as its prints are."""
    program, expected = PRINTED[name]
    logging.getLogger().handlers[:] = []
    lines: list[str] = []
    console = Console(lambda raw: lines.extend(json.loads(raw)), 10_000)
    monkeypatch.setattr(sys, "stdout", Stream(console))
    execute(TaskInput(program, False, b"[]", None), Terms(OPEN, "rich", 10_000, 2**20), console, StderrTail())
    assert lines == expected
