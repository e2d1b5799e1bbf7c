"""Error reports: only on demand, only ours, without secrets."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from reptarium.pool.config import ConfigError, load_settings
from reptarium.pool.ops.endpoint import EndpointError
from reptarium.pool.ops.sentry import Reporter, open_reporter, own_fault
from reptarium.pool.refusal import PoolRefused
from tests.limits import within

DSN = "https://public@sentry.example/1"


def test_nothing_is_imported_without_a_dsn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without N8N_SENTRY_DSN the extra isn't touched, and reports go nowhere."""
    monkeypatch.setitem(sys.modules, "sentry_sdk", None)
    reporter = open_reporter(load_settings({}))
    reporter.report(ValueError("x"), part="zygote")
    reporter.close()


def test_missing_extra_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A DSN without the package says what to install, and doesn't show the DSN."""
    monkeypatch.setitem(sys.modules, "sentry_sdk", None)
    with pytest.raises(ConfigError, match=r"reptarium\[sentry\]") as caught:
        open_reporter(load_settings({"N8N_SENTRY_DSN": DSN}))
    assert DSN not in str(caught.value)


def test_wrong_dsn_is_a_configuration_error() -> None:
    """What the SDK refuses is named without being shown."""
    pytest.importorskip("sentry_sdk", reason="the sentry extra is not installed")
    with pytest.raises(ConfigError, match=r"N8N_SENTRY_DSN=\(hidden\)"):
        open_reporter(load_settings({"N8N_SENTRY_DSN": "nonsense"}))


def test_report_carries_no_secret_and_no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report has type, text and tags; the token in the text is hidden and local variables are absent."""
    sdk = pytest.importorskip("sentry_sdk", reason="the sentry extra is not installed")
    sent: list[dict[str, Any]] = []

    class Transport(sdk.Transport):  # type: ignore[misc, name-defined]
        def capture_envelope(self, envelope: Any) -> None:
            sent.extend(item.payload.json for item in envelope.items if item.type == "event")

    original = sdk.init
    monkeypatch.setattr(sdk, "init", lambda **options: original(transport=Transport, **options))
    reporter = open_reporter(
        load_settings(
            {
                "N8N_SENTRY_DSN": DSN,
                "N8N_RUNNERS_AUTH_TOKEN": "hush",
                "ENVIRONMENT": "staging",
                "N8N_VERSION": "2.40.5",
            }
        )
    )
    try:
        items = ["confidential"]
        try:
            raise ValueError(f"refused hush {len(items)}")
        except ValueError as error:
            reporter.report(error, part="link")
        reporter.close()
    finally:
        original()  # no DSN: back to silence
    (event,) = sent
    assert event["exception"]["values"][0]["type"] == "ValueError"
    assert event["tags"]["part"] == "link"
    assert event["tags"]["n8n_version"] == "2.40.5"
    assert event["environment"] == "staging"
    text = repr(event)
    assert "hush" not in text
    assert "confidential" not in text


@pytest.mark.parametrize(("traces", "profiles"), [("1", "0.5"), ("0", "0"), (None, None)])
def test_sample_rates_are_the_sdks(traces: str | None, profiles: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK samples by n8n's variables, a transaction carries no secret, and 0 means that there are none."""
    sdk = pytest.importorskip("sentry_sdk", reason="the sentry extra is not installed")
    sent: list[dict[str, Any]] = []

    class Transport(sdk.Transport):  # type: ignore[misc, name-defined]
        def capture_envelope(self, envelope: Any) -> None:
            sent.extend(item.payload.json for item in envelope.items if item.type == "transaction")

    original = sdk.init
    monkeypatch.setattr(sdk, "init", lambda **options: original(transport=Transport, **options))
    environ = {"N8N_SENTRY_DSN": DSN, "N8N_RUNNERS_AUTH_TOKEN": "hush"}
    if traces is not None and profiles is not None:
        environ |= {"N8N_SENTRY_TRACES_SAMPLE_RATE": traces, "N8N_SENTRY_PROFILES_SAMPLE_RATE": profiles}
    reporter = open_reporter(load_settings(environ))
    try:
        options = sdk.get_client().options
        with sdk.start_transaction(name="of hush"):
            pass
        reporter.close()
    finally:
        original()  # no DSN: back to silence
    expected = (1.0, 0.5) if traces == "1" else (None, None)
    assert (options["traces_sample_rate"], options["profiles_sample_rate"]) == expected
    assert [event["transaction"] for event in sent] == (["of (hidden)"] if traces == "1" else [])


@pytest.mark.parametrize(
    "error",
    [
        PoolRefused("no seccomp"),
        EndpointError("port taken"),
        ConfigError(("a wrong value",)),
        KeyboardInterrupt(),
        BaseExceptionGroup("two", [PoolRefused("no seccomp"), KeyboardInterrupt()]),
        ExceptionGroup("outer", [ExceptionGroup("inner", [EndpointError("port taken")])]),
    ],
    ids=repr,
)
def test_refusals_are_not_our_faults(error: BaseException) -> None:
    """What the machine or its administrator is to blame for is told to them, not to us."""
    assert own_fault(error) is None


def test_our_faults_are_found_among_others() -> None:
    """Of several errors at once only ours are reported."""
    bug = RuntimeError("a bug")
    assert own_fault(bug) is bug
    found = own_fault(BaseExceptionGroup("all", [KeyboardInterrupt(), ExceptionGroup("x", [bug, PoolRefused("no")])]))
    assert isinstance(found, ExceptionGroup)
    (inner,) = found.exceptions
    assert isinstance(inner, ExceptionGroup)
    assert inner.exceptions == (bug,)


@pytest.fixture
def deaf_sentry() -> Iterator[str]:
    """The DSN of a Sentry that takes connections and never answers. Its client's thread ends with the test."""
    sdk = pytest.importorskip("sentry_sdk", reason="the sentry extra is not installed")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://public@127.0.0.1:{listener.getsockname()[1]}/1"
        worker = sdk.get_client().transport._worker
        thread = worker._thread
        while not worker._queue.empty():
            worker._queue.get_nowait()
        worker.kill()
    thread.join(within(60))
    sdk.init()  # no DSN: back to silence


def test_a_sentry_that_never_answers_is_not_waited_for(deaf_sentry: str) -> None:
    """Reports go to the SDK's own thread and bounded queue; only the end waits, and no longer than it is told to."""
    reporter = open_reporter(load_settings({"N8N_SENTRY_DSN": deaf_sentry}))
    for number in range(300):
        reporter.report(ValueError(f"fault {number}"), part="link")
    reporter.close(timeout=0.1)
    assert 0 < sys.modules["sentry_sdk"].get_client().transport._worker._queue.qsize() < 200


def test_a_fault_of_the_reporter_reaches_nobody() -> None:
    """Whatever the SDK does wrong: whoever reports a fault goes on."""

    class Broken:
        def new_scope(self) -> Any:
            raise RuntimeError("the SDK's own fault")

        def flush(self, timeout: float) -> None:
            raise RuntimeError("the SDK's own fault")

    reporter = Reporter(Broken())
    with structlog.testing.capture_logs() as said:
        reporter.report(ValueError("ours"))
        reporter.close()
    assert [line["log_level"] for line in said] == ["warning"]
