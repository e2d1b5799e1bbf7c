"""Settings from the environment: the table of variables, what values they take, loading, the page about them."""

from reptarium.pool.config.loading import (
    ConfigError,
    Row,
    Settings,
    describe,
    holds_secret,
    load_settings,
    require_credentials,
    secret_values,
    task_environment,
    weak_secrets,
)

__all__ = [
    "ConfigError",
    "Row",
    "Settings",
    "describe",
    "holds_secret",
    "load_settings",
    "require_credentials",
    "secret_values",
    "task_environment",
    "weak_secrets",
]
