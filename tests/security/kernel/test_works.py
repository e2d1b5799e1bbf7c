"""What must go on working under the filters: numbers, tables, threads, time zones, late imports; and
honest refusals for the rest.
"""

from __future__ import annotations

from typing import Any

import pytest
import trio
from arena import AS_ROOT, PYTHON, arena, configurations

from tests.limits import fail_after

pytestmark = pytest.mark.usefixtures("kernel_layer")

CONFIGURATIONS: dict[str, dict[str, Any]] = {"stock": {"namespaces": "off"}, "full": {}}
if AS_ROOT:
    CONFIGURATIONS["own-uids"] = {"worker_uids": (70000, 70999), "max_threads": 16}
CONFIGURATIONS["python"] = {"language": PYTHON, "max_threads": 16}

# name → (code that sets ``result``, what it must be)
WORK: dict[str, tuple[str, Any]] = {
    "numpy": ("import numpy as np\nresult = float(np.linalg.solve(np.eye(50) * 2, np.ones(50)).sum())", 25.0),
    "numpy in threads": (
        "import numpy as np\nfrom concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(8) as pool:\n"
        " result = sum(pool.map(lambda n: float((np.ones((60, 60)) @ np.ones((60, 60)))[0, 0]), range(8)))",
        480.0,
    ),
    "numpy's random numbers": ("import numpy as np\nresult = len(set(np.random.default_rng().integers(0, 2**60, 50).tolist()))", 50),
    "pandas": (
        "import pandas as pd\nframe = pd.DataFrame({'day': pd.date_range('2026-01-01', periods=4, tz='Europe/Berlin'), 'n': [1, 2, 3, 4]})\n"
        "result = frame.groupby(frame.day.dt.day % 2)['n'].sum().tolist()",
        [6, 4],
    ),
    "pandas reads CSV": ("import io\nimport pandas as pd\nresult = pd.read_csv(io.StringIO('a,b\\n1,2\\n3,4'))['b'].tolist()", [2, 4]),
    "time zones": (
        "from datetime import datetime\nfrom zoneinfo import ZoneInfo\n"
        "result = [datetime(2026, 7, 1, tzinfo=ZoneInfo(z)).isoformat() for z in ('Asia/Tokyo', 'America/New_York')]",
        ["2026-07-01T00:00:00+09:00", "2026-07-01T00:00:00-04:00"],
    ),
    "late imports": (
        "names = ['colorsys', 'decimal', 'sqlite3', 'csv', 'difflib', 'fractions', 'tomllib', 'xml.etree.ElementTree', 'html.parser']\n"
        "for name in names: __import__(name)\nresult = [n for n in names if n not in sys.modules]",
        [],
    ),
    "late packages": ("import yaml, bs4, dateutil.parser\nresult = dateutil.parser.parse('2026-01-02').day + yaml.safe_load('a: 5')['a']", 7),
    "pydantic": ("import pydantic\nclass M(pydantic.BaseModel):\n n: int\nresult = M(n='5').n", 5),
    "a database in memory": ("import sqlite3\nresult = sqlite3.connect(':memory:').execute('select 6 * 7').fetchone()[0]", 42),
    "threads with locks": (
        "lock, n = threading.Lock(), [0]\n"
        "def work():\n for _ in range(1000):\n  with lock: n[0] += 1\n"
        "ts = [threading.Thread(target=work) for _ in range(16)]\n[t.start() for t in ts]\n[t.join() for t in ts]\nresult = n[0]",
        16000,
    ),
    "sleep and timers": ("began = time.monotonic()\ntime.sleep(0.01)\nthreading.Event().wait(0.01)\nresult = time.monotonic() > began", True),
    "random": ("import random, secrets, uuid\nresult = len({random.random(), secrets.token_hex(), str(uuid.uuid4())})", 3),
    "compression and digests": ("import hashlib, zlib, lzma, bz2\nresult = zlib.decompress(zlib.compress(b'x' * 9)) == b'x' * 9 and len(hashlib.sha256(b'').digest())", 32),
    "its own limits": ("import resource\nresult = resource.getrlimit(resource.RLIMIT_FSIZE)[0]", 0),
    "signals to itself": (
        "got = []\nsignal.signal(signal.SIGUSR1, lambda *a: got.append(1))\nsignal.raise_signal(signal.SIGUSR1)\nresult = got",
        [1],
    ),
    "a big array": ("import numpy as np\nresult = int(np.zeros(30_000_000, dtype='int8').nbytes)", 30_000_000),
    "executable memory of C code": ("result = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(lambda n: n + 1)(41)", 42),
    "reading source for tracebacks": (
        "import traceback\ntry:\n import json; json.loads('{')\nexcept ValueError:\n result = 'raw_decode' in traceback.format_exc()",
        True,
    ),
}  # fmt: skip

# Calls that libraries make to find something out: they may be refused, but never end the process or hang.
PROBES = {
    "processors": "os.cpu_count()",
    "affinity": "os.sched_getaffinity(0)",
    "affinity of another": "os.sched_getaffinity(1)",
    "load": "os.getloadavg()",
    "names": "os.uname()",
    "platform": "__import__('platform').platform()",
    "processor": "__import__('platform').processor()",
    "C library": "__import__('platform').libc_ver()",
    "user": "__import__('getpass').getuser()",
    "home": "os.path.expanduser('~')",
    "temporary directory": "__import__('tempfile').gettempdir()",
    "temporary file": "__import__('tempfile').TemporaryFile()",
    "terminal size": "os.get_terminal_size()",
    "disk": "__import__('shutil').disk_usage('/')",
    "program": "__import__('shutil').which('ls')",
    "itself": "os.readlink('/proc/self/exe')",
    "memory": "open('/proc/meminfo').read()",
    "limits": "__import__('resource').getrusage(0)",
    "system configuration": "os.sysconf('SC_PHYS_PAGES')",
    "page size": "os.sysconf('SC_PAGE_SIZE')",
    "host": "socket.gethostname()",
    "name lookup": "socket.getaddrinfo('localhost', 80)",
    "interfaces": "socket.if_nameindex()",
    "hardware address": "__import__('uuid').uuid1()",
    "event loop": "__import__('asyncio').run(__import__('asyncio').sleep(0))",
    "process pool": "__import__('multiprocessing').Pool(1)",
    "queue of processes": "__import__('multiprocessing').Queue()",
    "shared memory": "__import__('multiprocessing.shared_memory').shared_memory.SharedMemory(create=True, size=10)",
    "subprocess": "__import__('subprocess').run(['true'])",
    "shell": "os.system('true')",
    "popen": "os.popen('true').read()",
    "urllib": "__import__('urllib.request').request.urlopen('http://127.0.0.1:9/')",
    "pipe": "os.pipe()",
    "umask": "os.umask(0)",
    "nice": "os.nice(0)",
    "clock": "time.clock_gettime(time.CLOCK_BOOTTIME)",
    "processor clock": "time.thread_time()",
    "interval timer": "signal.setitimer(signal.ITIMER_REAL, 0)",
    "wait": "os.waitpid(-1, os.WNOHANG)",
    "locale": "__import__('locale').setlocale(__import__('locale').LC_ALL, '')",
    "fault handler": "__import__('faulthandler').enable()",
    "mmap": "__import__('mmap').mmap(-1, 100)",
    "thread's clock": "time.pthread_getcpuclockid(threading.get_ident())",
    "pandas' options": "__import__('pandas').show_versions()",
    "numpy's configuration": "__import__('numpy').show_config()",
}


async def _all(isolation: dict[str, Any]) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    with fail_after(150):
        async with arena(**isolation) as place:
            for name, (code, _) in WORK.items():
                answers[name] = await place.attack(code)
            for name, code in PROBES.items():
                answers[f"probe {name}"] = await place.attack(
                    f"try:\n {code}\n result = 'fine'\nexcept Exception as e:\n result = type(e).__name__ + ': ' + str(e)"
                )
    return answers


@pytest.fixture(scope="module", params=configurations(CONFIGURATIONS))
def answers(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What came of everything in one configuration; made once."""
    return trio.run(_all, CONFIGURATIONS[request.param])


@pytest.mark.parametrize("name", WORK)
def test_works(answers: dict[str, Any], name: str) -> None:
    """Ordinary work gives its ordinary result inside the sandbox."""
    assert answers[name] == WORK[name][1]


@pytest.mark.parametrize("name", PROBES)
def test_probes_never_kill(answers: dict[str, Any], name: str) -> None:
    """A probe is answered or refused with an exception that a program can catch; the process goes on."""
    answer = answers[f"probe {name}"]
    assert isinstance(answer, str)
    assert not answer.startswith(("SIG", "exit", "failed")), answer
