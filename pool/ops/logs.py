"""Logging: one line per event, for people, for n8n's launcher, or as JSON.

Four rules hold whatever a caller logs, because a processor enforces each:

- Secrets never appear: the configured ones, and grant tokens that are fetched later (`hide_secret`). What has fewer
  than `SHORTEST_SECRET` characters is hidden where a field is a secret's, but not looked for in texts; short ones only
  as words of their own (`without_secret`).
- What belongs to users (code, items, results, prints) never appears above debug; only its size does.
- Nobody fills the log: of each kind of line so many are written, and the rest is counted (`flood.py`).
- One event is one line: control characters in a workflow's name can't forge a second one or drive a terminal.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections import deque
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any, Protocol, TextIO

import msgspec
import structlog

from reptarium.pool.config import Settings, names_secret, secret_values, without_secret
from reptarium.pool.endings import signal_name
from reptarium.pool.ops.flood import Flood
from reptarium.pool.ops.stderr import LogSink, dropped_text, is_journal
from reptarium.pool.protocol.messages.broker import TaskSettings

_HIDDEN = "(hidden)"
_UNKNOWN = "Unknown"  # n8n's own word where it has no name
_LONGEST_REASON = 300  # of why a task isn't done, in characters
_PRIVATE_FIELDS = frozenset({"code", "items", "query", "result", "data", "params", "text", "printed", "payload"})
_QUIET_LIBRARIES = ("trio-websocket", "hypercorn", "hypercorn.error", "hypercorn.access", "urllib3")

Event = MutableMapping[str, Any]
Processor = Callable[[Any, str, Event], Any]

# One-use tokens come and go; the last few are enough, since each is worthless after 30 s.
_fetched: deque[str] = deque(maxlen=32)


def hide_secret(value: str) -> None:
    """Keep a secret that wasn't known at start (a fetched grant token) out of every later line."""
    if value and value not in _fetched:
        _fetched.append(value)


def configure_logging(settings: Settings, stream: TextIO | None = None) -> Flood:
    """Set up structlog, and the standard library's logging for the libraries that use it.

    Args:
        settings: level, format and the secrets to keep out.
        stream: where to write; standard error by default, since `exec` prints results on standard output.

    Returns: what limits the log, which counts what it leaves out.
    """
    out = sys.stderr if stream is None else stream
    style = settings.log_format
    if style == "auto":
        style = "console" if out.isatty() else "plain"
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        _keep_private(level),
        redact(secret_values(settings)),
    ]
    if style == "json":
        stamp = structlog.processors.TimeStamper(fmt="iso", utc=True, key="time")
        final: list[Any] = [stamp, _render_json]
    else:
        stamp = structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S.%f", utc=False, key="time")
        stamped = [] if stream is None and is_journal(os.environ) else [stamp]
        final = [*stamped, _one_line, _render_console if style == "console" else _render_plain]
    if isinstance(out, LogSink):
        out.notice = lambda lines: _rendered(final, "warning", dropped_text(lines))
    flood = Flood(
        lambda like, broker, lines: _rendered(
            final, "warning", "log lines left out", like=like, lines=lines, **({"broker": broker} if broker else {})
        )
    )
    first: list[Any] = [flood.admit]
    last: list[Any] = [flood.written]
    structlog.configure(
        processors=[*first, *shared, *final, *last],
        wrapper_class=_contained(structlog.make_filtering_bound_logger(level), out),
        logger_factory=lambda *_: _Lines(out),
        # Loggers are made at import time all over; a cache would pin the first configuration.
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.addFilter(lambda record: flood.admits(f"{record.name} {record.msg}"))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                *shared[3:],
                *final,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET_LIBRARIES:
        # Their "info" is our debug: connections opened and closed.
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    return flood


def _contained(logger: type[Any], out: TextIO) -> type[Any]:
    """A logger that raises nothing: a line that can't be made doesn't end what whoever logs is in the midst of."""

    class Contained(logger):  # type: ignore[misc] # structlog makes it for each level
        def _proxy_to_logger(self, method: str, event: str | None = None, *given: Any, **fields: Any) -> Any:
            try:
                return super()._proxy_to_logger(method, event, *given, **fields)
            except Exception as error:
                _Lines(out).msg(
                    f"ERROR a log line could not be made through a fault of the runner: {type(error).__name__}"
                )
                return None

    return Contained


class Used(Protocol):
    """What a worker has used in its life, which a task shares with its start."""

    @property
    def cpu(self) -> float:
        """Processor time, seconds."""

    @property
    def peak(self) -> int:
        """The most memory that was resident, bytes; pages that it shares with others count."""

    @property
    def status(self) -> int:
        """How it ended, as waitpid(2) says it."""


class _Lines:
    """Writes lines. A reader that has gone away must not end tasks: what can't be written is lost."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, message: str) -> None:
        try:
            self._stream.write(message + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # broken pipe, full disk; closed stream, unencodable character
            return

    debug = info = warning = warn = error = critical = fatal = exception = log = msg


def _rendered(processors: Sequence[Processor], level: str, text: str, **fields: object) -> str:
    event: Any = {"event": text, "level": level, **fields}
    for processor in processors:
        event = processor(None, level, event)
    return str(event)


def task_context(task_id: str, settings: TaskSettings) -> dict[str, str]:
    """The fields that every line about a task carries. For `log.bind(**task_context(...))`."""
    return {
        "task": task_id,
        "workflow": settings.workflow_name or _UNKNOWN,
        "workflow_id": settings.workflow_id or _UNKNOWN,
        "node": settings.node_name or _UNKNOWN,
        "node_id": settings.node_id or _UNKNOWN,
    }


def task_finished_fields(
    *,
    outcome: str,
    seconds: float,
    queue_seconds: float,
    request_bytes: int,
    result_bytes: int | None,
    worker: int | None,
    broker: str,
    reason: str = "",
) -> dict[str, Any]:
    """What the line about a finished task carries besides `task_context`.

    Args:
        outcome: as in `endings.OUTCOMES`.
        seconds: from settings received to outcome sent.
        queue_seconds: from offer accepted to settings received.
        request_bytes: size of the settings.
        result_bytes: size of the result; None where there is none.
        worker: number of the worker (its log lines carry it too); None where the task never got one.
        broker: address of the broker that sent the task.
        reason: why it isn't done; empty for one that is.
    """
    fields: dict[str, Any] = {
        "outcome": outcome,
        "ms": round(seconds * 1000, 2),
        "queue_ms": round(queue_seconds * 1000, 2),
        "request_bytes": request_bytes,
    }
    if result_bytes is not None:
        fields["result_bytes"] = result_bytes
    if worker is not None:
        fields["worker"] = worker
    fields["broker"] = broker
    if reason:
        fields["reason"] = reason[:_LONGEST_REASON]
    return fields


def task_used_fields(used: Used | None, *, crashed: bool = False) -> dict[str, Any]:
    """What its worker has used, for the line about a finished task; None: nobody knows.

    ``crashed``: the worker ended by itself, and what by is told, too.
    """
    if used is None:
        return {}
    fields: dict[str, Any] = {"cpu_s": round(used.cpu, 4), "peak_memory_bytes": used.peak}
    if crashed and os.WIFSIGNALED(used.status):
        fields["signal"] = signal_name(os.WTERMSIG(used.status))
    elif crashed:
        fields["exit_status"] = os.WEXITSTATUS(used.status)
    return fields


#: What there is nothing to take out of, and nothing to be escaped in.
_PLAIN = frozenset({int, float, bool, type(None)})


def redact(secrets: frozenset[str]) -> Processor:
    """A processor that takes secrets out of the event's text and fields, however deep they sit."""
    # Longest first: a token that contains another must not leave its tail behind.
    fixed = sorted(secrets, key=len, reverse=True)

    def clean(value: Any) -> Any:
        if isinstance(value, str):
            for secret in (*fixed, *_fetched):
                value = without_secret(value, secret, _HIDDEN)
            return value
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, dict):
            return {clean(key): _HIDDEN if _is_secret(key) else clean(child) for key, child in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [clean(child) for child in value]
        return clean(repr(value))

    def processor(_logger: Any, _method: str, event: Event) -> Event:
        for key, value in event.items():
            if value is not None and _is_secret(key):
                event[key] = _HIDDEN
            elif type(value) not in _PLAIN:
                event[key] = clean(value)
        return event

    return processor


def _is_secret(key: object) -> bool:
    return isinstance(key, str) and names_secret(key)


def _keep_private(level: int) -> Processor:
    def processor(_logger: Any, method: str, event: Event) -> Event:
        if event.get("level") == "debug" and level <= logging.DEBUG:
            return event
        for key in _PRIVATE_FIELDS.intersection(event):
            value = event[key]
            size = f"{len(value)} long" if hasattr(value, "__len__") else type(value).__name__
            event[key] = f"({size})"
        return event

    return processor


def _escape(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _one_line(_logger: Any, _method: str, event: Event) -> Event:
    for key, value in event.items():
        # A traceback is ours and needs its lines; the renderers indent it.
        if key == "exception":
            continue
        if isinstance(value, str) and not value.isprintable():
            event[key] = _escape(value)
    return event


_quoted = re.compile('[ "=\t]').search


def _field(value: Any) -> str:
    if type(value) in _PLAIN:
        return str(value)
    text = value if isinstance(value, str) else _escape(str(value))
    if text and _quoted(text) is None:
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _parts(event: Event) -> tuple[str, str, str, str, str]:
    stamp = str(event.pop("time", ""))[:23]  # microseconds → milliseconds
    level = str(event.pop("level", "info"))
    text = str(event.pop("event", ""))
    trace = str(event.pop("exception", "") or "")
    fields = " ".join(f"{_escape(str(key))}={_field(value)}" for key, value in event.items())
    return stamp, level, text, fields, trace


def _with_trace(line: str, trace: str) -> str:
    if not trace:
        return line
    return line + "".join("\n    " + _escape(row) for row in trace.splitlines())


def _render_plain(_logger: Any, _method: str, event: Event) -> str:
    """Time (but where the journal has its own), level, text, fields by tabs: the columns of n8n's own Python runner."""
    stamp, level, text, fields, trace = _parts(event)
    line = "\t".join(filter(None, (stamp, level.upper(), text)))
    return _with_trace(f"{line} {fields}" if fields else line, trace)


_COLOURS = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "1;31"}


def _render_console(_logger: Any, _method: str, event: Event) -> str:
    """For people at a terminal: short time, coloured level, dim fields."""
    stamp, level, text, fields, trace = _parts(event)
    colour = _COLOURS.get(level, "0")
    line = f"\x1b[2m{stamp[11:]}\x1b[0m \x1b[{colour}m{level:<8}\x1b[0m {text}"
    return _with_trace(f"{line} \x1b[2m{fields}\x1b[0m" if fields else line, trace)


def _render_json(_logger: Any, _method: str, event: Event) -> str:
    ordered = {key: event.pop(key) for key in ("time", "level", "event") if key in event} | dict(event)
    try:
        return msgspec.json.encode(ordered, enc_hook=repr).decode()
    except (ValueError, OverflowError, TypeError):
        # A lone surrogate, an integer beyond 64 bits, an odd key: the slow way takes them all.
        return json.dumps(ordered, default=repr, skipkeys=True)
