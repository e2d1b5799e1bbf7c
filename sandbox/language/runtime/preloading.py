"""What a zygote imports ahead of its tasks: the same modules in both language modes, each in its own way."""

from __future__ import annotations

from collections.abc import Callable, Collection

from reptarium.sandbox.language.policy import LanguagePolicy

#: What is imported when every stdlib module is allowed: what Code nodes mostly use.
COMMON = """
    json re math datetime time calendar collections itertools functools operator statistics random
    decimal fractions string textwrap hashlib hmac base64 uuid copy dataclasses enum typing contextlib
    csv io html urllib.parse zoneinfo xml.etree.ElementTree zlib gzip struct logging os sys traceback
    warnings
""".split()


def load_each(
    policy: LanguagePolicy, load: Callable[[str], object], imported: Callable[[str], None], late: Collection[str]
) -> list[str]:
    """``load`` what the policy names explicitly, and the common modules when all are allowed, but for ``late``;
    ``imported`` is told after each.

    Returns a line ``name: reason`` for each that failed.
    """
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
        imported(name)
    return failed
