"""Settings from the environment.

What is read, allowed and assumed stands in `table.py`: the one owner of every default. Names and
meanings of the `N8N_RUNNERS_*` variables are n8n's (its Python runner reads the same ones); the `REPTARIUM_*`
ones are ours. Every variable may also be given as a file: `NAME_FILE=/run/secrets/name`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import msgspec

from reptarium.pool.config.oddities import contradictions, meant, oddities
from reptarium.pool.config.secrets import holds_secret, names_secret, shows_secret
from reptarium.pool.config.settings import Settings, Source, secret_values
from reptarium.pool.config.table import VARIABLES
from reptarium.pool.config.values import BROKER_PORT, KIB
from reptarium.pool.config.variable import Variable
from reptarium.pool.refusal import StartRefused

_FILE_SUFFIX = "_FILE"
_PREFIXES = ("N8N_RUNNERS", "REPTARIUM")
_LONGEST_FILE = 64 * KIB  # a mistaken path (a log, a device) must not be slurped into memory


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


class ConfigError(StartRefused):
    """One or more variables are wrong. `problems` has a line for each; the text has them all."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


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
        warnings.append(f"{name} is not a setting of this runner and is ignored{meant(name, ours)}")
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
