"""Events become series; no event from outside can add a series."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from reptarium import __version__
from reptarium.pool.endings import KILL_REASONS, OUTCOMES, Ending
from reptarium.pool.ops.metrics import FAULT_PARTS, RPC_NAMES, WORKER_STATES, Metrics


def sample(metrics: Metrics, name: str, /, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def series(metrics: Metrics) -> int:
    return sum(
        len(list(family.samples)) for family in metrics.registry.collect() if family.name.startswith("reptarium")
    )


def test_life_of_a_task() -> None:
    """Accepted, started, dispatched, finished: gauges rise and fall, histograms and counters count once."""
    metrics = Metrics()
    metrics.task_accepted()
    assert sample(metrics, "reptarium_tasks_waiting") == 1
    metrics.task_started(0.004, 700)
    assert sample(metrics, "reptarium_tasks_waiting") == 0
    assert sample(metrics, "reptarium_tasks_running") == 1
    metrics.task_dispatched(0.0002)
    metrics.task_finished(Ending.DONE, 0.02, result_bytes=300)
    metrics.task_memory(20_000_000)
    assert sample(metrics, "reptarium_tasks_running") == 0
    assert sample(metrics, "reptarium_tasks_total", outcome="done") == 1
    assert sample(metrics, "reptarium_task_duration_seconds_sum") == pytest.approx(0.02)
    for name in (
        "reptarium_task_duration_seconds",
        "reptarium_task_queue_seconds",
        "reptarium_task_dispatch_seconds",
        "reptarium_task_request_bytes",
        "reptarium_task_result_bytes",
        "reptarium_task_peak_memory_bytes",
    ):
        assert sample(metrics, name + "_count") == 1, name


def test_task_without_result() -> None:
    """A failed task has no result size; one of whose worker nobody knows the end has no peak."""
    metrics = Metrics()
    metrics.task_accepted()
    metrics.task_started(0.001, 1)
    metrics.task_finished(Ending.ERROR, 0.01)
    assert sample(metrics, "reptarium_task_result_bytes_count") == 0
    assert sample(metrics, "reptarium_task_peak_memory_bytes_count") == 0


def test_abandoned_task_is_not_waiting() -> None:
    """A task that vanished before its settings waits no longer and isn't counted as finished."""
    metrics = Metrics()
    metrics.task_accepted()
    metrics.task_abandoned()
    assert sample(metrics, "reptarium_tasks_waiting") == 0


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_outcome_exists_from_the_start(outcome: str) -> None:
    """A series that appears with its first event would hide that event from rates."""
    assert sample(Metrics(), "reptarium_tasks_total", outcome=outcome) == 0


def test_an_end_that_is_none_is_a_mistake_of_ours() -> None:
    """Ends come from our own code only: no task ends as a spare worker does, and none is killed that is done."""
    with pytest.raises(KeyError):
        Metrics().task_finished(Ending.SURPLUS, 1.0)
    with pytest.raises(KeyError):
        Metrics().worker_killed(Ending.DONE)


def test_labels_can_not_grow() -> None:
    """Names of calls beyond the known ones count as "other"."""
    metrics = Metrics()
    before = series(metrics)
    for number in range(50):
        metrics.rpc_finished(f"evil{number}", "refused")
    assert series(metrics) == before
    assert sample(metrics, "reptarium_rpc_calls_total", name="other", result="refused") == 50


def test_calls_by_name_and_result() -> None:
    """A call counts under its name; only calls that someone waited for have a duration."""
    metrics = Metrics()
    for name in RPC_NAMES:
        metrics.rpc_finished(name, "success", 0.01)
    metrics.rpc_finished("logNodeOutput", "success")
    assert sample(metrics, "reptarium_rpc_calls_total", name="logNodeOutput", result="success") == 2
    assert sample(metrics, "reptarium_rpc_duration_seconds_count") == len(RPC_NAMES)


def test_workers_by_state() -> None:
    """States that aren't named have no workers."""
    metrics = Metrics()
    metrics.workers({"parked": 4, "busy": 1})
    metrics.workers({"parked": 5})
    found = {state: sample(metrics, "reptarium_workers", state=state) for state in WORKER_STATES}
    assert found == dict.fromkeys(WORKER_STATES, 0) | {"parked": 5}


def test_workers_come_and_go() -> None:
    """Forks, failures, kills, zygotes, memory and CPU each have their series."""
    metrics = Metrics()
    metrics.worker_forked()
    metrics.fork_failed()
    metrics.zygote_replaced()
    metrics.worker_killed(KILL_REASONS[0])
    metrics.worker_memory(123)
    metrics.worker_cpu(0.5)
    metrics.worker_cpu(-0.1)  # a sum over processes shrinks when one is gone; a counter must not
    assert sample(metrics, "reptarium_worker_refills_total") == 1
    assert sample(metrics, "reptarium_fork_failures_total") == 1
    assert sample(metrics, "reptarium_zygote_restarts_total") == 1
    assert sample(metrics, "reptarium_worker_kills_total", reason=KILL_REASONS[0]) == 1
    assert sample(metrics, "reptarium_workers_memory_bytes") == 123
    assert sample(metrics, "reptarium_workers_cpu_seconds_total") == 0.5


def test_brokers() -> None:
    """Each broker is connected or not; a lost connection counts; a forgotten broker leaves no series."""
    metrics = Metrics()
    metrics.broker_registered("http://a:1")
    metrics.broker_registered("http://b:1")
    metrics.broker_lost("http://b:1")
    assert sample(metrics, "reptarium_broker_connected", broker="http://a:1") == 1
    assert sample(metrics, "reptarium_broker_connected", broker="http://b:1") == 0
    assert sample(metrics, "reptarium_reconnects_total", broker="http://b:1") == 1
    metrics.slot_wasted("http://b:1")
    assert sample(metrics, "reptarium_slots_wasted_total", broker="http://b:1") == 1
    metrics.broker_forgotten("http://a:1")
    metrics.broker_forgotten("http://b:1")
    metrics.broker_forgotten("http://never:1")
    assert sample(metrics, "reptarium_broker_connected", broker="http://a:1") is None
    assert sample(metrics, "reptarium_reconnects_total", broker="http://b:1") is None
    assert sample(metrics, "reptarium_slots_wasted_total", broker="http://b:1") is None


def test_offers_and_capacity() -> None:
    """Offers by what became of them, and how many stand."""
    metrics = Metrics()
    metrics.capacity(5)
    metrics.offers("sent", 5)
    metrics.offers("accepted")
    metrics.open_offers(4)
    assert sample(metrics, "reptarium_capacity") == 5
    assert sample(metrics, "reptarium_offers_total", event="sent") == 5
    assert sample(metrics, "reptarium_offers_open") == 4


def test_isolation_layers() -> None:
    """Each layer is in exactly one state; a new report replaces the old one."""
    metrics = Metrics()
    metrics.isolation([SimpleNamespace(name="old", state="off")])
    metrics.isolation(
        [SimpleNamespace(name="seccomp", state="active"), SimpleNamespace(name="landlock", state="missing")]
    )
    assert sample(metrics, "reptarium_isolation_layer", layer="seccomp", state="active") == 1
    assert sample(metrics, "reptarium_isolation_layer", layer="seccomp", state="missing") == 0
    assert sample(metrics, "reptarium_isolation_layer", layer="landlock", state="missing") == 1
    assert sample(metrics, "reptarium_isolation_layer", layer="old", state="off") is None


def test_exposition_is_prometheus_text() -> None:
    """The whole of it parses, says what runs, and every metric of ours has a help text."""
    families = list(text_string_to_metric_families(Metrics().expose().decode()))
    names = {family.name for family in families}
    assert "reptarium_build_info" in names
    assert "process_resident_memory_bytes" in names
    assert all(family.documentation for family in families)
    (info,) = (s for f in families if f.name == "reptarium_build_info" for s in f.samples)
    assert info.labels["version"] == __version__


def test_when_series_were_made_is_not_exposed() -> None:
    """The library's `_created` series, a third of all, aren't there; everything else is."""
    metrics = Metrics()
    registered = {sample.name for family in metrics.registry.collect() for sample in family.samples}
    shown = {s.name for family in text_string_to_metric_families(metrics.expose().decode()) for s in family.samples}
    assert {name for name in registered if not name.endswith("_created")} == shown


def test_faults_by_part() -> None:
    """Each part that contains what nobody foresaw has its series from the start; a new part must be declared."""
    metrics = Metrics()
    metrics.fault("endpoint")
    counted = {part: sample(metrics, "reptarium_faults_total", part=part) for part in FAULT_PARTS}
    assert counted == dict.fromkeys(FAULT_PARTS, 0) | {"endpoint": 1}
    with pytest.raises(KeyError):
        metrics.fault("nowhere")


def test_two_pools_do_not_share_series() -> None:
    """Each Metrics has a registry of its own."""
    one, other = Metrics(), Metrics()
    one.offers("sent")
    assert sample(other, "reptarium_offers_total", event="sent") == 0
