"""Settings from the environment: the table of variables, their values, loading, the page about them; secrets."""

from reptarium.pool.config.advice import advice
from reptarium.pool.config.loading import (
    ConfigError,
    load_settings,
    require_credentials,
    task_environment,
)
from reptarium.pool.config.oddities import contradictions, oddities
from reptarium.pool.config.secrets import names_secret, shows_secret, without_secret
from reptarium.pool.config.settings import Row, Settings, describe, secret_values

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
