"""deploy/docker, deploy/compose and deploy/launcher: valid, unprivileged, in step with the settings."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from reptarium.pool.config import load_settings
from reptarium.pool.config.advice import short_grace
from reptarium.pool.config.table import VARIABLES

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
DOCKERFILES = sorted(DEPLOY.glob("*/Dockerfile"))
COMPOSE = sorted(DEPLOY.glob("compose/*.yaml"))
NAMES = {variable.name for variable in VARIABLES}
# What the launcher sets itself, whatever its configuration says (its documentation, "Environment variables").
LAUNCHERS_OWN = {
    "N8N_RUNNERS_TASK_BROKER_URI",
    "N8N_RUNNERS_GRANT_TOKEN",
    "N8N_RUNNERS_HEALTH_CHECK_SERVER_ENABLED",
    "N8N_RUNNERS_HEALTH_CHECK_SERVER_PORT",
}


def reptarium(path: Path) -> dict[str, Any]:
    service: dict[str, Any] = yaml.safe_load(path.read_text())["services"]["reptarium"]
    return service


def test_there_is_something_to_check() -> None:
    """Both images and both compose files exist; the tests below run over what is found."""
    assert [path.parent.name for path in DOCKERFILES] == ["docker", "launcher"]
    assert [path.name for path in COMPOSE] == ["queue.yaml", "simple.yaml"]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_dockerfiles_pass_hadolint(path: Path, tool: Any) -> None:
    """hadolint has no complaint that isn't answered beside the line."""
    done = tool("hadolint")(path)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_images_run_as_an_ordinary_user(path: Path) -> None:
    """The last USER is numeric and not root, so that Kubernetes' runAsNonRoot can tell."""
    user = re.findall(r"^USER (\S+)", path.read_text(), re.MULTILINE)[-1]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


def test_image_needs_no_shell_at_run_time() -> None:
    """Entry point, command and health check are lists, which Docker starts without a shell."""
    text = (DEPLOY / "docker/Dockerfile").read_text().replace("\\\n", " ")
    for word in ("ENTRYPOINT", "CMD"):
        for value in re.findall(rf"\b{word} (.+)$", text, re.MULTILINE):
            assert json.loads(value)
    assert "HEALTHCHECK" in text
    assert text.count("\nFROM ") == 2


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_images_finish_what_runs(path: Path) -> None:
    """What an image sets leaves each task as much grace as time."""
    text = path.read_text()
    (grace,) = re.findall(r"\bN8N_RUNNERS_GRACEFUL_SHUTDOWN_TIMEOUT=(\d+)", text)
    assert short_grace(load_settings({"N8N_RUNNERS_GRACEFUL_SHUTDOWN_TIMEOUT": grace})) == ()


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_build_context_has_what_is_copied(path: Path) -> None:
    """Everything that a COPY names is let through by the ignore file beside it."""
    allowed = set(re.findall(r"^!(.+)$", path.with_name("Dockerfile.dockerignore").read_text(), re.MULTILINE))
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", path.read_text(), re.MULTILINE)
    copied = {name for line in copies for name in line.split()}
    assert copied
    assert copied <= allowed


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.stem)
def test_compose_files_follow_the_specification(path: Path, tool: Any) -> None:
    """The compose specification's own schema accepts them."""
    done = tool("check-jsonschema")("--builtin-schema", "vendor.compose-spec", path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.stem)
def test_compose_runs_it_locked_up(path: Path) -> None:
    """Read-only, without capabilities or new privileges, on a network without a way out, with limits."""
    service = reptarium(path)
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert "ports" not in service
    assert "privileged" not in service
    networks = yaml.safe_load(path.read_text())["networks"]
    assert all(networks[name] == {"internal": True} for name in service["networks"])


def interpolated(values: dict[str, str], environ: dict[str, str]) -> dict[str, str]:
    """The values as Compose makes them: `${A:-b}` is b where A is empty, `${A-b}` only where it isn't set."""

    def value(found: re.Match[str]) -> str:
        name, colon, sign, rest = found.groups()
        if name in environ and (environ[name] or not colon):
            return environ[name]
        assert sign == "-", rest
        return rest

    return {name: re.sub(r"\$\{([A-Z0-9_]+)(:?)([-?])([^}]*)\}", value, text) for name, text in values.items()}


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.stem)
def test_compose_lets_every_setting_through(path: Path) -> None:
    """An empty allowlist is none; without one all of the standard library is open; anything may stand in `.env`."""
    service = reptarium(path)
    token = {"N8N_RUNNERS_AUTH_TOKEN": "long-enough"}
    assert load_settings(interpolated(service["environment"], token)).stdlib_allow == ("*",)
    none = {"N8N_RUNNERS_STDLIB_ALLOW": "", "N8N_RUNNERS_EXTERNAL_ALLOW": ""}
    settings = load_settings(interpolated(service["environment"], {**token, **none}))
    assert (settings.stdlib_allow, settings.external_allow) == ((), ())
    assert service["env_file"] == [{"path": ".env", "required": False}]
    fixed = {name for name, text in service["environment"].items() if "${" not in text}
    assert not {name for name in fixed if name.startswith("REPTARIUM_")} - {"REPTARIUM_LOG_FORMAT"}


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.stem)
def test_compose_settings_are_valid(path: Path) -> None:
    """The settings load without a warning, and Docker waits longer than the graceful shutdown."""
    service = reptarium(path)
    settings = load_settings(interpolated(service["environment"], {"N8N_RUNNERS_AUTH_TOKEN": "long-enough"}))
    assert settings.warnings == short_grace(settings) == ()
    assert settings.auth_token
    grace = float(service["stop_grace_period"].removesuffix("s"))
    assert grace >= settings.graceful_shutdown_timeout + 10


def n8n_processes(path: Path) -> dict[str, dict[str, Any]]:
    services = yaml.safe_load(path.read_text())["services"]
    return {name: service for name, service in services.items() if "/n8n:" in service.get("image", "")}


def test_queue_form_serves_every_broker() -> None:
    """In queue mode the main process and each worker have the network name that is looked up."""
    path = DEPLOY / "compose/queue.yaml"
    processes = n8n_processes(path)
    assert set(processes) == {"n8n-main", "n8n-worker-1", "n8n-worker-2"}
    for service in processes.values():
        assert service["networks"]["brokers"]["aliases"] == ["n8n-brokers"]
    uri = reptarium(path)["environment"]["N8N_RUNNERS_TASK_BROKER_URI"]
    assert uri == "dns+http://n8n-brokers:5679"


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.stem)
def test_n8n_hands_its_tasks_out(path: Path) -> None:
    """n8n 2.40 refuses Python nodes unless its runners are external; then JavaScript ones need a runner as well."""
    processes = n8n_processes(path)
    assert processes
    for service in processes.values():
        assert service["environment"]["N8N_RUNNERS_MODE"] == "external"
        assert service["environment"]["N8N_RUNNERS_BROKER_LISTEN_ADDRESS"] == "0.0.0.0"
    services = yaml.safe_load(path.read_text())["services"]
    runners = [service for service in services.values() if "/runners:" in service.get("image", "")]
    assert all(runner["command"] == ["javascript"] for runner in runners)
    beside = {runner.get("network_mode", "service:n8n").removeprefix("service:") for runner in runners}
    executing = {name for name in processes if name != "n8n-main"}  # it offloads all of them
    assert beside == executing
    images = {service["image"].rpartition(":")[2] for service in [*processes.values(), *runners]}
    assert len(images) == 1


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.stem)
def test_compose_files_hold_no_secret(path: Path) -> None:
    """Tokens, keys and passwords come from outside; without them compose refuses to start."""
    for service in yaml.safe_load(path.read_text())["services"].values():
        for name, value in service.get("environment", {}).items():
            if any(word in name for word in ("TOKEN", "KEY", "PASSWORD")):
                assert re.fullmatch(r"\$\{[A-Z0-9_]+:\?.+\}", value), name


def launcher_python() -> dict[str, Any]:
    config = json.loads((DEPLOY / "launcher/n8n-task-runners.json").read_text())
    runners = {runner["runner-type"]: runner for runner in config["task-runners"]}
    assert set(runners) == {"javascript", "python"}
    ports = {runner["health-check-server-port"] for runner in runners.values()}
    assert len(ports) == 2
    python: dict[str, Any] = runners["python"]
    return python


def test_launcher_starts_us_with_the_originals_flags() -> None:
    """Isolated, without byte code, without remote debugging, as the original; then our command."""
    python = launcher_python()
    assert python["command"] == "/opt/reptarium/bin/python"
    assert python["args"] == ["-I", "-B", "-X", "disable_remote_debug", "-m", "reptarium", "run"]


def test_launcher_hands_on_every_setting() -> None:
    """Each variable of the table gets through, but for those that the launcher sets and the shared secret.

    Neither does an id, which would be the JavaScript runner's as well.
    """
    allowed = launcher_python()["allowed-env"]
    assert len(set(allowed)) == len(allowed)
    assert set(allowed) - NAMES == {"PATH", "TZ"}
    assert set(allowed) & NAMES == NAMES - LAUNCHERS_OWN - {"N8N_RUNNERS_AUTH_TOKEN", "N8N_RUNNERS_ID"}
