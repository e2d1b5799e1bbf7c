"""The HTTP endpoint, over real sockets: loopback only, ports chosen by the system, every test bounded."""

from __future__ import annotations

import json
import os
import socket
from urllib.parse import urlsplit

import pytest
import trio

from reptarium.pool.config import load_settings
from reptarium.pool.ops.endpoint import EndpointError, ReadinessCheck, serve_endpoint
from reptarium.pool.ops.metrics import Metrics
from tests.integration.ops.plain_http import get
from tests.integration.ops.served import Health, endpoint
from tests.limits import fail_after


@pytest.mark.parametrize("path", ["/", "/healthz"])
async def test_alive(path: str) -> None:
    """The launcher's path and Kubernetes' both answer 200, whatever readiness says."""
    with fail_after(10):
        async with endpoint(Health(ReadinessCheck("broker", False)), Metrics()) as url:
            status, headers, body = await get(url, path)
    assert (status, body) == (200, b"OK")
    assert "server" not in headers


async def test_alive_tells_of_missing_isolation() -> None:
    """A runner that started without a layer (best-effort) is alive, and says what it lacks."""
    with fail_after(10):
        async with endpoint(Health(ReadinessCheck("isolation", True, "landlock missing: ENOSYS")), Metrics()) as url:
            status, _, body = await get(url, "/healthz")
    assert (status, body) == (200, b"OK\nisolation: landlock missing: ENOSYS")


async def test_ready() -> None:
    """With every check fulfilled readiness is 200."""
    with fail_after(10):
        async with endpoint(
            Health(ReadinessCheck("broker", True), ReadinessCheck("workers", True, "5 parked")), Metrics()
        ) as url:
            status, headers, body = await get(url, "/readyz")
    assert status == 200
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == {
        "status": "ready",
        "missing": [],
        "checks": {"broker": {"ok": True, "detail": ""}, "workers": {"ok": True, "detail": "5 parked"}},
    }


async def test_not_ready_says_what_is_missing() -> None:
    """503 lists the checks that fail, and follows when they change."""
    health = Health(
        ReadinessCheck("broker", False, "http://n8n:5679 refuses connections"), ReadinessCheck("workers", True)
    )
    with fail_after(10):
        async with endpoint(health, Metrics()) as url:
            status, _, body = await get(url, "/readyz")
            health.found = (ReadinessCheck("broker", True),)
            later, _, _ = await get(url, "/readyz")
    assert status == 503
    assert json.loads(body)["missing"] == ["broker: http://n8n:5679 refuses connections"]
    assert later == 200


async def test_metrics() -> None:
    """/metrics has Prometheus' content type and the current values."""
    metrics = Metrics()
    metrics.offers("sent", 3)
    with fail_after(10):
        async with endpoint(Health(), metrics) as url:
            status, headers, body = await get(url, "/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b'reptarium_offers_total{event="sent"} 3.0' in body


async def test_other_requests_are_refused() -> None:
    """Unknown paths are 404, other methods 405."""
    with fail_after(10):
        async with endpoint(Health(), Metrics()) as url:
            assert (await get(url, "/admin"))[0] == 404
            assert (await get(url, "/healthz", "POST"))[0] == 405
            assert (await get(url, "/healthz", "HEAD"))[0] == 200


async def test_answers_beside_many_silent_connections() -> None:
    """Clients that connect and say nothing don't keep probes from being answered."""
    with fail_after(20):
        async with endpoint(Health(), Metrics()) as url:
            port = urlsplit(url).port
            assert port is not None
            silent = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(50)]
            assert (await get(url, "/healthz"))[0] == 200
            for stream in silent:
                await stream.aclose()


async def test_occupied_port_is_a_clear_error() -> None:
    """An address in use names address, reason and setting."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = load_settings({"N8N_RUNNERS_HEALTH_CHECK_SERVER_PORT": str(port)})
        with fail_after(10), pytest.raises(EndpointError) as caught:
            await serve_endpoint(settings, Health(), Metrics())
    assert f"127.0.0.1 port {port}: Address already in use" in str(caught.value)
    assert "N8N_RUNNERS_HEALTH_CHECK_SERVER_PORT" in str(caught.value)


async def test_foreign_address_is_a_clear_error() -> None:
    """An address that isn't this machine's points at the host setting."""
    settings = load_settings({"N8N_RUNNERS_HEALTH_CHECK_SERVER_HOST": "192.0.2.1"})
    with fail_after(10), pytest.raises(EndpointError, match="N8N_RUNNERS_HEALTH_CHECK_SERVER_HOST"):
        await serve_endpoint(settings, Health(), Metrics())


async def test_listener_is_not_inherited_and_closes() -> None:
    """Child processes don't get the listening socket, and cancelling closes it."""
    with fail_after(10):
        before = _listening()
        async with endpoint(Health(), Metrics()) as url:
            (number,) = _listening() - before
            assert not os.get_inheritable(number)
            await get(url, "/healthz")
        assert _listening() == before


async def test_ipv6() -> None:
    """An IPv6 address works with and without brackets."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 loopback on this machine")
    with fail_after(10):
        for host in ("::1", "[::1]"):
            async with endpoint(Health(), Metrics(), host) as url:
                assert (await get(url, "/healthz"))[0] == 200


async def test_both_families_on_the_unspecified_ipv6_address() -> None:
    """`::` stands for every address of the machine, IPv4's too, where the system allows it."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("no socket for both families on this machine")
    with fail_after(10):
        for host in ("::", "[::]", "0:0:0:0:0:0:0:0"):
            async with endpoint(Health(), Metrics(), host) as url:
                assert url.startswith("http://[::]:")
                port = urlsplit(url).port
                for address in ("127.0.0.1", "[::1]"):
                    assert (await get(f"http://{address}:{port}", "/healthz"))[0] == 200


async def test_one_ipv6_address_is_that_one() -> None:
    """`::1` isn't answered for on IPv4."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("no socket for both families on this machine")
    with fail_after(10):
        async with endpoint(Health(), Metrics(), "::1") as url:
            with pytest.raises(OSError, match="all attempts to connect"):
                await get(f"http://127.0.0.1:{urlsplit(url).port}", "/healthz")


def _listening() -> set[int]:
    """Descriptors of this process that are listening sockets."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            with socket.socket(fileno=os.dup(int(name))) as duplicate:
                if duplicate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    found.add(int(name))
        except OSError:
            continue
    return found
