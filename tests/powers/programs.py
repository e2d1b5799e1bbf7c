"""Programs that only run where a task may do more than compute, and what they give: under n8n's own runner with
everything allowed, and under ours with the powers given.

Each is a task of the mode "once for all items"; its one item has the ports of servers on 127.0.0.1: ``http``, ``smtp``,
``imap``, ``echo`` (`servers.py`), and ``closed``, at which nobody listens. Files go to ``/tmp`` or where `tempfile` says.
Outcomes are in the form of `tests/integration/differences/driver.py`.
"""

from __future__ import annotations

#: What it takes under n8n's runner.
EVERYTHING = {
    "N8N_RUNNERS_STDLIB_ALLOW": "*",
    "N8N_RUNNERS_EXTERNAL_ALLOW": "*",
    "N8N_RUNNERS_BUILTINS_DENY": "",
}

#: Of the language.
LANGUAGE: dict[str, tuple[str, str]] = {
    "eval": ("return {'n': eval('6 * 7')}", '= {"n": 42}'),
    "exec": ("names = {}\nexec('def f(x):\\n    return x + 1', names)\nreturn {'n': names['f'](1)}", '= {"n": 2}'),
    "compile": ("return {'n': eval(compile('1 + 1', '<mine>', 'eval'))}", '= {"n": 2}'),
    "metaclass": (
        "class Registry(type):\n    made = []\n    def __new__(cls, name, bases, body):\n"
        "        cls.made.append(name)\n        return super().__new__(cls, name, bases, body)\n"
        "class A(metaclass=Registry): pass\nclass B(A): pass\nreturn {'made': Registry.made}",
        '= {"made": ["A", "B"]}',
    ),
    "type of three": (
        "A = type('A', (dict,), {'n': 1})\nreturn {'n': A.n, 'name': A.__name__, 'mro': len(A.__mro__)}",
        '= {"n": 1, "name": "A", "mro": 3}',
    ),
    "inspect": (
        "import inspect\ndef f(a, *, b: int = 2): return inspect.currentframe().f_code.co_name\n"
        "return {'signature': str(inspect.signature(f)), 'frame': f(1)}",
        '= {"signature": "(a, *, b: int = 2)", "frame": "f"}',
    ),
    "frames": (
        "import sys\ndef f():\n    n = 1\n    return sys._getframe().f_locals['n']\nreturn {'n': f()}",
        '= {"n": 1}',
    ),
    "a walk to subclasses": (
        "return {'there': any(c.__name__ == 'dict' for c in object.__subclasses__())}",
        '= {"there": true}',
    ),
    "globals of a function": (
        "import json\nreturn {'there': 'JSONDecoder' in json.loads.__globals__}",
        '= {"there": true}',
    ),
    "descriptors": (
        "class Field:\n    def __set_name__(self, owner, name): self.name = name\n"
        "    def __get__(self, it, owner): return it.__dict__.get(self.name, 'none')\n"
        "    def __set__(self, it, value): it.__dict__[self.name] = value.upper()\n"
        "class A:\n    x = Field()\na = A(); before = a.x; a.x = 'y'\nreturn [before, a.x]",
        '= ["none", "Y"]',
    ),
    "asyncio": (
        "import asyncio\nasync def one(n):\n    await asyncio.sleep(0)\n    return n * n\n"
        "async def main(): return await asyncio.gather(*(one(n) for n in range(4)))\nreturn {'n': asyncio.run(main())}",
        '= {"n": [0, 1, 4, 9]}',
    ),
    "an asynchronous generator": (
        "import asyncio\nasync def numbers():\n    for n in range(3): yield n\n"
        "async def main(): return [n async for n in numbers()]\nreturn {'n': asyncio.run(main())}",
        '= {"n": [0, 1, 2]}',
    ),
    "threads": (
        "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(4) as pool:\n"
        "    return {'n': list(pool.map(lambda n: n * 2, range(8)))}",
        '= {"n": [0, 2, 4, 6, 8, 10, 12, 14]}',
    ),
    "a queue between threads": (
        "import queue, threading\nq = queue.Queue()\nt = threading.Thread(target=lambda: [q.put(n) for n in range(3)])\n"
        "t.start(); t.join()\nreturn [q.get() for _ in range(3)]",
        "= [0, 1, 2]",
    ),
    "pickle": (
        "import pickle, datetime\nd = datetime.date(2026, 1, 2)\nreturn {'same': pickle.loads(pickle.dumps(d)) == d}",
        '= {"same": true}',
    ),
    "ctypes": (
        "import ctypes\nreturn {'n': ctypes.CDLL(None).abs(-5), 'size': ctypes.sizeof(ctypes.c_long)}",
        '= {"n": 5, "size": 8}',
    ),
    "importlib": ("import importlib\nreturn {'n': importlib.import_module('math').floor(2.5)}", '= {"n": 2}'),
    "a module made by hand": (
        "import types\nm = types.ModuleType('m')\nexec('x = 3', m.__dict__)\nreturn {'x': m.x}",
        '= {"x": 3}',
    ),
    "ast": ("import ast\nreturn {'code': ast.unparse(ast.parse('x=1+ 2'))}", '= {"code": "x = 1 + 2"}'),
    "weak references": (
        "import weakref\nclass A: pass\na = A(); r = weakref.ref(a); del a\nreturn {'gone': r() is None}",
        '= {"gone": true}',
    ),
    "context variables": (
        "import contextvars\nv = contextvars.ContextVar('v', default=1)\n"
        "def f():\n    v.set(2)\n    return v.get()\nreturn [contextvars.copy_context().run(f), v.get()]",
        "= [2, 1]",
    ),
    "setattr on a module": ("import math\nmath.mine = 4\nreturn {'n': math.mine}", '= {"n": 4}'),
    "a trace function": (
        "import sys\nseen = []\ndef trace(frame, event, arg):\n    seen.append(event)\n"
        "def f(): pass\nsys.settrace(trace); f(); sys.settrace(None)\nreturn {'seen': seen[:1]}",
        '= {"seen": ["call"]}',
    ),
    "an exception group": (
        "try:\n    raise ExceptionGroup('two', [ValueError(1), TypeError(2)])\nexcept* ValueError as group:\n"
        "    n = len(group.exceptions)\nexcept* TypeError:\n    pass\nreturn {'n': n}",
        '= {"n": 1}',
    ),
    "prints": (
        "import sys\nprint('one', 2)\nprint({'three': 3})\nreturn []",
        '= [] | [["\'one\'", "2"], ["{\\"three\\": 3}"]]',
    ),
    "an error": ("def f(x):\n    return 1 / x\nreturn f(0)", "! division by zero"),
    "an error of its own": ("class Odd(Exception): pass\nraise Odd('this')", "! this"),
}

#: Of files.
SCRATCH: dict[str, tuple[str, str]] = {
    "in /tmp": (
        "import os\nwith open('/tmp/reptarium-same', 'w') as f: f.write('text')\n"
        "with open('/tmp/reptarium-same') as f: got = f.read()\nos.remove('/tmp/reptarium-same')\n"
        "return [got, os.path.exists('/tmp/reptarium-same')]",
        '= ["text", false]',
    ),
    "where temporary files are": ("import tempfile\nreturn {'where': tempfile.gettempdir()}", '= {"where": "/tmp"}'),
    "a temporary file": (
        "import os, tempfile\nwith tempfile.NamedTemporaryFile('w+', suffix='.csv') as f:\n"
        "    f.write('a,b\\n'); f.flush()\n    return [os.path.getsize(f.name), f.name.endswith('.csv')]",
        "= [4, true]",
    ),
    "a temporary directory": (
        "import os, tempfile\nwith tempfile.TemporaryDirectory() as d:\n    os.makedirs(d + '/x/y')\n"
        "    open(d + '/x/y/z', 'w').close()\n    return [[sorted(n), sorted(f)] for _, n, f in os.walk(d)]",
        '= [[["x"], []], [["y"], []], [[], ["z"]]]',
    ),
    "a database": (
        "import os, sqlite3, tempfile\nwith tempfile.TemporaryDirectory() as d:\n    path = os.path.join(d, 'a.db')\n"
        "    for n in range(3):\n        with sqlite3.connect(path) as db:\n"
        "            db.execute('create table if not exists t (n)'); db.execute('insert into t values (?)', (n,))\n"
        "    return sqlite3.connect(path).execute('select count(*), sum(n) from t').fetchone()",
        "= [3, 3]",
    ),
    "a database in /tmp": (
        "import os, sqlite3\ndb = sqlite3.connect('/tmp/reptarium-same.db')\ndb.execute('create table t (n)')\n"
        "db.execute('insert into t values (7)'); db.commit(); db.close()\n"
        "n = sqlite3.connect('/tmp/reptarium-same.db').execute('select n from t').fetchone()[0]\n"
        "os.remove('/tmp/reptarium-same.db')\nreturn {'n': n}",
        '= {"n": 7}',
    ),
    "an archive": (
        "import os, tempfile, zipfile\nwith tempfile.TemporaryDirectory() as d:\n    name = d + '/a.zip'\n"
        "    with zipfile.ZipFile(name, 'w', zipfile.ZIP_DEFLATED) as z: z.writestr('x/y.txt', 'hello')\n"
        "    zipfile.ZipFile(name).extractall(d + '/out')\n    return {'text': open(d + '/out/x/y.txt').read()}",
        '= {"text": "hello"}',
    ),
    "another archive": (
        "import os, tarfile, tempfile\nwith tempfile.TemporaryDirectory() as d:\n    open(d + '/a', 'w').write('x' * 9)\n"
        "    with tarfile.open(d + '/a.tgz', 'w:gz') as t: t.add(d + '/a', 'b')\n"
        "    return [(m.name, m.size) for m in tarfile.open(d + '/a.tgz')]",
        '= [["b", 9]]',
    ),
    "copies": (
        "import os, shutil, tempfile\nwith tempfile.TemporaryDirectory() as d:\n    os.makedirs(d + '/x/y')\n"
        "    open(d + '/x/y/z', 'w').write('1')\n    shutil.copytree(d + '/x', d + '/c'); shutil.move(d + '/c/y/z', d + '/m')\n"
        "    shutil.rmtree(d + '/x')\n    return sorted(os.listdir(d)) + [open(d + '/m').read()]",
        '= ["c", "m", "1"]',
    ),
    "a shelf": (
        "import shelve, tempfile\nwith tempfile.TemporaryDirectory() as d:\n    with shelve.open(d + '/s') as s: s['k'] = [1, 2]\n"
        "    with shelve.open(d + '/s') as s: return {'k': s['k']}",
        '= {"k": [1, 2]}',
    ),
    "a log file": (
        "import logging, tempfile\nwith tempfile.TemporaryDirectory() as d:\n    h = logging.FileHandler(d + '/log')\n"
        "    log = logging.getLogger('mine'); log.addHandler(h); log.warning('careful'); h.close()\n"
        "    return {'log': open(d + '/log').read()}",
        '= {"log": "careful\\n"}',
    ),
    "paths": (
        "import pathlib, tempfile\nwith tempfile.TemporaryDirectory() as d:\n    p = pathlib.Path(d, 'a', 'b.txt')\n"
        "    p.parent.mkdir(); p.write_text('\\u00e9'); p.rename(p.with_suffix('.md'))\n"
        "    return sorted((x.name, x.is_dir()) for x in pathlib.Path(d).rglob('*'))",
        '= [["a", true], ["b.md", false]]',
    ),
    "compressed": (
        "import gzip, lzma, tempfile\nwith tempfile.TemporaryDirectory() as d:\n"
        "    with gzip.open(d + '/a', 'wt') as f: f.write('abc' * 100)\n    with lzma.open(d + '/b', 'wb') as f: f.write(b'x' * 99)\n"
        "    return [len(gzip.open(d + '/a', 'rt').read()), len(lzma.open(d + '/b').read())]",
        "= [300, 99]",
    ),
    "to read a file that isn't there": (
        "return open('/tmp/reptarium-no-such-file').read()",
        "! [Errno 2] No such file or directory: '/tmp/reptarium-no-such-file'",
    ),
}

#: Of connections.
CONNECT: dict[str, tuple[str, str]] = {
    "urllib": (
        "import urllib.request\np = _items[0]['json']['http']\n"
        "with urllib.request.urlopen(f'http://127.0.0.1:{p}/a?b=1', timeout=10) as r: return [r.status, r.read().decode()]",
        '= [200, "asked for /a?b=1"]',
    ),
    "by name": (
        "import urllib.request\np = _items[0]['json']['http']\n"
        "return {'text': urllib.request.urlopen(f'http://localhost:{p}/x', timeout=10).read().decode()}",
        '= {"text": "asked for /x"}',
    ),
    "http.client": (
        "import http.client\nc = http.client.HTTPConnection('127.0.0.1', _items[0]['json']['http'], timeout=10)\ngot = []\n"
        "for n in range(3):\n    c.request('GET', f'/{n}'); got.append(c.getresponse().read().decode())\nreturn got",
        '= ["asked for /0", "asked for /1", "asked for /2"]',
    ),
    "socket": (
        "import socket\nwith socket.create_connection(('127.0.0.1', _items[0]['json']['echo']), 5) as s:\n"
        "    s.sendall(b'hello'); return {'got': s.recv(5).decode(), 'to': s.getpeername()[0]}",
        '= {"got": "hello", "to": "127.0.0.1"}',
    ),
    "a socket as a file": (
        "import socket\ns = socket.create_connection(('127.0.0.1', _items[0]['json']['echo']), 5)\n"
        "with s.makefile('rw') as f:\n    f.write('line\\n'); f.flush(); return {'got': f.readline()}",
        '= {"got": "line\\n"}',
    ),
    "not waiting": (
        "import selectors, socket\ns = socket.socket(); s.setblocking(False)\nfirst = s.connect_ex(('127.0.0.1', _items[0]['json']['echo']))\n"
        "sel = selectors.DefaultSelector(); sel.register(s, selectors.EVENT_WRITE); sel.select(5)\n"
        "error = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR); s.send(b'x'); sel.modify(s, selectors.EVENT_READ); sel.select(5)\n"
        "return [error, s.recv(1).decode()]",
        '= [0, "x"]',
    ),
    "asyncio streams": (
        "import asyncio\nasync def one(n):\n    r, w = await asyncio.open_connection('127.0.0.1', _items[0]['json']['echo'])\n"
        "    w.write(b'%d' % n); await w.drain(); got = await r.readexactly(1); w.close(); return int(got)\n"
        "async def main(): return await asyncio.gather(*map(one, range(9)))\nreturn {'n': asyncio.run(main())}",
        '= {"n": [0, 1, 2, 3, 4, 5, 6, 7, 8]}',
    ),
    "in threads": (
        "import urllib.request\nfrom concurrent.futures import ThreadPoolExecutor\np = _items[0]['json']['http']\n"
        "one = lambda n: urllib.request.urlopen(f'http://127.0.0.1:{p}/{n}', timeout=20).read().decode()\n"
        "with ThreadPoolExecutor(10) as pool: return list(pool.map(one, range(10)))",
        '= ["asked for /0", "asked for /1", "asked for /2", "asked for /3", "asked for /4", "asked for /5", "asked for /6", "asked for /7", "asked for /8", "asked for /9"]',
    ),
    "mail": (
        "import smtplib\nfrom email.message import EmailMessage\nm = EmailMessage()\nm['From'] = 'a@server.test'; m['To'] = 'b@server.test'; m['Subject'] = 'x'\n"
        "m.set_content('hello')\nwith smtplib.SMTP('127.0.0.1', _items[0]['json']['smtp'], local_hostname='task.test', timeout=10) as s:\n"
        "    return {'refused': s.send_message(m), 'then': s.noop()[0]}",
        '= {"refused": {}, "then": 250}',
    ),
    "a mailbox": (
        "import imaplib\nm = imaplib.IMAP4('127.0.0.1', _items[0]['json']['imap'], timeout=10)\nm.login('a', 'b')\n"
        "n = m.select()[1][0].decode(); m.logout()\nreturn {'n': n}",
        '= {"n": "3"}',
    ),
    "nobody listens": (
        "import socket\ntry:\n    socket.create_connection(('127.0.0.1', _items[0]['json']['closed']), 5)\n"
        "except OSError as e:\n    return [type(e).__name__, e.errno]",
        '= ["ConnectionRefusedError", 111]',
    ),
    "an error that is not caught": (
        "import socket\nsocket.create_connection(('127.0.0.1', _items[0]['json']['closed']), 5)",
        '! [Errno 111] Connection refused',
    ),
    "a time limit": (
        "import socket\ns = socket.create_connection(('127.0.0.1', _items[0]['json']['echo']), 5); s.settimeout(0.1)\n"
        "try:\n    s.recv(1)\nexcept TimeoutError as e:\n    return {'text': str(e)}",
        '= {"text": "timed out"}',
    ),
    "addresses": (
        "import socket\nreturn sorted({a[4][0] for a in socket.getaddrinfo('127.0.0.1', 80, type=socket.SOCK_STREAM)})",
        '= ["127.0.0.1"]',
    ),
    "TLS without a server": (
        "import socket, ssl\nc = ssl.create_default_context()\n"
        "try:\n    c.wrap_socket(socket.create_connection(('127.0.0.1', _items[0]['json']['smtp']), 5), server_hostname='server.test')\n"
        "except ssl.SSLError as e:\n    return {'reason': e.reason}",
        '= {"reason": "WRONG_VERSION_NUMBER"}',
    ),
    "to a file": (
        "import os, shutil, tempfile, urllib.request\np = _items[0]['json']['http']\nwith tempfile.TemporaryDirectory() as d:\n"
        "    urllib.request.urlretrieve(f'http://127.0.0.1:{p}/file', d + '/f')\n    return {'size': os.path.getsize(d + '/f')}",
        '= {"size": 15}',
    ),
}  # fmt: skip

#: What ours gives only where it has a mount namespace.
IN_TMP = {"in /tmp", "where temporary files are", "a database in /tmp"}

PROGRAMS = LANGUAGE | SCRATCH | CONNECT
