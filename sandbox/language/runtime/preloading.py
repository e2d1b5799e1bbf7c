"""What a zygote imports ahead of its tasks: the same modules in both language modes, each in its own way."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from reptarium.sandbox.language.policy import LanguagePolicy

#: What is imported when every stdlib module is allowed: what Code nodes mostly use.
COMMON = """
    json re math datetime time calendar collections itertools functools operator statistics random
    decimal fractions string textwrap hashlib hmac base64 uuid copy dataclasses enum typing contextlib
    csv io html heapq urllib.parse zoneinfo xml.etree.ElementTree zlib gzip struct logging os sys traceback
    warnings
""".split()

#: Modules that make more when they are first used → a first use. Found by running the programs of the tests, and all
#: that the standard library's façades carry, with every open module imported: what was imported then, and what calls
#: took longer the first time (tests/first_uses.py).
_FIRST_USES: dict[str, Callable[[Any], object]] = {
    "datetime": lambda datetime: datetime.datetime.strptime("2000-01-01", "%Y-%m-%d"),  # _strptime, and its patterns
    "collections": lambda collections: collections.Counter("aab").most_common(1),
    "statistics": lambda statistics: statistics.mode([1, 1]),
    "base64": lambda base64: base64.b85encode(b"text"),  # its tables
    "traceback": lambda traceback: traceback.format_exception(ValueError("text")),
    "random": lambda random: random.Random("text"),  # _sha2
    "zoneinfo": lambda zoneinfo: zoneinfo.ZoneInfo.no_cache("Europe/Berlin"),  # importlib.resources, without /usr/share
    "xml.dom.minidom": lambda minidom: minidom.parseString("<a/>").toxml(),  # xml.dom.expatbuilder
    "email.message": lambda message: message.EmailMessage().as_string(),  # email.generator
}
#: Each is a module, imported when text in it is first met.
_ENCODINGS = ("ascii", "latin-1", "cp1252", "utf-8-sig", "utf-16")


def load_each(
    policy: LanguagePolicy, load: Callable[[str], object], imported: Callable[[str], None], late: Collection[str]
) -> list[str]:
    """``load`` what the policy names explicitly, and the common modules when all are allowed, but for ``late``;
    ``imported`` is told after each.

    Returns a line ``name: reason`` for each that failed.
    """
    for encoding in _ENCODINGS:
        "".encode(encoding)
    names = [name for name in (*policy.stdlib_allow, *policy.external_allow, *policy.preload) if name != "*"]
    if "*" in policy.stdlib_allow:
        names += COMMON
    failed = []
    for name in dict.fromkeys(names):
        if name in late:
            continue
        try:
            load(name)
        except BaseException as error:  # a package's import can end in anything
            failed.append(f"{name}: {str(error) or type(error).__name__}")
        else:
            with suppress(Exception):  # a machine without time zones, say: the task is told
                _FIRST_USES.get(name, id)(sys.modules[name])
        imported(name)
    return failed
