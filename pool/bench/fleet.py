"""Runners that were started elsewhere: they connect to the load generator as they do to n8n (``bench --listen``)."""

from __future__ import annotations

import shlex
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from reptarium.pool.bench.coming import Coming
from reptarium.pool.bench.runners import Site
from reptarium.pool.embedded_broker import BrokerConfig, open_broker

#: Seconds between two words about who is still waited for.
_EVERY = 5.0
#: Seconds until slots are counted: a runner may offer them one after the other.
_SETTLING = 1.0


class NotThere(RuntimeError):
    """Fewer runners than expected have come in time. The text says how many, and what to look at."""


@asynccontextmanager
async def open_fleet(
    label: str, config: BrokerConfig, *, expected: int, within: float, say: Callable[[str], None], token_said: bool
) -> AsyncIterator[Site]:
    """A broker with ``expected`` registered runners of somebody else's; ``within`` is how many seconds they have.

    ``say`` hears where they are to connect, with the token if ``token_said``, and who comes and goes. Raises
    :class:`NotThere`, and OSError for an address that can't be had.
    """
    async with open_broker(config) as broker:
        coming = Coming(expected)
        broker.on_event = lambda name, fields: coming.event(name, fields, broker)
        say("start the runners with:")
        say(f"  N8N_RUNNERS_TASK_BROKER_URI={_address(config, broker.port)}")
        if token_said:
            say(f"  N8N_RUNNERS_AUTH_TOKEN={shlex.quote(config.auth_token)}")
        coming.on_change = lambda change: say(change.text)
        site = Site(label, broker, [], coming)
        await everybody(site, within, say)
        await trio.sleep(_SETTLING)
        say(f"{len(site.there())} runners are there, with {slots(site)} slots offered")
        yield site


async def everybody(site: Site, within: float, say: Callable[[str], None]) -> None:
    """Wait until all that are expected are there. Raises :class:`NotThere`."""
    assert site.coming is not None
    expected = site.coming.expected

    async def progress() -> None:
        while True:
            await trio.sleep(_EVERY)
            say(f"waiting for runners: {len(site.there())} of {expected}")

    with trio.move_on_after(within):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(progress)
            await site.broker.wait_for_runner(count=expected)
            nursery.cancel_scope.cancel()
        return
    there = len(site.there())
    tried = site.broker.counters.connects
    why = (
        "none has connected: look at their N8N_RUNNERS_TASK_BROKER_URI, at their token, and at what is between"
        if not tried
        else f"{tried} connections have been made; the runners' logs say what became of the others"
    )
    raise NotThere(f"{there} of {expected} runners came within {within:g} s (--expect-within): {why}")


def slots(site: Site) -> int:
    """How many slots the runners offer, or use, at this moment."""
    return sum(view.offers + view.tasks for view in site.there())


def _address(config: BrokerConfig, port: int) -> str:
    """Where others find this machine: by its name, when it listens on every address."""
    host = socket.gethostname() if config.host in ("0.0.0.0", "::", "") else config.host
    return f"{'https' if config.tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
