"""A private PostgreSQL and a private Redis on loopback, in a folder of their own (stdlib only)."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import Self

from harness import HOST, limit, wait_for
from processes import Child

#: Where Debian, Fedora and others put the server's programs, which are not on PATH.
_POSTGRES_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/libexec/postgresql*", "/opt/homebrew/bin")
DATABASE = "n8n"


class Missing(Exception):
    """A program isn't installed. The text says how to get it."""


def postgres_bin() -> Path:
    """The folder with initdb and postgres; the newest version's where there are several.

    Raises:
        Missing: there is none.
    """
    found = [Path(path).parent for path in [shutil.which("initdb")] if path]
    for pattern in _POSTGRES_PLACES:
        found += [path for path in Path("/").glob(pattern[1:]) if (path / "initdb").is_file()]
    if not found:
        raise Missing(
            "PostgreSQL's programs (initdb, postgres) are missing: apt-get install postgresql. "
            "No service of it needs to run; a private one is started."
        )
    return max(found, key=lambda path: [int(number) for number in re.findall(r"\d+", str(path))])


def redis_program() -> str:
    """The path of redis-server. Raises Missing."""
    for name in ("redis-server", "valkey-server"):
        if path := shutil.which(name):
            return path
    raise Missing(
        "redis-server is missing: apt-get install redis-server. "
        "No service of it needs to run; a private one is started."
    )


def _unprivileged() -> str | None:
    """Whom PostgreSQL runs as, since it refuses root; None: ourselves.

    Raises:
        Missing: we are root, and there is nobody else.
    """
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise Missing("PostgreSQL refuses to run as root, and there is no user 'postgres' or 'nobody': useradd postgres")


def _version(program: str | Path) -> str:
    text = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"\d+(\.\d+)+", text)
    return match[0] if match else text.strip()


class Postgres(Child):
    """A database server with an empty database."""

    def __init__(self, folder: Path, port: int) -> None:
        """`folder` is made; `port` on loopback. Raises Missing."""
        super().__init__("PostgreSQL", folder / "log")
        self.programs = postgres_bin()
        self.user = _unprivileged()
        self.folder, self.port = folder, port
        self.version = _version(self.programs / "postgres")

    def start(self) -> Self:
        """Make the cluster and start its server. Raises RuntimeError, Timeout."""
        self.folder.mkdir()
        data = self.folder / "data"
        if self.user:
            shutil.chown(self.folder, self.user)
        environ = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "HOME": str(self.folder)}
        self._run("initdb", environ, "-D", str(data), "-U", DATABASE, "-A", "trust", "-E", "UTF8", "--no-sync")
        settings = {
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "max_connections": "100",
            "fsync": "off",  # the data is thrown away in the end
            "synchronous_commit": "off",
            "full_page_writes": "off",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self.launch([str(self.programs / "postgres"), "-D", str(data), *options], environ, self.folder, self.user)
        wait_for("PostgreSQL listens", self._listens, 60)
        self._run("createdb", environ, "-h", HOST, "-p", str(self.port), "-U", DATABASE, DATABASE)
        return self

    def _listens(self) -> bool:
        if not self.alive():
            raise RuntimeError(f"PostgreSQL ended:\n{self.log_tail()}")
        # It listens before it takes connections: "the database system is starting up"
        program = str(self.programs / "pg_isready")
        asked = [program, "-q", "-h", HOST, "-p", str(self.port), "-U", DATABASE, "-d", "postgres"]
        return subprocess.run(asked, check=False).returncode == 0

    def _run(self, program: str, environ: dict[str, str], *options: str) -> None:
        done = subprocess.run(
            [str(self.programs / program), *options],
            env=environ,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=limit(120),
            check=False,
            **({"user": self.user, "group": self.user, "extra_groups": []} if self.user else {}),
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stdout}{done.stderr}")

    def stop(self) -> None:
        """End it at once: SIGINT breaks the connections that are left."""
        self.end(20, signal.SIGINT)

    def environment(self) -> dict[str, str]:
        """n8n's variables for it."""
        return {
            "DB_TYPE": "postgresdb",
            "DB_POSTGRESDB_HOST": HOST,
            "DB_POSTGRESDB_PORT": str(self.port),
            "DB_POSTGRESDB_DATABASE": DATABASE,
            "DB_POSTGRESDB_USER": DATABASE,
            "DB_POSTGRESDB_PASSWORD": DATABASE,
            "DB_POSTGRESDB_POOL_SIZE": "8",
        }


class Redis(Child):
    """A server of queues that keeps nothing on disk."""

    def __init__(self, folder: Path, port: int) -> None:
        """`folder` is made; `port` on loopback. Raises Missing."""
        super().__init__("Redis", folder / "log")
        self.program = redis_program()
        self.folder, self.port = folder, port
        self.version = _version(self.program)

    def start(self) -> Self:
        """Start it. Raises RuntimeError, Timeout."""
        self.folder.mkdir()
        options = ["--bind", HOST, "--port", str(self.port), "--save", "", "--appendonly", "no", "--daemonize", "no"]
        self.launch([self.program, *options], {"PATH": os.environ.get("PATH", "")}, self.folder)
        wait_for("Redis listens", self._listens, 20)
        return self

    def _listens(self) -> bool:
        if not self.alive():
            raise RuntimeError(f"Redis ended:\n{self.log_tail()}")
        with socket.create_connection((HOST, self.port), timeout=5) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")

    def stop(self) -> None:
        """End it."""
        self.end(10)

    def environment(self) -> dict[str, str]:
        """n8n's variables for it, with killed workers noticed in seconds instead of a minute."""
        return {
            "EXECUTIONS_MODE": "queue",
            "QUEUE_BULL_REDIS_HOST": HOST,
            "QUEUE_BULL_REDIS_PORT": str(self.port),
            "QUEUE_WORKER_LOCK_DURATION": str(round(limit(20_000))),
            "QUEUE_WORKER_LOCK_RENEW_TIME": "4000",
            "QUEUE_WORKER_STALLED_INTERVAL": "5000",
            # With n8n's default of none, an execution that ends before the main n8n has begun to wait for it is never
            # noticed, and the webhook's caller waits in vain: docs/operating.md
            "N8N_EXECUTIONS_QUEUE_KEEP_LAST_COMPLETED": "1000",
        }


def service_versions() -> dict[str, str]:
    """The versions of queue mode's services. Raises Missing."""
    return {"PostgreSQL": _version(postgres_bin() / "postgres"), "Redis": _version(redis_program())}
