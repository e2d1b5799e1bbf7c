"""Ordinary network libraries work unchanged: one worker each, against real servers, by name.

A library or a server that isn't installed is skipped by its name.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio_websocket

from reptarium.pool.powers.certificates import certificates
from reptarium.sandbox.kernel import notify
from tests.limits import fail_after
from tests.powers import servers
from tests.powers.rig import LIMITS, Rig, rig

pytestmark = [
    pytest.mark.skipif(notify.problem() != "", reason="this machine hands over no connections"),
    pytest.mark.slow,
]

BOUND = 120
MANY = "values = list(pool.map(one, range(50)))"

HTTP: dict[str, tuple[str, str, Any]] = {
    "requests": ("requests", "result = requests.get(f'http://server.test:{port}/x', timeout=10).text", "asked for /x"),
    "requests in a session": (
        "requests",
        "s = requests.Session()\nresult = [s.get(f'http://server.test:{port}/{n}', timeout=(5, 10)).text for n in range(3)]",
        ["asked for /0", "asked for /1", "asked for /2"],
    ),
    "requests in fifty threads": (
        "requests",
        "from concurrent.futures import ThreadPoolExecutor\n"
        # not .text, for which chardet would load its models in each thread: more memory than a task has
        "one = lambda n: requests.get(f'http://server.test:{port}/{n}', timeout=20).content.decode()\n"
        f"with ThreadPoolExecutor(50) as pool: {MANY}\n"
        "result = values == [f'asked for /{n}' for n in range(50)]",
        True,
    ),
    "httpx": ("httpx", "result = httpx.get(f'http://server.test:{port}/x').text", "asked for /x"),
    "httpx, async": (
        "httpx",
        "import asyncio\n"
        "async def main():\n"
        "    async with httpx.AsyncClient() as client:\n"
        "        got = await asyncio.gather(*(client.get(f'http://server.test:{port}/{n}', timeout=20) for n in range(20)))\n"
        "    return [each.text for each in got] == [f'asked for /{n}' for n in range(20)]\n"
        "result = asyncio.run(main())",
        True,
    ),
    "aiohttp": (
        "aiohttp",
        "import asyncio\n"
        "async def main():\n"
        "    async with aiohttp.ClientSession() as session:\n"
        "        async with session.get(f'http://server.test:{port}/x') as answer: return await answer.text()\n"
        "result = asyncio.run(main())",
        "asked for /x",
    ),
    "urllib3": (
        "urllib3",
        "result = urllib3.PoolManager().request('GET', f'http://server.test:{port}/x').data.decode()",
        "asked for /x",
    ),
    "urllib.request": (
        "urllib.request",
        "result = urllib.request.urlopen(f'http://server.test:{port}/x', timeout=10).read().decode()",
        "asked for /x",
    ),
    "urllib3 in a pool, with limits of time": (
        "urllib3",
        "pool = urllib3.PoolManager(maxsize=4, timeout=urllib3.Timeout(connect=5, read=10), retries=2)\n"
        "result = [pool.request('GET', f'http://server.test:{port}/{n}').data.decode() for n in range(3)]",
        ["asked for /0", "asked for /1", "asked for /2"],
    ),
    "aiohttp, many at once": (
        "aiohttp",
        "import asyncio\n"
        "async def main():\n"
        "    async with aiohttp.ClientSession() as session:\n"
        "        async def one(n):\n"
        "            async with session.get(f'http://server.test:{port}/{n}') as answer: return await answer.text()\n"
        "        return await asyncio.gather(*map(one, range(50)))\n"
        "result = asyncio.run(main()) == [f'asked for /{n}' for n in range(50)]",
        True,
    ),
    "requests that time out": (
        "requests",
        "try: requests.post(f'http://server.test:{port}/x', data=b'never answered', timeout=(5, 0.2))\n"
        "except requests.Timeout as error: result = type(error).__name__",
        "ReadTimeout",
    ),
}  # fmt: skip

S3 = {
    "boto3": (
        "boto3",
        "s3 = boto3.client('s3', endpoint_url=f'http://server.test:{port}', region_name='x', aws_access_key_id='a',\n"
        "                  aws_secret_access_key='b', config=botocore.config.Config(s3={'addressing_style': 'path'}))\n"
        "s3.create_bucket(Bucket='one')\n"
        "for n in range(3): s3.put_object(Bucket='one', Key=f'k{n}', Body=b'x' * n)\n"
        "s3.delete_object(Bucket='one', Key='k0')\n"
        "try: s3.get_object(Bucket='one', Key='k0')\nexcept s3.exceptions.NoSuchKey: gone = True\n"
        "result = [[each['Key'] for each in s3.list_objects_v2(Bucket='one')['Contents']],\n"
        "          s3.get_object(Bucket='one', Key='k2')['Body'].read().decode(), gone]",
        [["k1", "k2"], "xx", True],
    ),
}  # fmt: skip

SSH = {
    "paramiko": (
        "paramiko",
        "t = paramiko.Transport(socket.create_connection(('server.test', port), 10)); t.start_client(timeout=20)\n"
        "kind = t.get_remote_server_key().get_name(); t.auth_password('test', 'right')\n"
        "result = [kind, t.is_authenticated()]; t.close()",
        ["ssh-rsa", True],
    ),
    "paramiko's client, a wrong password": (
        "paramiko",
        "c = paramiko.SSHClient(); c.set_missing_host_key_policy(paramiko.AutoAddPolicy())\n"
        "try: c.connect('server.test', port, 'test', 'wrong', timeout=20, look_for_keys=False, allow_agent=False)\n"
        "except paramiko.AuthenticationException as error: result = type(error).__name__",
        "AuthenticationException",
    ),
}  # fmt: skip

REDIS = {
    "redis": ("redis", "r = redis.Redis('server.test', port)\nr.set('k', 'v')\nresult = r.get('k').decode()", "v"),
    "redis, with time limits": (
        "redis",
        "r = redis.Redis('server.test', port, socket_timeout=5, socket_connect_timeout=5, socket_keepalive=True)\n"
        "result = r.incr('n') > 0",
        True,
    ),
    "redis, fifty threads": (
        "redis",
        "from concurrent.futures import ThreadPoolExecutor\n"
        "r = redis.Redis('server.test', port, max_connections=50)\n"
        "one = lambda n: r.set(f'n{n}', n) and int(r.get(f'n{n}'))\n"
        f"with ThreadPoolExecutor(50) as pool: {MANY}\n"
        "result = values == list(range(50))",
        True,
    ),
    "redis, async": (
        "redis",
        "import asyncio, redis.asyncio\n"
        "async def main():\n"
        "    async with redis.asyncio.Redis(host='server.test', port=port) as r:\n"
        "        await r.set('a', '1'); return (await r.get('a')).decode()\n"
        "result = asyncio.run(main())",
        "1",
    ),
}  # fmt: skip

_SELECT = "c.execute('select 6 * 7'); result = c.fetchone()[0]"
POSTGRES = {
    "psycopg": (
        "psycopg",
        "with psycopg.connect(f'host=server.test port={port} user=test dbname=postgres connect_timeout=10') as connection:\n"
        f"    c = connection.cursor(); {_SELECT}",
        42,
    ),
    "psycopg, async": (
        "psycopg",
        "import asyncio\n"
        "async def main():\n"
        "    where = f'host=server.test port={port} user=test dbname=postgres'\n"
        "    async with await psycopg.AsyncConnection.connect(where) as connection:\n"
        "        return (await (await connection.execute('select 6 * 7')).fetchone())[0]\n"
        "result = asyncio.run(main())",
        42,
    ),
    "psycopg2": (
        "psycopg2",
        "connection = psycopg2.connect(host='server.test', port=port, user='test', dbname='postgres')\n"
        f"c = connection.cursor(); {_SELECT}",
        42,
    ),
    "psycopg, ten threads, copies and a limit of time": (
        "psycopg",
        "from concurrent.futures import ThreadPoolExecutor\n"
        "def one(n):\n"
        "    with psycopg.connect(f'host=server.test port={port} user=test dbname=postgres') as c:\n"
        "        c.execute('create temporary table t (n int)')\n"
        "        with c.cursor().copy('copy t from stdin') as copy:\n"
        "            for each in range(n): copy.write_row((each,))\n"
        "        count = c.execute('select count(*) from t').fetchone()[0]; c.commit()\n"
        "        c.execute(\"set statement_timeout = '50ms'\")\n"
        "        try: c.execute('select pg_sleep(5)')\n"
        "        except psycopg.errors.QueryCanceled: return count\n"
        "with ThreadPoolExecutor(10) as pool: result = list(pool.map(one, range(10)))",
        list(range(10)),
    ),
    "pg8000": (
        "pg8000.dbapi",
        "connection = pg8000.dbapi.connect('test', 'server.test', 'postgres', port, timeout=10)\n"
        f"c = connection.cursor(); {_SELECT}",
        42,
    ),
}  # fmt: skip

_MARIADB = "host='server.test', port=port, user='test', password='secret', database='test', connect_timeout=10"

MARIADB = {
    "PyMySQL": (
        "pymysql",
        f"connection = pymysql.connect({_MARIADB})\n"
        "with connection, connection.cursor() as c:\n"
        "    c.execute('create temporary table t (n int, word varchar(20)) character set utf8mb4')\n"
        "    c.executemany('insert into t values (%s, %s)', [(1, 'a'), (2, 'größer')]); connection.commit()\n"
        "    c.execute('select sum(n), max(word) from t'); result = [int(c.fetchone()[0]), c.rowcount]",
        [3, 1],
    ),
    "PyMySQL in threads": (
        "pymysql",
        "from concurrent.futures import ThreadPoolExecutor\n"
        "def one(n):\n"
        f"    with pymysql.connect({_MARIADB}) as connection, connection.cursor(pymysql.cursors.DictCursor) as c:\n"
        "        c.execute('select %s as n, sleep(0.01)', (n,)); return c.fetchone()['n']\n"
        "with ThreadPoolExecutor(10) as pool: result = list(pool.map(one, range(10)))",
        list(range(10)),
    ),
    "PyMySQL with a wrong password": (
        "pymysql",
        "import pymysql\n"
        f"try: pymysql.connect({_MARIADB.replace('secret', 'wrong')})\n"
        "except pymysql.err.OperationalError as error: result = error.args[0]",
        1045,
    ),
}  # fmt: skip

MAIL = {
    "smtplib": (
        "smtplib",
        "with smtplib.SMTP('server.test', port, local_hostname='task.test', timeout=10) as s:\n"
        "    s.sendmail('a@server.test', 'b@server.test', 'Subject: x\\r\\n\\r\\nhello')\n"
        "    result = s.noop()[0]",
        250,
    )
}  # fmt: skip

IMAP = {
    "imaplib": (
        "imaplib",
        "m = imaplib.IMAP4('server.test', port, timeout=10)\n"
        "m.login('a', 'b'); result = m.select()[1][0].decode(); m.logout()",
        "3",
    )
}  # fmt: skip

WEBSOCKETS = {
    "websockets": (
        "websockets.sync.client",
        "with websockets.sync.client.connect(f'ws://server.test:{port}') as ws:\n    ws.send('hello'); result = ws.recv()",
        "hello",
    ),
    "websockets, async": (
        "websockets.asyncio.client",
        "import asyncio\n"
        "async def main():\n"
        "    async with websockets.asyncio.client.connect(f'ws://server.test:{port}') as ws:\n"
        "        await ws.send('hello'); return await ws.recv()\n"
        "result = asyncio.run(main())",
        "hello",
    ),
}  # fmt: skip


def there(module: str) -> bool:
    """Whether the module is installed."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@pytest.fixture
def folder() -> Any:
    """A directory that workers, who are nobody, can get to."""
    with tempfile.TemporaryDirectory(prefix="reptarium-server-", dir="/tmp") as path:
        os.chmod(path, 0o755)
        yield Path(path)


async def use(it: Rig, table: dict[str, tuple[str, str, Any]], port: int) -> None:
    """Run every program of the table whose library is there; all of what is wrong is told at once."""
    wrong = {}
    missing = []
    for name, (module, code, wanted) in table.items():
        if not there(module):
            missing.append(module)
            continue
        program = f"import {module}{', botocore.config' * (module == 'boto3')}\n{code}"
        came = await it.run(f"import traceback\ntry:\n    {program.replace(chr(10), chr(10) + '    ')}\n"
                            "except BaseException: result = traceback.format_exc()", port=port)  # fmt: skip
        if came.result != wanted or came.refusals:
            wrong[name] = (came.result, came.seen, came.refusals)
    assert wrong == {}
    if missing:
        pytest.skip(f"not installed: {', '.join(sorted(set(missing)))}")


@asynccontextmanager
async def by_name(**isolation: Any) -> AsyncIterator[Rig]:
    with fail_after(BOUND):
        async with rig("server.test:*", "127.0.0.1:*", limits=LIMITS, **isolation) as it:
            yield it


async def test_http() -> None:
    """HTTP, blocking and asyncio, one at a time and fifty at once."""
    async with by_name() as it:
        await use(it, HTTP, await it.serve(servers.http))


@pytest.mark.parametrize(
    ("server", "table"),
    [(servers.redis, REDIS), (servers.postgres, POSTGRES), (servers.mariadb, MARIADB)],
    ids=["redis", "postgres", "mariadb"],
)
async def test_databases(
    server: Callable[[Path], AbstractAsyncContextManager[int]], table: dict[str, tuple[str, str, Any]], folder: Path
) -> None:
    """Redis and PostgreSQL: pure Python clients, and libpq, which is C."""
    async with by_name() as it, server(folder) as port:
        await use(it, table, port)


async def test_s3() -> None:
    """A store of objects: made, listed, read, removed."""
    async with by_name() as it:
        await use(it, S3, await it.serve(servers.S3()))


async def test_ssh() -> None:
    """paramiko shakes hands, and lets in and refuses by password."""
    if not there("paramiko"):
        pytest.skip("not installed: paramiko")
    async with by_name() as it, servers.ssh() as port:
        await use(it, SSH, port)


@pytest.mark.parametrize(("server", "table"), [(servers.smtp, MAIL), (servers.imap, IMAP)], ids=["smtp", "imap"])
async def test_mail(server: Any, table: dict[str, tuple[str, str, Any]]) -> None:
    """Mail is sent and read with the standard library."""
    async with by_name() as it:
        await use(it, table, await it.serve(server))


async def test_websockets() -> None:
    """A WebSocket, blocking and asyncio."""

    async def back(request: trio_websocket.WebSocketRequest) -> None:
        socket = await request.accept()
        while True:
            try:
                await socket.send_message(await socket.get_message())
            except trio_websocket.ConnectionClosed:
                return

    async with by_name() as it:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listener.socket.getsockname()[1]
        server = trio_websocket.WebSocketServer(back, [listener])
        it.nursery.start_soon(server.run)
        await use(it, WEBSOCKETS, port)


TLS = {
    "requests": ("requests", "result = requests.get(f'https://server.test:{port}/page', verify=CA, timeout=10).text"),
    "httpx": (
        "httpx",
        "import ssl\nresult = httpx.get(f'https://server.test:{port}/page', verify=ssl.create_default_context(cafile=CA)).text",
    ),
    "urllib.request": (
        "urllib.request",
        "import ssl\nresult = urllib.request.urlopen(f'https://server.test:{port}/page', timeout=10,\n"
        "    context=ssl.create_default_context(cafile=CA)).read().decode()",
    ),
    "httpx, async": (
        "httpx",
        "import asyncio, ssl\n"
        "async def main():\n"
        "    async with httpx.AsyncClient(verify=ssl.create_default_context(cafile=CA)) as client:\n"
        "        return (await client.get(f'https://server.test:{port}/page')).text\n"
        "result = asyncio.run(main())",
    ),
    "urllib3": (
        "urllib3",
        "result = urllib3.PoolManager(ca_certs=CA).request('GET', f'https://server.test:{port}/page').data.decode()",
    ),
    "aiohttp": (
        "aiohttp",
        "import asyncio, ssl\n"
        "async def main():\n"
        "    async with aiohttp.ClientSession() as session:\n"
        "        where = f'https://server.test:{port}/page'\n"
        "        async with session.get(where, ssl=ssl.create_default_context(cafile=CA)) as answer: return await answer.text()\n"
        "result = asyncio.run(main())",
    ),
}  # fmt: skip


async def test_tls(folder: Path) -> None:
    """TLS with nginx: certificates are checked by the library, against the authority that it is told of."""
    async with servers.nginx(folder) as (port, authority):
        async with by_name(read_paths=(authority,)) as it:
            table = {
                name: (module, f"CA = {authority!r}\n{code}", "hello over TLS") for name, (module, code) in TLS.items()
            }
            await use(it, table, port)


async def test_the_machines_authorities_can_be_read() -> None:
    """The system's certificates are there for who checks servers against them."""
    async with by_name() as it:
        came = await it.run("import ssl; result = len(ssl.create_default_context().get_ca_certs())")
        if "/etc/ssl/certs" in certificates():
            assert came.result > 0


async def test_a_redirect_leads_nowhere_else(folder: Path) -> None:
    """A server that redirects to what isn't listed: the library follows, the connection is refused."""
    if not there("requests"):
        pytest.skip("not installed: requests")
    async with servers.nginx(folder) as (port, authority):
        async with by_name(read_paths=(authority,)) as it:
            came = await it.run(
                f"import requests\ntry: requests.get(f'https://server.test:{port}/away', verify={authority!r}, timeout=10)\n"
                "except requests.ConnectionError as error: result = 'Permission denied' in str(error)"
            )
            assert came.result is True
            assert came.seen[-1] == "169.254.169.254:80 refused"
