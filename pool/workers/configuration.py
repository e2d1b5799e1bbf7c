"""What the zygote is told, from the settings."""

from __future__ import annotations

import math
import os

import msgspec

from reptarium.pool.config import ConfigError, Settings, task_environment
from reptarium.pool.installing.place import place_of
from reptarium.pool.powers.certificates import certificates, resolver_files
from reptarium.sandbox.kernel import IsolationConfig
from reptarium.sandbox.language.policy import LanguagePolicy
from reptarium.sandbox.wire import MAX_CONTROL, ZygoteConfig

#: The largest environment that tasks can be shown, in bytes: it goes to the zygote in one packet, with the rest.
MAX_ENVIRONMENT = MAX_CONTROL // 2


def language_policy(settings: Settings) -> LanguagePolicy:
    """What the settings allow user code, as far as the language layer decides it."""
    return LanguagePolicy(
        stdlib_allow=settings.stdlib_allow,
        external_allow=settings.external_allow,
        builtins_deny=settings.builtins_deny,
        preload=settings.preload,
        connections=bool(settings.connect_allow),
        mode=settings.language,
        files=settings.scratch is not None,
    )


def zygote_config(settings: Settings) -> ZygoteConfig:
    """The zygote's configuration, with what tasks may see of this process's environment.

    Raises ``config.ConfigError`` for an environment that is too much to hand on, and ``PackagesRefused`` for a file of
    requirements that can't be read.
    """
    environ = task_environment(os.environ, settings)
    if (size := len(msgspec.json.encode(environ))) > MAX_ENVIRONMENT:
        raise ConfigError(
            (
                f"N8N_BLOCK_RUNNER_ENV_ACCESS=false: the environment is {size // 1024} KiB; expected at most "
                f"{MAX_ENVIRONMENT // 1024} KiB to hand on to tasks",
            )
        )
    place = place_of(settings)
    return ZygoteConfig(
        language=language_policy(settings),
        isolation=IsolationConfig(
            policy=settings.isolation,
            memory=settings.task_memory,
            tasks=settings.max_concurrency,
            # a second line behind the supervisor's deadline: threads burn CPU time side by side
            cpu_seconds=math.ceil(settings.task_timeout * 2 + 5),
            max_threads=settings.max_threads,
            open_files=settings.max_open_files,
            uid=settings.sandbox_uid,
            gid=settings.sandbox_gid,
            worker_uids=settings.worker_uids,
            namespaces=settings.namespaces,
            read_paths=(
                *settings.read_paths,
                *((*certificates(), *resolver_files()) if settings.connect_allow else ()),
            ),
            connections=bool(settings.connect_allow),
            scratch_bytes=settings.scratch or 0,
        ),
        conversion=settings.result_conversion,
        max_result=settings.max_result,
        max_console=settings.max_console,
        rpc_max_bytes=min(settings.rpc_max_bytes, settings.task_memory),
        environ=environ,
        time_zone=os.environ.get("TZ", ""),
        packages="" if place is None else str(place.site),
        preload_from="" if place is None or not settings.requirements_preload else str(place.index),
        # files and connections are one task's
        reuse=settings.worker_reuse == "same-node" and not settings.connect_allow and settings.scratch is None,
    )
