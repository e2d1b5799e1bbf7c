"""Settings from the environment.

What is read, allowed and assumed stands in `table.py`: the one owner of every default. Names and
meanings of the `N8N_RUNNERS_*` variables are n8n's (its Python runner reads the same ones); the `REPTARIUM_*`
ones are ours. Every variable may also be given as a file: `NAME_FILE=/run/secrets/name`.
"""

from __future__ import annotations

import builtins
import difflib
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from reptarium.pool.config.secrets import holds_secret, names_secret, shows_secret
from reptarium.pool.config.table import BY_FIELD, VARIABLES, Variable
from reptarium.pool.config.values import BROKER_PORT, KIB, show_size
from reptarium.pool.refusal import StartRefused

Source = Literal["default", "environment", "file"]
LogLevel = Literal["debug", "info", "warning", "error", "critical"]

_FILE_SUFFIX = "_FILE"
_PREFIXES = ("N8N_RUNNERS", "REPTARIUM")
_LONGEST_FILE = 64 * KIB  # a mistaken path (a log, a device) must not be slurped into memory


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


# Names of the same family that n8n itself or its launcher reads: normal to see beside one of those.
_OTHERS = frozenset(
    {
        "N8N_RUNNERS_ENABLED",
        "N8N_RUNNERS_MODE",
        "N8N_RUNNERS_BROKER_PORT",
        "N8N_RUNNERS_BROKER_LISTEN_ADDRESS",
        "N8N_RUNNERS_HEARTBEAT_INTERVAL",
        "N8N_RUNNERS_TASK_REQUEST_TIMEOUT",
        "N8N_RUNNERS_TASK_ACCEPT_TIMEOUT",
        "N8N_RUNNERS_GRANT_TOKEN_TTL",
        "N8N_RUNNERS_HIDE_TASK_OFFER_LOGS",  # we never log them
        "N8N_RUNNERS_MAX_OLD_SPACE_SIZE",
        "N8N_RUNNERS_MAX_OLD_SPACE_SIZE_PERCENTAGE",
        "N8N_RUNNERS_INSECURE_MODE",
        "N8N_RUNNERS_ALLOW_PROTOTYPE_MUTATION",
        "N8N_RUNNERS_LAUNCHER_HEALTH_CHECK_PORT",
        "N8N_RUNNERS_LAUNCHER_GRACEFUL_SHUTDOWN_TIMEOUT",
        "N8N_RUNNERS_LAUNCHER_BROKER_READINESS_POLL_INTERVAL_MS",
        "N8N_RUNNERS_SHUTDOWN_FORCE_KILL_MARGIN",
        "N8N_RUNNERS_CONFIG_PATH",
    }
)
_BUILTINS = frozenset(dir(builtins))
_STANDARD = sys.stdlib_module_names


class ConfigError(StartRefused):
    """One or more variables are wrong. `problems` has a line for each; the text has them all."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Row(msgspec.Struct, frozen=True):
    """One line of `--print-config`."""

    variable: str
    value: str
    source: Source


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read every variable of the table.

    Args:
        environ: the environment, usually `os.environ`.

    Raises:
        ConfigError: with every wrong variable, not only the first.
    """
    values: dict[str, Any] = {}
    sources: dict[str, Source] = {}
    problems: list[str] = []
    warnings: list[str] = []
    for variable in VARIABLES:
        fallback = variable.default if variable.default_from is None else values.get(variable.default_from)
        values[variable.field] = fallback
        sources[variable.name] = "default"
        try:
            found = _read(variable, environ, warnings)
            if found is None:
                continue
            text, source = found
            value = _parse(variable, text)
            if variable.field == "broker_uris":
                warnings += _without_port(text)
        except ConfigError as error:
            problems.extend(error.problems)
            continue
        if variable.zero_is_default and value == 0:
            continue
        values[variable.field] = value
        sources[variable.name] = source
    if problems:
        raise ConfigError(tuple(problems))
    warnings += _unknown(environ)
    settings = Settings(**values, sources=MappingProxyType(sources), warnings=())
    if together := contradictions(settings):
        raise ConfigError(together)
    return msgspec.structs.replace(settings, warnings=(*warnings, *oddities(settings)))


def require_credentials(settings: Settings) -> None:
    """Check what only a runner that connects to a broker needs (`exec`, for one, doesn't).

    Raises:
        ConfigError: no token, or only a one-use token for several brokers.
    """
    if settings.auth_token is not None:
        return
    if settings.grant_token is None:
        raise ConfigError(
            (
                "no token: set N8N_RUNNERS_AUTH_TOKEN (the secret that n8n has under the same name) or "
                "N8N_RUNNERS_GRANT_TOKEN (which n8n's launcher hands over)",
            )
        )
    several = len(settings.broker_uris) > 1 or settings.broker_uris[0].startswith("dns+")
    if several:
        raise ConfigError(
            (
                "N8N_RUNNERS_GRANT_TOKEN is good for one connection to one broker: for several brokers in "
                "N8N_RUNNERS_TASK_BROKER_URI set N8N_RUNNERS_AUTH_TOKEN",
            )
        )


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


def task_environment(environ: Mapping[str, str], settings: Settings) -> dict[str, str]:
    """What user code may see of the runner's environment.

    Nothing under `N8N_BLOCK_RUNNER_ENV_ACCESS=true`. Otherwise all but secrets: what the table marks so, every value
    that contains one of our tokens, and what `secrets` takes for one by its name or its value.
    """
    if settings.block_env_access:
        return {}
    marked = {name for variable in VARIABLES if variable.secret for name in _spellings(variable)}
    tokens = secret_values(settings)
    return {
        name: value
        for name, value in environ.items()
        if name not in marked
        and not names_secret(name)
        and not any(holds_secret(value, token) for token in tokens)
        and not shows_secret(value)
    }


def _spellings(variable: Variable) -> tuple[str, str]:
    return variable.name, variable.name + _FILE_SUFFIX


def _read(variable: Variable, environ: Mapping[str, str], warnings: list[str]) -> tuple[str, Source] | None:
    """The variable's text and its source; None when it isn't set (or empty where that is the same)."""
    name, file_name = _spellings(variable)
    direct = environ.get(name)
    if direct is not None and (direct.strip() or variable.kind.empty_counts):
        if environ.get(file_name, "").strip():
            warnings.append(f"{name} and {file_name} are both set: {name} counts")
        return direct.strip(), "environment"
    path = environ.get(file_name, "").strip()
    if not path:
        return None
    try:
        with Path(path).open(encoding="utf-8") as file:
            text = file.read(_LONGEST_FILE + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError((f"{file_name}={path!r}: can't be read ({reason})",)) from error
    if len(text) > _LONGEST_FILE:
        raise ConfigError((f"{file_name}={path!r}: longer than {_LONGEST_FILE // KIB} KiB, not one value",))
    if not text.strip() and not variable.kind.empty_counts:
        raise ConfigError((f"{file_name}={path!r}: the file is empty",))
    return text.strip(), "file"


def _parse(variable: Variable, text: str) -> Any:
    try:
        return variable.kind.parse(text)
    except ValueError as error:
        shown = "(hidden)" if variable.secret else repr(text if len(text) <= 200 else text[:200] + "…")
        raise ConfigError((f"{variable.name}={shown}: {error}; expected {variable.kind.allowed}",)) from error


def _unknown(environ: Mapping[str, str]) -> list[str]:
    known = [spelling for variable in VARIABLES for spelling in _spellings(variable)]
    ours = {name for name in known if name.startswith(("N8N_RUNNERS_", "REPTARIUM_"))}
    warnings = []
    for name in sorted(environ):
        if name in ours or name in _OTHERS or not _nearly_ours(name):
            continue
        warnings.append(f"{name} is not a setting of this runner and is ignored{_meant(name, ours)}")
    return warnings


def _without_port(text: str) -> list[str]:
    return [
        f"N8N_RUNNERS_TASK_BROKER_URI: {uri} has no port: n8n's own, {BROKER_PORT}, is taken"
        for uri in map(str.strip, text.split(","))
        if uri and urlsplit(uri).port is None
    ]


def _nearly_ours(name: str) -> bool:
    """Whether it begins as settings of ours do, or with one letter less, more or other than that."""
    heads = [name[:at] for at, letter in enumerate(name) if letter == "_"]
    return any(head == prefix or _one_letter_apart(head, prefix) for head in heads for prefix in _PREFIXES)


def _one_letter_apart(one: str, other: str) -> bool:
    shorter, longer = sorted((one, other), key=len)
    at = next((i for i, letter in enumerate(shorter) if letter != longer[i]), len(shorter))
    if len(shorter) == len(longer):
        return shorter[at + 1 :] == longer[at + 1 :]
    return len(longer) == len(shorter) + 1 and shorter[at:] == longer[at + 1 :]


def contradictions(settings: Settings) -> tuple[str, ...]:
    """A line for each setting that can't be together with another."""
    if settings.language == "python" and settings.isolation != "enforce":
        return (
            f"REPTARIUM_LANGUAGE='python': only with REPTARIUM_ISOLATION=enforce, which is {settings.isolation}: "
            "nothing but the kernel layer holds user code in this mode",
        )
    return ()


def _meant(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    return f"; did you mean {near[0]}?" if near else ""


def _in_the_wrong_list(name: str, field: str) -> Iterator[str]:
    variable, standard = BY_FIELD[field].name, name.partition(".")[0] in _STANDARD
    if standard and field == "external_allow":
        yield f"{variable}: {name!r} is of Python's standard library; N8N_RUNNERS_STDLIB_ALLOW is its list"
    elif not standard and field == "stdlib_allow":
        hint = _meant(name, _STANDARD) or "; other packages are listed in N8N_RUNNERS_EXTERNAL_ALLOW"
        yield f"{variable}: {name!r} is no module of this Python's standard library{hint}"


def oddities(settings: Settings) -> list[str]:
    """A line for each value that is allowed and hardly meant."""
    found = []
    for field in ("stdlib_allow", "external_allow", "preload"):
        for name in getattr(settings, field):
            if name != "*" and not all(part.isidentifier() for part in name.split(".")):
                found.append(
                    f"{BY_FIELD[field].name}: {name!r} can't be an import name "
                    "(a package's import name may differ from the name it is installed by)"
                )
            elif name != "*" and field != "preload":
                found += _in_the_wrong_list(name, field)
    for name in settings.builtins_deny:
        if name not in _BUILTINS:
            found.append(
                f"N8N_RUNNERS_BUILTINS_DENY: {name!r} is no built-in name and removes nothing{_meant(name, _BUILTINS)}"
            )
    if not settings.allow_transitive_imports:
        found.append(
            "N8N_RUNNERS_ALLOW_TRANSITIVE_IMPORTS=false has no effect: what an allowed module imports itself needs no "
            "entry, and user code can't reach it"
        )
    if settings.sentry_profiles_sample_rate and not settings.sentry_traces_sample_rate:
        found.append("N8N_SENTRY_PROFILES_SAMPLE_RATE has no effect without N8N_SENTRY_TRACES_SAMPLE_RATE")
    if settings.worker_uids is not None:
        first, last = settings.worker_uids
        needed = settings.max_concurrency + settings.warm_workers
        if last - first + 1 < needed:
            found.append(
                f"REPTARIUM_WORKER_UIDS has {last - first + 1} ids for up to {needed} workers: some will share one"
            )
    if settings.max_result > settings.max_payload:
        found.append("REPTARIUM_MAX_RESULT is above N8N_RUNNERS_MAX_PAYLOAD: results between the two can't be sent")
    return found
