"""Settings from the environment: the table of variables, their values, loading, the page about them; secrets."""

from reptarium.pool.config.advice import advice
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
    task_environment,
)
from reptarium.pool.config.secrets import names_secret, shows_secret, without_secret

__all__ = [
    "ConfigError",
    "Row",
    "Settings",
    "advice",
    "contradictions",
    "describe",
    "load_settings",
    "names_secret",
    "oddities",
    "require_credentials",
    "secret_values",
    "shows_secret",
    "task_environment",
    "without_secret",
]
