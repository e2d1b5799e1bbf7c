"""``reptarium broker``: the embedded broker alone."""

from __future__ import annotations

import argparse
import os
from contextlib import suppress

import msgspec
import trio

from reptarium.pool.cli.listening import port, tls, tls_arguments
from reptarium.pool.cli.obeying import obey
from reptarium.pool.cli.say import say
from reptarium.pool.cli.status import BAD_INPUT
from reptarium.pool.config import Settings, load_settings
from reptarium.pool.embedded_broker import BrokerConfig, open_broker
from reptarium.pool.ops.logs import configure_logging
from reptarium.pool.ops.stderr import take_over_stderr


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description = (
        "Serve the task-broker protocol for runners of any make, without n8n: to try one out. Tasks come from "
        "`reptarium submit`, over HTTP (pool/embedded_broker/requesters.py has the interface). "
        "The token that runners need is that of N8N_RUNNERS_AUTH_TOKEN; without, one is made and printed."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=port, default=5679, help="default: 5679, n8n's; 0: a free one")
    tls_arguments(parser)
    parser.add_argument(
        "--tasks-from",
        choices=("local", "any", "none"),
        default="local",
        help="who may hand in tasks, with the token: who is on this machine, anybody, nobody (default: local)",
    )


def call(arguments: argparse.Namespace) -> int:
    """Serve until a signal. Returns the exit status."""
    take_over_stderr()
    settings = load_settings(os.environ)
    configure_logging(settings)
    try:
        certificate = tls(arguments)
    except ValueError as error:
        say(f"reptarium broker: {error}")
        return BAD_INPUT
    config = BrokerConfig(
        host=arguments.host,
        port=arguments.port,
        max_payload=settings.max_payload,
        tls=certificate,
        requesting=arguments.tasks_from,
    )
    return trio.run(_serve_broker, settings, config)


class _Served:
    """The broker, as far as signals go."""

    def __init__(self) -> None:
        self.ending = trio.Event()

    @property
    def stopping(self) -> bool:
        """Whether it is ending."""
        return self.ending.is_set()

    def shutdown(self) -> None:
        """End in order."""
        self.ending.set()


async def _serve_broker(settings: Settings, config: BrokerConfig) -> int:
    if settings.auth_token is not None:
        config = msgspec.structs.replace(config, auth_token=settings.auth_token)
    served = _Served()
    async with trio.open_nursery() as nursery:
        await nursery.start(obey, served)  # whoever sees the broker listen may end it
        try:
            async with open_broker(config) as broker:
                words = [f"N8N_RUNNERS_TASK_BROKER_URI={broker.uri}"]
                if settings.auth_token is None:
                    words.append(f"N8N_RUNNERS_AUTH_TOKEN={config.auth_token}")
                nursery.start_soon(_say, "".join(f"{line}\n" for line in words))
                await served.ending.wait()
        except OSError as error:
            say(f"reptarium broker: cannot listen on {config.host}:{config.port}: {error} (--port, --host)")
            return BAD_INPUT
        finally:
            nursery.cancel_scope.cancel()
    return 0


async def _say(text: str) -> None:
    """On standard output, whose reader may stand or be gone: neither is a reason to serve nobody, or not to end."""
    with suppress(OSError):
        await trio.to_thread.run_sync(os.write, 1, text.encode(), abandon_on_cancel=True)
