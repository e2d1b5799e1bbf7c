"""``reptarium broker``: the embedded broker alone."""

from __future__ import annotations

import argparse
import os
import signal
import sys

import msgspec
import trio

from reptarium.pool.cli.status import BAD_INPUT
from reptarium.pool.config import Settings, load_settings
from reptarium.pool.embedded_broker import BrokerConfig, open_broker
from reptarium.pool.ops.logs import configure_logging
from reptarium.pool.ops.stderr import take_over_stderr


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description = (
        "Serve the task-broker protocol for runners of any make, without n8n. Tasks can only be requested "
        "through the Python API (reptarium.pool.embedded_broker); it is for trying out a runner's connection."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5679)


def call(arguments: argparse.Namespace) -> int:
    """Serve until a signal. Returns the exit status."""
    take_over_stderr()
    settings = load_settings(os.environ)
    configure_logging(settings)
    return trio.run(_serve_broker, settings, arguments.host, arguments.port)


async def _serve_broker(settings: Settings, host: str, port: int) -> int:
    config = BrokerConfig(host=host, port=port, max_payload=settings.max_payload)
    if settings.auth_token is not None:
        config = msgspec.structs.replace(config, auth_token=settings.auth_token)
    try:
        # whoever sees it listen may end it
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with open_broker(config) as broker:
                print(f"N8N_RUNNERS_TASK_BROKER_URI={broker.uri}")
                if settings.auth_token is None:
                    print(f"N8N_RUNNERS_AUTH_TOKEN={config.auth_token}")
                sys.stdout.flush()
                async for _ in signals:
                    break
    except OSError as error:
        print(f"reptarium broker: cannot listen on {host}:{port}: {error} (--port, --host)", file=sys.stderr)
        return BAD_INPUT
    return 0
