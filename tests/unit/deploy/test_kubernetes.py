"""deploy/kubernetes: valid, restricted, and with its numbers in step."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from reptarium.pool.config import load_settings

DEPLOY = Path(__file__).resolve().parents[3] / "deploy" / "kubernetes"
OVERLAYS = ("deployment", "deployment-keda", "sidecar")
GIB = 2**30


Objects = dict[tuple[str, str], dict[str, Any]]


@pytest.fixture(scope="module")
def build(tool: Any) -> Callable[[str], Objects]:
    """Builds an overlay with kustomize and returns its objects by (kind, name), which nobody changes."""

    @cache
    def built(overlay: str) -> Objects:
        done = tool("kubectl")("kustomize", DEPLOY / "overlays" / overlay)
        assert done.returncode == 0, done.stderr
        found = [document for document in yaml.safe_load_all(done.stdout) if document]
        return {(item["kind"], item["metadata"]["name"]): item for item in found}

    return built


def environ(objects: Objects) -> dict[str, str]:
    (config,) = (item for (kind, _), item in objects.items() if kind == "ConfigMap")
    data: dict[str, str] = config["data"]
    return data


def container(objects: Objects, overlay: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The pod's spec and our container in it."""
    name = "n8n-worker" if overlay == "sidecar" else "reptarium"
    pod = objects["Deployment", name]["spec"]["template"]["spec"]
    everything = [*pod.get("initContainers", ()), *pod["containers"]]
    (ours,) = (item for item in everything if item["name"] == "reptarium")
    return pod, ours


def test_overlays() -> None:
    """A Deployment with either autoscaler, and the sidecar; beside them a namespace for who wants one."""
    assert sorted({*OVERLAYS, "namespace"}) == sorted(path.name for path in (DEPLOY / "overlays").iterdir())


def test_a_namespace_is_brought_by_nothing_else(build: Callable[[str], Objects]) -> None:
    """What is applied to somebody's n8n neither changes its namespace nor removes it with all that is in it."""
    for overlay in OVERLAYS:
        objects = build(overlay)
        assert not [name for kind, name in objects if kind == "Namespace"]
        assert {item["metadata"]["namespace"] for item in objects.values()} == {"n8n"}
    ((_, namespace),) = build("namespace").items()
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_both_ways_of_being_scraped_find_the_pods(build: Callable[[str], Objects]) -> None:
    """The annotations name the container's port, the PodMonitor its name, and its selector the pods' labels."""
    monitor = build("deployment-keda")["PodMonitor", "reptarium"]["spec"]
    (endpoint,) = monitor["podMetricsEndpoints"]
    (selected,) = monitor["selector"]["matchExpressions"]
    assert (selected["key"], selected["operator"]) == ("app.kubernetes.io/name", "In")
    assert endpoint["path"] == "/metrics"
    for overlay in OVERLAYS:
        objects = build(overlay)
        _, ours = container(objects, overlay)
        (port,) = ours["ports"]
        name = "n8n-worker" if overlay == "sidecar" else "reptarium"
        metadata = objects["Deployment", name]["spec"]["template"]["metadata"]
        assert port["name"] == endpoint["port"]
        assert metadata["labels"]["app.kubernetes.io/name"] in selected["values"]
        assert metadata["annotations"] == {
            "prometheus.io/scrape": "true",
            "prometheus.io/port": str(port["containerPort"]),
            "prometheus.io/path": endpoint["path"],
        }


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("*.yaml")), ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_file_is_used(path: Path) -> None:
    """Each file is a kustomization or named by the one beside it, and holds one document."""
    assert len([document for document in yaml.safe_load_all(path.read_text()) if document]) == 1
    if path.name != "kustomization.yaml":
        beside = yaml.safe_load((path.parent / "kustomization.yaml").read_text())
        named = [*beside.get("resources", ()), *(patch.get("path") for patch in beside.get("patches", ()))]
        assert path.name in named


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_objects_follow_kubernetes_schemas(
    overlay: str, build: Callable[[str], Objects], tool: Any, tmp_path: Path
) -> None:
    """Kubernetes' own schemas accept every object, without unknown fields; others' kinds are checked below."""
    objects = [item for (kind, _), item in build(overlay).items() if kind not in ("ScaledObject", "PodMonitor")]
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(objects))
    for version in ("1.29", "1.34"):
        done = tool("kubernetes-validate")("--strict", "-k", version, tmp_path / "all.yaml")
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_meet_the_restricted_standard(overlay: str, build: Callable[[str], Objects]) -> None:
    """What Pod Security "restricted" demands holds for every container, whatever the namespace enforces."""
    objects = build(overlay)
    pod, ours = container(objects, overlay)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    for item in [*pod.get("initContainers", ()), *pod["containers"]]:
        context = item["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert not {"privileged", "procMount"} & set(context)
    assert {next(iter(set(volume) - {"name"})) for volume in pod["volumes"]} <= {"secret", "emptyDir"}
    assert ours["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["automountServiceAccountToken"] is False


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_settings_are_valid_and_in_step(overlay: str, build: Callable[[str], Objects]) -> None:
    """Settings load; the pod outlives the graceful shutdown; the memory limit holds all tasks."""
    objects = build(overlay)
    pod, ours = container(objects, overlay)
    given = environ(objects) | {item["name"]: item["value"] for item in ours["env"]}
    assert given.pop("N8N_RUNNERS_AUTH_TOKEN_FILE").startswith(ours["volumeMounts"][0]["mountPath"])
    settings = load_settings(given | {"N8N_RUNNERS_AUTH_TOKEN": "x"})
    assert settings.warnings == ()
    assert settings.graceful_shutdown_timeout >= settings.task_timeout
    assert pod["terminationGracePeriodSeconds"] >= settings.graceful_shutdown_timeout + 15
    limit = int(ours["resources"]["limits"]["memory"].removesuffix("Gi")) * GIB
    assert limit >= settings.max_concurrency * settings.task_memory + 150 * 2**20
    assert settings.health_enabled
    assert ours["ports"][0]["containerPort"] == settings.health_port


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_probes(overlay: str, build: Callable[[str], Objects]) -> None:
    """Alive and ready are asked on their own paths, on the port that the container names."""
    _, ours = container(build(overlay), overlay)
    for probe, path in {
        "startupProbe": "/healthz",
        "livenessProbe": "/healthz",
        "readinessProbe": "/readyz",
    }.items():
        assert ours[probe]["httpGet"] == {"path": path, "port": ours["ports"][0]["name"]}


def test_sidecar_outlives_n8n(build: Callable[[str], Objects]) -> None:
    """The sidecar is of Kubernetes' own kind: it starts before n8n, ends after it, and uses loopback."""
    pod, ours = container(build("sidecar"), "sidecar")
    assert ours in pod["initContainers"]
    assert ours["restartPolicy"] == "Always"
    assert {"name": "N8N_RUNNERS_TASK_BROKER_URI", "value": "http://127.0.0.1:5679"} in ours["env"]
    n8n, javascript = pod["containers"]
    assert {"name": "N8N_RUNNERS_MODE", "value": "external"} in n8n["env"]
    # n8n's own runner of JavaScript has its health server where ours would be by default
    assert javascript["args"] == ["javascript"]
    assert ours["ports"][0]["containerPort"] != 5681


def test_network_policy_allows_only_the_broker(build: Callable[[str], Objects]) -> None:
    """Out go broker and DNS, in comes the scrape; the policy selects our pods."""
    objects = build("deployment")
    policy = objects["NetworkPolicy", "reptarium"]["spec"]
    labels = objects["Deployment", "reptarium"]["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"] == labels
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    broker, dns = policy["egress"]
    assert broker["ports"] == [{"protocol": "TCP", "port": 5679}]
    assert broker["to"] == [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "n8n"}}}]
    assert {port["port"] for port in dns["ports"]} == {53}
    (scrape,) = policy["ingress"]
    assert [port["port"] for port in scrape["ports"]] == [5681]


def test_broker_service_is_what_the_runner_looks_up(build: Callable[[str], Objects]) -> None:
    """The dns+http name is the headless service of the brokers."""
    objects = build("deployment")
    service = objects["Service", "n8n-brokers"]
    assert service["spec"]["clusterIP"] == "None"
    uri = environ(objects)["N8N_RUNNERS_TASK_BROKER_URI"]
    # a name of the pod's own namespace, whichever that is
    assert uri == f"dns+http://n8n-brokers:{service['spec']['ports'][0]['port']}"


def test_upgrades_and_drains_keep_capacity(build: Callable[[str], Objects]) -> None:
    """New pods are ready before old ones end, evictions come singly, the autoscaler owns the count."""
    objects = build("deployment")
    spec = objects["Deployment", "reptarium"]["spec"]
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert "replicas" not in spec
    budget = objects["PodDisruptionBudget", "reptarium"]["spec"]
    assert budget["selector"]["matchLabels"] == spec["selector"]["matchLabels"]
    scaler = objects["HorizontalPodAutoscaler", "reptarium"]["spec"]
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "reptarium"}
    assert scaler["minReplicas"] >= 2


def test_keda_replaces_the_plain_autoscaler(build: Callable[[str], Objects]) -> None:
    """There is one autoscaler; its threshold is a share of a pod's slots."""
    objects = build("deployment-keda")
    assert not [kind for kind, _ in objects if kind == "HorizontalPodAutoscaler"]
    spec = objects["ScaledObject", "reptarium"]["spec"]
    assert spec["scaleTargetRef"] == {"name": "reptarium"}
    (trigger,) = spec["triggers"]
    assert trigger["type"] == "prometheus"
    assert set(trigger["metadata"]) == {"serverAddress", "query", "threshold"}
    slots = int(environ(objects)["N8N_RUNNERS_MAX_CONCURRENCY"])
    assert 0.5 * slots <= float(trigger["metadata"]["threshold"]) <= 0.8 * slots


def test_yaml_is_tidy(tool: Any) -> None:
    """yamllint finds no mistake (duplicate keys, odd values) in any YAML file of deploy/."""
    rules = (
        "{extends: default, rules: {line-length: {max: 160}, document-start: disable, braces: disable, "
        "brackets: disable, comments: disable, octal-values: disable, truthy: {check-keys: false}, "
        "indentation: {spaces: 2, indent-sequences: consistent}}}"
    )
    done = tool("yamllint")("--strict", "-d", rules, DEPLOY.parent)
    assert done.returncode == 0, done.stdout
