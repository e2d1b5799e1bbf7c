"""The effective settings, and how they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from reptarium.pool.config.table import VARIABLES
from reptarium.pool.config.values import show_size

Source = Literal["default", "environment", "file"]
LogLevel = Literal["debug", "info", "warning", "error", "critical"]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Effective settings. Durations are seconds, sizes are bytes. Made by `load_settings`."""

    broker_uris: tuple[str, ...]
    """`http(s)://host:port` or `dns+http://name:port`, lower case, no trailing slash, at least one."""
    broker_path: str
    broker_ca: str | None
    """None = the system's authorities."""
    grant_token: str | None
    auth_token: str | None
    runner_id: str
    """"" = a new one for each broker."""
    runner_name: str
    max_concurrency: int
    max_payload: int
    task_timeout: float
    graceful_shutdown_timeout: float
    auto_shutdown_timeout: float
    """0 = never."""
    worker_reuse: Literal["off", "same-node"]
    reuse_tasks: int
    reuse_idle: float
    settings_timeout: float
    heartbeat_interval: float

    health_enabled: bool
    health_host: str
    health_port: int
    launcher_log_level: LogLevel
    log_level: LogLevel
    log_format: Literal["auto", "console", "plain", "json"]

    stdlib_allow: tuple[str, ...]
    """("*",) = all, () = none; so for `external_allow`, `rpc_allow` and `http_allow`."""
    external_allow: tuple[str, ...]
    builtins_deny: tuple[str, ...]
    allow_transitive_imports: bool
    """Always so, whatever it says; see the table."""
    preload: tuple[str, ...]
    preload_learn: Literal["on", "off"]
    preload_memory: int
    state_path: str | None
    """None = nothing is kept."""
    requirements: str | None
    """None = no packages beside those of the interpreter."""
    requirements_path: str
    requirements_preload: bool
    wheels: str | None
    """None = from an index."""
    installer: Literal["auto", "uv", "pip"]
    language: Literal["restricted", "python"]
    block_env_access: bool
    result_conversion: Literal["rich", "original"]

    isolation: Literal["enforce", "best-effort"]
    task_memory: int
    warm_workers: int
    sandbox_uid: int | None
    sandbox_gid: int | None
    worker_uids: tuple[int, int] | None
    namespaces: Literal["auto", "off"]
    scratch: int | None
    """None = no files."""
    policy: str | None
    """The file of rules; None = none."""
    max_pools: int
    pool_idle: float
    max_threads: int
    max_open_files: int
    read_paths: tuple[str, ...]

    connect_allow: tuple[str, ...]
    """Entries of `powers/destinations.py` as text; () = none."""
    connect_max: int
    connect_rate: int
    connect_timeout: float

    max_result: int
    max_console: int
    rpc_allow: tuple[str, ...]
    http_allow: tuple[str, ...]
    rpc_max_calls: int
    rpc_max_bytes: int
    rpc_timeout: float

    sentry_dsn: str | None
    sentry_traces_sample_rate: float
    sentry_profiles_sample_rate: float
    n8n_version: str
    environment: str
    deployment_name: str

    sources: Mapping[str, Source]
    """Variable name → where its value came from."""
    warnings: tuple[str, ...]
    """What is odd but no reason to refuse the start. Callers log them."""

    def __repr__(self) -> str:
        # Tokens must not reach a log or a traceback through a repr.
        shown = (f"{row.variable}={row.value!r}" for row in describe(self) if row.source != "default")
        return f"<Settings {' '.join(shown)}>"


class Row(msgspec.Struct, frozen=True):
    """One line of `--print-config`."""

    variable: str
    value: str
    source: Source


def describe(settings: Settings) -> list[Row]:
    """The effective values in the table's order, for `reptarium run --print-config`. Secrets are hidden."""
    rows = []
    for variable in VARIABLES:
        value = getattr(settings, variable.field)
        if value is None and variable.default is None and variable.kind.show in (str, show_size):
            shown = "(not set)"
        elif variable.secret:
            shown = "(hidden)"
        else:
            shown = variable.kind.show(value) or "(not set)"
        rows.append(Row(variable.name, shown, settings.sources[variable.name]))
    return rows


def secret_values(settings: Settings) -> frozenset[str]:
    """The secrets themselves, for those who must keep them out of what they write."""
    found = (getattr(settings, variable.field) for variable in VARIABLES if variable.secret)
    return frozenset(value for value in found if value)
