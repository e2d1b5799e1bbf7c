"""Real servers on loopback: Debian's PostgreSQL, Redis and nginx where they are installed, and small ones of ours."""

# ruff: noqa: ASYNC220, ASYNC221, ASYNC230, ASYNC240 (a test may block while it starts a server)
from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trustme

from tests.limits import fail_after, within

HOST = "127.0.0.1"


async def free_port() -> int:
    """A port that was free a moment ago."""
    (listener,) = await trio.open_tcp_listeners(0, host=HOST)
    async with listener:
        return int(listener.socket.getsockname()[1])


@asynccontextmanager
async def program(port: int, *command: str, cwd: Path, user: str | None = None) -> AsyncIterator[None]:
    """Run a server until it listens; end it afterwards."""
    with open(cwd / "server.log", "wb") as log:
        process = subprocess.Popen(
            command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=log, user=user, env={"LC_ALL": "C"}
        )
        try:
            with fail_after(60):
                while True:
                    with contextlib.suppress(OSError):
                        await (await trio.open_tcp_stream(HOST, port)).aclose()
                        break
                    assert process.poll() is None, (cwd / "server.log").read_text()
                    await trio.sleep(0.02)
            yield
        finally:
            process.terminate()
            try:
                process.wait(within(20))
            except subprocess.TimeoutExpired:  # MariaDB, told to end amid its start, may never do it
                process.kill()
                process.wait()


@asynccontextmanager
async def redis(folder: Path) -> AsyncIterator[int]:
    """A private Redis; its port."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        pytest.skip("redis-server is not installed")
    port = await free_port()
    async with program(port, found, "--port", str(port), "--bind", HOST, "--save", "", cwd=folder):
        yield port


@asynccontextmanager
async def postgres(folder: Path) -> AsyncIterator[int]:
    """A private PostgreSQL with a database ``test`` that ``test`` may use; its port."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("PostgreSQL is not installed")
    user = None
    if os.geteuid() == 0:
        user = next((name for name in ("postgres", "nobody") if _exists(name)), None)
        if user is None:
            pytest.skip("PostgreSQL refuses to run as root")
        shutil.chown(folder, user)
    port, data = await free_port(), str(folder / "data")
    subprocess.run(
        [found[-1], "-D", data, "-U", "test", "-A", "trust", "--no-sync"],
        user=user, check=True, capture_output=True, cwd=folder,
    )  # fmt: skip
    server = str(found[-1].with_name("postgres"))
    options = ("-c", f"port={port}", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off")
    async with program(port, server, "-D", data, *options, cwd=folder, user=user):
        ready = [str(found[-1].with_name("pg_isready")), "-q", "-h", HOST, "-p", str(port)]
        with fail_after(30):
            while subprocess.run(ready, check=False).returncode:
                await trio.sleep(0.05)
        yield port


@asynccontextmanager
async def mariadb(folder: Path) -> AsyncIterator[int]:
    """A private MariaDB with a database ``test``, and a user ``test`` whose password is ``secret``; its port."""
    server, installer = shutil.which("mariadbd") or "/usr/sbin/mariadbd", shutil.which("mariadb-install-db")
    if installer is None or not Path(server).exists():
        pytest.skip("mariadb-server is not installed")
    user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    data, first = folder / "data", folder / "first.sql"
    data.mkdir()
    first.write_text(
        "create database if not exists test;\ncreate user test identified by 'secret';\ngrant all on test.* to test;\n"
    )
    folder.chmod(0o755)
    if os.geteuid() == 0:
        for path in (folder, data):
            shutil.chown(path, user)
    port, options = await free_port(), ("--no-defaults", f"--datadir={data}", f"--user={user}")
    subprocess.run(
        [installer, *options, "--skip-test-db", "--auth-root-authentication-method=normal"],
        check=True, capture_output=True, cwd=folder,
    )  # fmt: skip
    where = (f"--port={port}", f"--bind-address={HOST}", f"--socket={folder}/socket", f"--pid-file={folder}/pid")
    async with program(port, server, *options, *where, f"--init-file={first}", "--skip-name-resolve", cwd=folder):
        yield port


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


@asynccontextmanager
async def nginx(folder: Path) -> AsyncIterator[tuple[int, str]]:
    """A private nginx that speaks TLS as ``server.test``: its port, and the file of its authority. ``/away`` redirects
    to what nobody may connect to."""
    found = shutil.which("nginx") or ("/usr/sbin/nginx" if Path("/usr/sbin/nginx").exists() else None)
    if found is None:
        pytest.skip("nginx is not installed")
    authority = trustme.CA()
    leaf = authority.issue_cert("server.test")
    leaf.cert_chain_pems[0].write_to_path(folder / "chain.pem")
    leaf.private_key_pem.write_to_path(folder / "key.pem")
    authority.cert_pem.write_to_path(folder / "authority.pem")
    (folder / "www").mkdir()
    (folder / "www/page").write_text("hello over TLS")
    port = await free_port()
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;\n"
        f"fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
        f"server {{ listen {HOST}:{port} ssl; ssl_certificate {folder}/chain.pem;\n"
        f"ssl_certificate_key {folder}/key.pem; root {folder}/www;\n"
        "location /away { return 302 http://169.254.169.254/latest/meta-data/; } } }\n"
    )
    async with program(port, found, "-c", str(folder / "nginx.conf"), "-p", str(folder), cwd=folder):
        yield port, str(folder / "authority.pem")


async def http(stream: trio.SocketStream) -> None:
    """Answer each request of a connection: what was asked for."""
    async for method, path, _, _ in _requests(stream):
        if method == "GET":
            await _respond(stream, 200, f"asked for {path}".encode())


async def _requests(stream: trio.SocketStream) -> AsyncIterator[tuple[str, str, dict[str, str], bytes]]:
    """Method, path, headers and body of each request."""
    async with stream:
        pending = bytearray()

        async def until(count: int, mark: bytes = b"") -> None:
            while (mark not in pending) if mark else len(pending) < count:
                if not (data := await stream.receive_some()):
                    raise EOFError
                pending.extend(data)

        with contextlib.suppress(trio.BrokenResourceError, EOFError):
            while True:
                await until(0, b"\r\n\r\n")
                head, _, rest = bytes(pending).partition(b"\r\n\r\n")
                pending[:] = rest
                first, *lines = head.decode("latin-1").split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                if headers.get("expect") == "100-continue":
                    await stream.send_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                size = int(headers.get("content-length", 0))
                await until(size)
                body = bytes(pending[:size])
                del pending[:size]
                method, path, _ = first.split(" ")
                yield method, path, headers, body


async def _respond(stream: trio.SocketStream, status: int, body: bytes = b"", headers: str = "") -> None:
    head = f"HTTP/1.1 {status} x\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
    await stream.send_all(head.encode() + body)


class S3:
    """Buckets and objects in memory, for requests that are signed."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    async def __call__(self, stream: trio.SocketStream) -> None:
        """Serve one connection."""
        async for method, target, headers, body in _requests(stream):
            path, _, query = target.partition("?")
            tag = f'etag: "{hashlib.md5(self.objects.get(path, body), usedforsecurity=False).hexdigest()}"\r\n'
            if "AWS4-HMAC-SHA256" not in headers.get("authorization", ""):
                await _respond(stream, 403)
            elif method == "PUT":
                self.objects[path] = body
                await _respond(stream, 200, headers=tag)
            elif method == "DELETE":
                self.objects.pop(path, None)
                await _respond(stream, 204)
            elif "list-type=2" in query:
                keys = sorted(each[len(path) + 1 :] for each in self.objects if each.startswith(f"{path}/"))
                found = "".join(f"<Contents><Key>{key}</Key></Contents>" for key in keys)
                await _respond(stream, 200, f"<ListBucketResult>{found}</ListBucketResult>".encode())
            elif path in self.objects:
                await _respond(stream, 200, self.objects[path], tag)
            else:
                await _respond(stream, 404, b"<Error><Code>NoSuchKey</Code></Error>")


@asynccontextmanager
async def ssh() -> AsyncIterator[int]:
    """A server of paramiko's that lets ``test`` in with the password ``right``; its port."""
    import paramiko

    key = await trio.to_thread.run_sync(paramiko.RSAKey.generate, 2048)

    class Door(paramiko.ServerInterface):
        def check_auth_password(self, username: str, password: str) -> int:
            return paramiko.AUTH_SUCCESSFUL if (username, password) == ("test", "right") else paramiko.AUTH_FAILED

    transports: list[paramiko.Transport] = []

    async def serve(nursery_socket: trio.socket.SocketType) -> None:
        while True:
            one, _ = await nursery_socket.accept()
            plain = one._sock.dup()
            one.close()
            plain.setblocking(True)
            transports.append(paramiko.Transport(plain))
            transports[-1].add_server_key(key)
            transports[-1].start_server(event=threading.Event(), server=Door())

    (listener,) = await trio.open_tcp_listeners(0, host=HOST)
    async with listener, trio.open_nursery() as nursery:
        nursery.start_soon(serve, listener.socket)
        try:
            yield int(listener.socket.getsockname()[1])
        finally:
            nursery.cancel_scope.cancel()
            for transport in transports:
                await trio.to_thread.run_sync(transport.close)


async def smtp(stream: trio.SocketStream) -> None:
    """A sink for one message: the last line says how long it was."""
    async with stream:
        await stream.send_all(b"220 server.test\r\n")
        pending, message = b"", False
        with contextlib.suppress(trio.BrokenResourceError):
            async for data in stream:
                pending += data
                while (end := b"\r\n.\r\n" if message else b"\r\n") in pending:
                    line, _, pending = pending.partition(end)
                    if message:
                        message = False
                        await stream.send_all(b"250 took %d bytes\r\n" % len(line))
                    elif line.upper().startswith(b"DATA"):
                        message = True
                        await stream.send_all(b"354 go on\r\n")
                    elif line.upper().startswith(b"QUIT"):
                        await stream.send_all(b"221 bye\r\n")
                        return
                    else:
                        await stream.send_all(b"250 ok\r\n")


async def imap(stream: trio.SocketStream) -> None:
    """A mailbox with three messages."""
    answers = {b"CAPABILITY": b"* CAPABILITY IMAP4rev1", b"SELECT": b"* 3 EXISTS", b"LOGOUT": b"* BYE bye"}
    async with stream:
        await stream.send_all(b"* OK server.test\r\n")
        pending = b""
        with contextlib.suppress(trio.BrokenResourceError):
            async for data in stream:
                pending += data
                while b"\r\n" in pending:
                    line, _, pending = pending.partition(b"\r\n")
                    tag, _, words = line.partition(b" ")
                    if (first := answers.get(words.split(b" ")[0].upper())) is not None:
                        await stream.send_all(first + b"\r\n")
                    await stream.send_all(tag + b" OK done\r\n")
