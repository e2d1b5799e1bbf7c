"""Error reports to Sentry: an extra (`pip install 'reptarium[sentry]'`), for the runner's own faults only.

Nothing is sent unless `report` is called: no automatic capture of log lines or unhandled exceptions, no
integrations, no breadcrumbs (they would carry log fields), no local variables (they would carry items and
tokens), no host name. What user code does wrong is the user's business and never comes here: callers only
report what `metrics` counts as `failed`.
"""

from __future__ import annotations

import importlib
import warnings
from contextlib import suppress
from typing import Any

import structlog

from reptarium import __version__
from reptarium.pool.config import ConfigError, Settings, secret_values
from reptarium.pool.ops.logs import redact
from reptarium.pool.refusal import StartRefused

log = structlog.get_logger("reptarium.pool.ops.sentry")


class Reporter:
    """Reports faults, or does nothing when no DSN is set."""

    def __init__(self, sdk: Any = None) -> None:
        self._sdk = sdk

    def report(self, error: BaseException, **tags: str) -> None:
        """Send one of our own faults. Never raises; never waits: the SDK's thread sends, and its queue is bounded.

        Args:
            error: with its traceback.
            tags: short facts such as `part="zygote"`; no user data.
        """
        if self._sdk is None:
            return
        try:
            with self._sdk.new_scope() as scope:
                for name, value in tags.items():
                    scope.set_tag(name, value)
                scope.capture_exception(error)
        except Exception as fault:
            # whoever reports is in the middle of containing something
            with suppress(Exception):
                log.warning("a fault could not be reported to Sentry", error=repr(fault))

    def close(self, timeout: float = 2.0) -> None:
        """Wait at most `timeout` seconds for what is still to be sent. Blocks: call it last."""
        if self._sdk is not None:
            with suppress(Exception):
                self._sdk.flush(timeout=timeout)


def own_fault(error: BaseException) -> BaseException | None:
    """What is our own fault in an error that ends the runner (perhaps a group); None: nothing.

    A start that is refused isn't (the machine or the configuration is to blame, and whoever started the runner reads
    why), nor is somebody's wish to end (Ctrl-C, a cancellation).
    """
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(lambda inner: not isinstance(inner, BaseExceptionGroup) and own_fault(inner) is not None)
    return error if isinstance(error, Exception) and not isinstance(error, StartRefused) else None


def open_reporter(settings: Settings) -> Reporter:
    """A reporter for `settings.sentry_dsn`; a silent one without it (nothing is imported then).

    Raises:
        ConfigError: a DSN is set, but the extra isn't installed or refuses the DSN.
    """
    if settings.sentry_dsn is None:
        return Reporter()
    try:
        sdk: Any = importlib.import_module("sentry_sdk")
    except ImportError as error:
        raise ConfigError(
            (
                "N8N_SENTRY_DSN is set, but sentry-sdk is not installed: run "
                "`pip install 'reptarium[sentry]'` or unset N8N_SENTRY_DSN",
            )
        ) from error
    clean = redact(secret_values(settings))

    def before_send(event: dict[str, Any], _hint: dict[str, Any]) -> dict[str, Any]:
        cleaned: dict[str, Any] = clean(None, "", event)
        return cleaned

    options: dict[str, Any] = {}
    if settings.sentry_profiles_sample_rate:
        options["profiles_sample_rate"] = settings.sentry_profiles_sample_rate
    try:
        with warnings.catch_warnings():
            # the SDK warns that profiles of transactions, which n8n's setting is about, will go some day
            warnings.simplefilter("ignore", DeprecationWarning)
            sdk.init(
                dsn=settings.sentry_dsn,
                release=f"reptarium@{__version__}",
                environment=settings.environment or None,
                server_name=settings.deployment_name or "",
                default_integrations=False,
                auto_enabling_integrations=False,
                include_local_variables=False,
                include_source_context=False,
                max_breadcrumbs=0,
                # None, not 0: with 0 the SDK would carry on traces that others have begun
                traces_sample_rate=settings.sentry_traces_sample_rate or None,
                before_send=before_send,
                before_send_transaction=before_send,
                **options,
            )
    except ValueError as error:  # sentry_sdk.utils.BadDsn is one; its text quotes the DSN, so it isn't passed on
        raise ConfigError(("N8N_SENTRY_DSN=(hidden): not a DSN that sentry-sdk accepts",)) from error
    scope = sdk.get_global_scope()
    scope.set_tag("server_type", "task_runner_python")
    if settings.n8n_version:
        scope.set_tag("n8n_version", settings.n8n_version)
    return Reporter(sdk)
