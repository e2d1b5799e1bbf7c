"""deploy/systemd: the unit is valid, hardened, and in step with the settings."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from reptarium.pool.cli.status import BAD_CONFIG
from reptarium.pool.config import load_settings
from reptarium.pool.config.advice import short_grace
from reptarium.sandbox.kernel import cgroups

DEPLOY = Path(__file__).resolve().parents[3] / "deploy" / "systemd"
UNIT = DEPLOY / "reptarium.service"


def values(name: str, path: Path = UNIT) -> list[str]:
    return re.findall(rf"^{re.escape(name)}=(.*)$", path.read_text(), re.MULTILINE)


def test_units_verify(tool: Any, tmp_path: Path) -> None:
    """systemd-analyze verify has nothing to say about service and slice (the program's path aside)."""
    text = UNIT.read_text()
    assert "ExecStart=/opt/reptarium/bin/reptarium run\n" in text
    (tmp_path / UNIT.name).write_text(text.replace("/opt/reptarium/bin/reptarium", "/bin/true"))
    (tmp_path / "reptarium.slice").write_text((DEPLOY / "reptarium.slice").read_text())
    done = tool("systemd-analyze")(
        "verify", "--man=no", "--recursive-errors=no", tmp_path / UNIT.name, tmp_path / "reptarium.slice"
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == ""


def test_exposure_is_low(tool: Any) -> None:
    """systemd-analyze security scores the unit at 2.0 or below."""
    done = tool("systemd-analyze")("security", "--offline=true", "--threshold=20", "--no-pager", UNIT)
    assert done.returncode == 0, done.stdout + done.stderr
    match = re.search(r"Overall exposure level for reptarium.service: ([\d.]+)", done.stdout)
    assert match is not None
    assert float(match[1]) <= 2.0


def test_our_own_sandbox_still_works_inside() -> None:
    """What the unit takes away is what we don't need: seccomp, Landlock and limits stay allowed."""
    allowed = " ".join(values("SystemCallFilter")).split()
    for call in (
        "seccomp",
        "landlock_create_ruleset",
        "landlock_add_rule",
        "landlock_restrict_self",
        "prlimit64",
        "setpriority",
        "capset",
    ):
        assert call in allowed
    assert values("ProtectProc") == []
    assert values("OOMPolicy") == ["continue"]


def test_settings_are_valid_and_in_step() -> None:
    """The settings load; systemd waits longer than the graceful shutdown; the token is a credential."""
    environ = dict(value.split("=", 1) for value in values("Environment"))
    assert environ.pop("N8N_RUNNERS_AUTH_TOKEN_FILE") == "%d/auth-token"
    assert values("LoadCredential") == ["auth-token:/etc/reptarium/auth-token"]
    settings = load_settings(environ)
    assert settings.warnings == short_grace(settings) == ()
    assert float(values("TimeoutStopSec")[0]) >= settings.graceful_shutdown_timeout + 10
    assert values("SocketBindAllow") == [f"tcp:{settings.health_port}"]
    assert settings.namespaces == "off"


def test_what_can_not_start_is_not_started_again() -> None:
    """A wrong setting, or a machine without the sandbox, ends the service: it isn't tried again and again."""
    assert values("Restart") == ["always"]
    assert values("RestartPreventExitStatus") == [str(BAD_CONFIG)]


def test_the_comment_installs_all_files_where_folders_are_missing() -> None:
    """Debian has no /etc/sysusers.d; what is configured belongs to the group that the unit runs as."""
    comment = UNIT.read_text().partition("[Unit]")[0]
    for name in os.listdir(DEPLOY):
        assert name in comment, name
    for target in ("sysusers.d", "tmpfiles.d", "reptarium.service.d"):
        (line,) = [line for line in comment.splitlines() if f"/etc/{target}" in line or f"system/{target}" in line]
        assert line.startswith("#   install -D "), line
    assert values("Group") == values("User")


def test_delegation_is_offered_whole() -> None:
    """The drop-in delegates every controller that zygotes use, and opens the tree that the unit makes read-only."""
    drop_in = DEPLOY / "delegate.conf"
    assert values("ProtectControlGroups", drop_in) == ["no"]
    assert values("DelegateSubgroup", drop_in) == ["supervisor"]
    (delegated,) = values("Delegate", drop_in)
    assert set(delegated.split()) == {"pids", "memory", "cpu"}
    assert (
        f"Delegate={delegated}, DelegateSubgroup=supervisor, ProtectControlGroups=no" in cgroups.outcome({}, (), "x")[2]
    )


def test_the_service_manager_is_told() -> None:
    """The unit waits to be told that it is up, by the runner alone, and has a watchdog that bears a pool's restart."""
    assert values("Type") == ["notify"]
    assert values("NotifyAccess") == ["main"]
    (watchdog,) = values("WatchdogSec")
    assert int(watchdog) >= 30


def test_slice_has_room_for_all_tasks() -> None:
    """The slice's memory holds the default number of tasks at their limit, and stops there."""
    settings = load_settings({})
    slice_file = DEPLOY / "reptarium.slice"
    (most,) = values("MemoryMax", slice_file)
    needed = settings.max_concurrency * settings.task_memory + 200 * 2**20
    assert int(most.removesuffix("G")) * 2**30 >= needed
    assert values("TasksMax", slice_file)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to be root to give a directory to a group")
def test_user_and_directory(tool: Any, tmp_path: Path) -> None:
    """sysusers makes the unit's user and tmpfiles its directory, here below a scratch root."""
    (user,) = values("User")
    assert (DEPLOY / "reptarium.sysusers").read_text().startswith(f"u {user} ")
    (tmp_path / "etc").mkdir()
    done = tool("systemd-sysusers")(f"--root={tmp_path}", DEPLOY / "reptarium.sysusers")
    assert done.returncode == 0, done.stderr
    assert f"\n{user}:" in "\n" + (tmp_path / "etc/passwd").read_text()
    done = tool("systemd-tmpfiles")("--create", f"--root={tmp_path}", DEPLOY / "reptarium.tmpfiles")
    assert done.returncode == 0, done.stderr
    made = tmp_path / "etc/reptarium"
    assert made.is_dir()
    assert made.stat().st_mode & 0o777 == 0o750
