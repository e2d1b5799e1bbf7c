"""Brokers behind TLS: whom to trust is a setting. The authority is made here, with certificates for this machine."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
import trio
import trustme

from reptarium.pool.brokers.errors import LinkError
from reptarium.pool.brokers.grant import fetch_grant
from reptarium.pool.brokers.stream import broker_tls
from reptarium.pool.config import ConfigError, load_settings
from reptarium.pool.embedded_broker import Broker, BrokerConfig, open_broker
from reptarium.pool.runner import Runner
from tests.conftest import make_settings
from tests.limits import fail_after

pytestmark = pytest.mark.usefixtures("nothing_left")
TOKEN = "hush-hush"


@asynccontextmanager
async def behind_tls(broker: Broker, certificate: trustme.LeafCert) -> AsyncIterator[str]:
    """The port of a door with TLS before a broker's own."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    inside = urlsplit(broker.uri)
    assert inside.hostname is not None
    assert inside.port is not None

    async def pass_on(source: trio.abc.Stream, target: trio.abc.Stream, scope: trio.CancelScope) -> None:
        try:
            while data := await source.receive_some():
                await target.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        scope.cancel()

    async def serve(outer: trio.SSLStream[trio.SocketStream]) -> None:
        try:
            await outer.do_handshake()
        except trio.BrokenResourceError:
            return  # it doesn't trust us
        async with await trio.open_tcp_stream(inside.hostname or "", inside.port or 0) as inner:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pass_on, outer, inner, nursery.cancel_scope)
                nursery.start_soon(pass_on, inner, outer, nursery.cancel_scope)
        await trio.aclose_forcefully(outer)

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(
            partial(trio.serve_ssl_over_tcp, serve, 0, context, host="127.0.0.1", https_compatible=True)
        )
        yield str(listener.transport_listener.socket.getsockname()[1])
        nursery.cancel_scope.cancel()


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    """A private authority, its certificate in ca.pem."""
    made = trustme.CA()
    made.cert_pem.write_to_path(tmp_path / "ca.pem")
    return made


async def test_tasks_over_tls_with_a_private_authority(authority: trustme.CA, tmp_path: Path) -> None:
    """Grant and WebSocket both trust the file's authority: a runner beside such a broker serves tasks."""
    with fail_after(60):
        async with (
            open_broker(BrokerConfig(auth_token=TOKEN)) as broker,
            behind_tls(broker, authority.issue_cert("127.0.0.1")) as port,
            trio.open_nursery() as nursery,
        ):
            settings = make_settings(
                broker_uris=(f"https://127.0.0.1:{port}",), broker_ca=str(tmp_path / "ca.pem"), auth_token=TOKEN
            )
            runner = Runner(settings)
            nursery.start_soon(runner.run)
            await broker.wait_for_runner()
            assert (await broker.submit({"code": "return 1", "items": []}).outcome()).status == "done"
            runner.shutdown()


async def test_untrusted_certificate(authority: trustme.CA, tmp_path: Path) -> None:
    """Neither the system's authorities nor another one will do; where one is missing, the setting is named."""
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    with fail_after(30):
        async with (
            open_broker(BrokerConfig(auth_token=TOKEN)) as broker,
            behind_tls(broker, authority.issue_cert("127.0.0.1")) as port,
        ):
            for ca in (None, str(tmp_path / "other.pem")):
                settings = make_settings(broker_uris=(f"https://127.0.0.1:{port}",), broker_ca=ca)
                with pytest.raises(LinkError, match=r"certificate is not trusted.*REPTARIUM_BROKER_CA"):
                    await fetch_grant(settings.broker_uris[0], "/runners", TOKEN, broker_tls(settings))


async def test_certificate_of_another_host(authority: trustme.CA, tmp_path: Path) -> None:
    """A trusted authority's certificate for another name is refused, and no authority is asked for."""
    with fail_after(30):
        async with (
            open_broker(BrokerConfig(auth_token=TOKEN)) as broker,
            behind_tls(broker, authority.issue_cert("elsewhere.test")) as port,
        ):
            settings = make_settings(broker_ca=str(tmp_path / "ca.pem"))
            with pytest.raises(LinkError, match=r"certificate is not trusted: .*mismatch") as caught:
                await fetch_grant(f"https://127.0.0.1:{port}", "/runners", TOKEN, broker_tls(settings))
            assert "REPTARIUM_BROKER_CA" not in str(caught.value)


async def test_no_tls_where_some_is_expected() -> None:
    """A broker without TLS at an https address is no connection, and says why."""

    async def answer(stream: trio.SocketStream) -> None:  # as Node's server does
        async with stream:
            await stream.receive_some()
            await stream.send_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

    with fail_after(30):
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(partial(trio.serve_tcp, answer, 0, host="127.0.0.1"))
            uri = f"https://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
            with pytest.raises(LinkError, match=f"^{uri}: no TLS with it"):
                await fetch_grant(uri, "/runners", TOKEN)
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("missing.pem", None, "no such file"),
        ("empty.pem", b"", "no certificate in it"),
        ("text.pem", b"not a certificate", "no certificate in it"),
        ("key.pem", "key", "no certificate in it"),
        ("cut.pem", "cut", "no certificate in it"),
        ("", None, "not a file"),
        ("/dev/zero", None, "not a file"),
    ],
)
def test_wrong_file_ends_the_start(
    name: str, content: bytes | str | None, problem: str, tmp_path: Path, authority: trustme.CA
) -> None:
    """The error names setting, file and what is wrong with it, even where no broker has TLS."""
    path = tmp_path / name
    if content == "key":
        content = authority.private_key_pem.bytes()
    elif content == "cut":
        content = authority.cert_pem.bytes()[:200]
    if isinstance(content, bytes):
        path.write_bytes(content)
    settings = load_settings({"REPTARIUM_BROKER_CA": str(path), "N8N_RUNNERS_AUTH_TOKEN": "x"})
    with pytest.raises(ConfigError) as caught:
        Runner(settings)
    assert str(caught.value) == (
        f"REPTARIUM_BROKER_CA={str(path)!r}: {problem}; expected a file of certificates in PEM"
    )


def test_system_authorities_are_loaded_where_they_are_needed() -> None:
    """Once for a runner with an https broker, not at all for one without."""
    plain = make_settings()
    assert broker_tls(plain) is None
    secure = msgspec.structs.replace(plain, broker_uris=("http://a:1", "https://b:1"))
    context = broker_tls(secure)
    assert context is not None
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
