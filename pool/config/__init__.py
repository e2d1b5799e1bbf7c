"""Settings from the environment: the table of variables, their values, loading, the page about them; secrets."""

from reptarium.pool.config.loading import (
    ConfigError,
    Row,
    Settings,
    contradictions,
    describe,
    load_settings,
    oddities,
    require_credentials,
    secret_values,
    short_grace,
    task_environment,
    weak_secrets,
)
from reptarium.pool.config.secrets import names_secret, shows_secret, without_secret

__all__ = [
    "ConfigError",
    "Row",
    "Settings",
    "contradictions",
    "describe",
    "load_settings",
    "names_secret",
    "oddities",
    "require_credentials",
    "secret_values",
    "short_grace",
    "shows_secret",
    "task_environment",
    "weak_secrets",
    "without_secret",
]
