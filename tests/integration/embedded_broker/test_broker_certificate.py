"""The embedded broker behind TLS: runners elsewhere connect as they do to n8n. Certificates are made here."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
import trio
import trustme

from reptarium.pool.brokers.grant import fetch_grant
from reptarium.pool.brokers.stream import broker_tls
from reptarium.pool.embedded_broker import BrokerConfig, open_broker
from reptarium.pool.embedded_broker.tls import server_tls
from reptarium.pool.runner import Runner
from tests.conftest import make_settings
from tests.limits import fail_after

pytestmark = pytest.mark.usefixtures("nothing_left")
TOKEN = "hush-hush"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with ca.pem, cert.pem and key.pem, and other.pem, which is another's key."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    made, other = authority.issue_cert("127.0.0.1"), authority.issue_cert("127.0.0.1")
    made.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    made.private_key_pem.write_to_path(tmp_path / "key.pem")
    other.private_key_pem.write_to_path(tmp_path / "other.pem")
    return tmp_path


async def test_a_runner_serves_it_over_tls(files: Path) -> None:
    """Grant, WebSocket, a task with a large result, and the end in order, all through the broker's own TLS."""
    config = BrokerConfig(auth_token=TOKEN, tls=server_tls(files / "cert.pem", files / "key.pem"))
    with fail_after(60):
        async with open_broker(config) as broker, trio.open_nursery() as nursery:
            assert broker.uri.startswith("https://127.0.0.1:")
            settings = make_settings(
                broker_uris=(broker.uri,), auth_token=TOKEN, broker_ca=str(files / "ca.pem"), health_enabled=False
            )
            runner = Runner(settings)
            nursery.start_soon(runner.run)
            await broker.wait_for_runner()
            handle = broker.submit({"code": "return [{'x': 'a' * 600_000}]", "items": []})
            outcome = await handle.outcome()
            assert len(outcome.result()[0]["x"]) == 600_000
            runner.shutdown()


async def test_who_speaks_no_tls_costs_a_connection(files: Path) -> None:
    """Plain HTTP on its port is answered with the end of the connection, and the next one is served."""
    config = BrokerConfig(auth_token=TOKEN, tls=server_tls(files / "cert.pem", files / "key.pem"))
    settings = make_settings(broker_uris=("https://x",), broker_ca=str(files / "ca.pem"))
    with fail_after(20):
        async with open_broker(config) as broker:
            async with await trio.open_tcp_stream("127.0.0.1", broker.port) as plain:
                await plain.send_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                with suppress(trio.BrokenResourceError):
                    while data := await plain.receive_some():
                        assert not data.startswith(b"HTTP/")
            assert await fetch_grant(broker.uri, "/runners", TOKEN, broker_tls(settings))


@pytest.mark.parametrize(
    ("certificate", "key", "said"),
    [
        ("none.pem", "key.pem", "none.pem: No such file or directory"),
        ("cert.pem", "other.pem", "other.pem is not the key of"),
        ("key.pem", "key.pem", "expected a certificate and its key without a password, both in PEM"),
    ],
)
def test_what_is_no_certificate_is_named(certificate: str, key: str, said: str, files: Path) -> None:
    """Before anything listens."""
    with pytest.raises(ValueError, match=said):
        server_tls(files / certificate, files / key)
