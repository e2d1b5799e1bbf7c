"""The forms of deploy/ in which packages are installed: who does it may reach an index, and nobody else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from reptarium.pool.config import load_settings
from reptarium.pool.installing.requirements import read_requirements

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
PLACE = "/var/lib/reptarium/packages"
COMPOSE = DEPLOY / "compose/packages/override.yaml"
COMPONENT = DEPLOY / "kubernetes/components/packages"


def test_compose_follows_the_specification(tool: Any) -> None:
    """The compose specification's own schema accepts it."""
    done = tool("check-jsonschema")("--builtin-schema", "vendor.compose-spec", COMPOSE)
    assert done.returncode == 0, done.stdout + done.stderr


def test_compose_runner_has_no_way_out_and_cannot_write() -> None:
    """The service that installs is locked up and outside; the runner waits for it and reads the same file and place."""
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    packages, runner = services["packages"], services["reptarium"]
    assert packages["command"] == ["install"]
    assert (packages["read_only"], packages["cap_drop"]) == (True, ["ALL"])
    assert packages["networks"] == ["outside"]
    assert "networks" not in runner  # those of the form that it is laid over
    assert runner["depends_on"] == {"packages": {"condition": "service_completed_successfully"}}
    assert packages["environment"]["REPTARIUM_REQUIREMENTS"] == runner["environment"]["REPTARIUM_REQUIREMENTS"]
    assert runner["volumes"] == [f"{volume.removesuffix(':ro')}:ro" for volume in packages["volumes"]]
    for form in ("simple", "queue"):
        text = yaml.safe_load((DEPLOY / f"compose/{form}.yaml").read_text())
        assert text["networks"]["outside"] is None
        assert text["services"]["reptarium"]["build"]["dockerfile"] == packages["build"]["dockerfile"]
    assert not any("TOKEN" in name for name in packages["environment"])


def test_image_has_the_place() -> None:
    """A volume that is laid there belongs to the image's user, and it is where the runner looks."""
    assert load_settings({}).requirements_path == PLACE
    text = (DEPLOY / "docker/Dockerfile").read_text()
    assert f"install -d -o 65532 -g 65532 {PLACE}" in text


def test_examples_are_pinned() -> None:
    """Each names exact versions, and both the same."""
    one, other = DEPLOY / "compose/packages/requirements.txt", COMPONENT / "requirements.txt"
    assert one.read_text() == other.read_text()
    assert all("==" in line.text for line in read_requirements(str(one)).lines)


def test_kubernetes_component_builds(tool: Any, tmp_path: Path) -> None:
    """Over the deployment: an init container that installs, a runner that only reads, as restricted as it."""
    overlay = os.path.relpath(DEPLOY / "kubernetes/overlays/deployment", tmp_path.resolve())
    component = os.path.relpath(COMPONENT, tmp_path.resolve())
    (tmp_path / "kustomization.yaml").write_text(
        f"apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: n8n\n"
        f"resources: [{overlay}]\ncomponents: [{component}]\n"
    )
    done = tool("kubectl")("kustomize", tmp_path)
    assert done.returncode == 0, done.stderr
    objects = {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(done.stdout) if one}
    pod = objects["Deployment", "reptarium"]["spec"]["template"]["spec"]
    (packages,), (runner,) = pod["initContainers"], pod["containers"]
    assert packages["image"] == runner["image"]
    assert packages["securityContext"] == runner["securityContext"]
    mounts = {one["mountPath"]: one.get("readOnly", False) for one in runner["volumeMounts"]}
    assert mounts[PLACE] is mounts["/etc/reptarium"] is True
    assert {one["mountPath"]: one.get("readOnly", False) for one in packages["volumeMounts"]}[PLACE] is False
    names = {volume["name"] for volume in pod["volumes"]}
    assert {one["name"] for each in (packages, runner) for one in each["volumeMounts"]} <= names
    assert not any("TOKEN" in one["name"] for one in packages["env"])
    assert ("NetworkPolicy", "reptarium-packages") in objects
