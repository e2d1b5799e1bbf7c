"""deploy/prometheus and deploy/grafana ask only for what `/metrics` really exports, in valid PromQL."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from reptarium.pool.ops.metrics import Metrics

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
# `up` is Prometheus' own.
FOREIGN = {"up"}


def exported() -> dict[str, dict[str, set[str]]]:
    """Every sample that a runner exports: name → label → values."""
    metrics = Metrics()
    metrics.broker_registered("http://n8n:5679")
    metrics.broker_lost("http://n8n:5679")
    metrics.preload.learnt(metrics, {"pandas": 1})
    metrics.isolation([SimpleNamespace(name="seccomp", state="active")])
    found: dict[str, dict[str, set[str]]] = {}
    for family in text_string_to_metric_families(metrics.expose().decode()):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {"job": set(), "instance": set(), "namespace": set()})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return found


def rule_files() -> list[dict[str, Any]]:
    return [yaml.safe_load(path.read_text()) for path in sorted(DEPLOY.glob("prometheus/reptarium.*s.yaml"))]


def rules() -> list[dict[str, Any]]:
    return [rule for file in rule_files() for group in file["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((DEPLOY / "grafana/reptarium.json").read_text())
    return loaded


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries() -> list[tuple[str, str]]:
    """(where, expression) of everything in deploy/ that asks Prometheus."""
    found = [(rule.get("record") or rule["alert"], rule["expr"]) for rule in rules()]
    for panel in panels():
        found += [(panel["title"], target["expr"]) for target in panel["targets"]]
    scaled = yaml.safe_load((DEPLOY / "kubernetes/components/keda/scaledobject.yaml").read_text())
    found.append(("KEDA", scaled["spec"]["triggers"][0]["metadata"]["query"]))
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            found.append((variable["name"], variable["definition"]))
    return found


def selectors(expression: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """Each metric in an expression with the label matchers behind it."""
    pattern = r"\b((?:job:)?(?:reptarium|process|python)_[a-z0-9_:]+|up)\b(?:\{([^}]*)\})?"
    return [
        (match[1], re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"', match[2] or ""))
        for match in re.finditer(pattern, expression)
    ]


@pytest.mark.parametrize(("where", "expression"), queries(), ids=lambda value: value[:40])
def test_every_query_names_exported_metrics(where: str, expression: str) -> None:
    """Metric names, labels and the values that matchers name exist on /metrics or as a recording rule."""
    known = exported()
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    used = selectors(expression)
    assert used, f"{where} asks for no metric"
    for name, matchers in used:
        if name in FOREIGN | recorded:
            continue
        assert name in known, f"{where} asks for {name}, which /metrics doesn't have"
        for label, value in matchers:
            assert label in known[name], f"{where}: {name} has no label {label}"
            values = known[name][label]
            if label in ("job", "instance", "namespace", "layer", "broker"):
                continue
            for alternative in value.split("|"):
                assert alternative in values, f"{where}: {name} has no {label}={alternative}"


def test_the_check_itself_finds_a_wrong_name() -> None:
    """The test above would find a metric that doesn't exist: it sees names with and without labels."""
    found = selectors('sum(rate(reptarium_nonsense_total{outcome="done"}[5m])) / reptarium_capacity')
    assert found == [("reptarium_nonsense_total", [("outcome", "done")]), ("reptarium_capacity", [])]
    assert "reptarium_nonsense_total" not in exported()


def test_most_metrics_are_on_the_dashboard() -> None:
    """What is exported is also shown, but for the collectors' own and what each histogram brings along."""
    shown = {name for _, expression in queries() for name, _ in selectors(expression)}
    ours = {name for name in exported() if name.startswith("reptarium_")}
    left = {name for name in ours - shown if not name.endswith(("_created", "_sum", "_count"))}
    assert left == set()


def test_rules_pass_promtool(tool: Any) -> None:
    """Rules and alerts are valid, and so is the sample configuration."""
    promtool = tool("promtool")
    for path in sorted(DEPLOY.glob("prometheus/reptarium.*s.yaml")):
        done = promtool("check", "rules", path)
        assert done.returncode == 0, done.stdout + done.stderr
    done = promtool("check", "config", "--syntax-only", DEPLOY / "prometheus/prometheus.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_fire_when_they_should(tool: Any) -> None:
    """promtool's rule tests pass: each alert fires on its cause and is silent otherwise."""
    done = tool("promtool")("test", "rules", "reptarium.test.yaml", cwd=DEPLOY / "prometheus")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_rule_test() -> None:
    """No alert without a case in which it fires; each says how bad it is, what happened and what to do."""
    cases = yaml.safe_load((DEPLOY / "prometheus/reptarium.test.yaml").read_text())["tests"]
    firing = {case["alertname"] for test in cases for case in test["alert_rule_test"] if case["exp_alerts"]}
    alerts = {rule["alert"]: rule for rule in rules() if "alert" in rule}
    assert firing == set(alerts)
    for rule in alerts.values():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description"}


def test_queries_of_dashboard_and_scaler_are_promql(tool: Any, tmp_path: Path) -> None:
    """Every expression parses, with Grafana's variables filled in."""
    expressions = [
        expression.replace("$__rate_interval", "5m").replace("$job", "x").replace("$instance", "x")
        for where, expression in queries()
        if not expression.startswith("label_values")
    ]
    group = {
        "name": "queries",
        "rules": [{"record": f"query:{number}", "expr": expression} for number, expression in enumerate(expressions)],
    }
    (tmp_path / "queries.yaml").write_text(yaml.safe_dump({"groups": [group]}))
    done = tool("promtool")("check", "rules", tmp_path / "queries.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_dashboard_is_well_formed() -> None:
    """Panels have their own ids, don't overlap, say what they show and ask the chosen data source."""
    board = dashboard()
    assert board["uid"] == "reptarium"
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["title"]
    for panel in panels():
        assert panel["datasource"]["uid"] == "${datasource}"
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])
