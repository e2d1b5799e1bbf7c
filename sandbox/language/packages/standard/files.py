"""Modules of the standard library that read and write files: streams stay, paths go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reptarium.sandbox.language.guards import refused, refusing
from reptarium.sandbox.language.guards.classes import StandInMeta, stand_in
from reptarium.sandbox.language.hardening import trusted
from reptarium.sandbox.language.hardening.audit import state
from reptarium.sandbox.language.packages.package import Package, with_files
from reptarium.sandbox.language.policy.files import NOWHERE
from reptarium.sandbox.language.policy.stdlib import NO_FILES


def _patch_zipfile(zipfile: Any) -> None:
    # no audit event tells of stat(2): size, times and owner of any path
    zipfile.ZipInfo.from_file = with_files(
        zipfile.ZipInfo.from_file, "ZipInfo.from_file", f"{NO_FILES}; use ZipInfo(name) and writestr()"
    )


def _patch_tarfile(tarfile: Any) -> None:
    for name in ("gettarinfo", "add"):
        why = f"{NO_FILES}; use TarInfo(name) and addfile()"
        setattr(tarfile.TarFile, name, with_files(getattr(tarfile.TarFile, name), f"TarFile.{name}", why))
    for name in ("makefifo", "makedev"):
        setattr(
            tarfile.TarFile, name, refusing(f"TarFile.{name}", "tasks make no FIFOs and no devices; extract the rest")
        )


def _patch_mimetypes(mimetypes: Any) -> None:
    mimetypes.knownfiles.clear()  # /etc/mime.types and its like, read at the first question
    mimetypes.init()


def _available_timezones(real: Any) -> Callable[[], set[str]]:
    def available_timezones() -> set[str]:
        """The names of all time zones. It reads the zones' files, which user code may not name."""
        with trusted():
            found: set[str] = real.available_timezones()
            return found

    return available_timezones


def _sqlite(real: Any) -> dict[str, Any]:
    """SQLite opens what is attached itself, and no audit event tells: nothing can be attached to what tasks get, and
    they have no name for what would change that (``setlimit``), nor for the class without a limit.
    """

    def limited(make: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        connection = make(*args, **kwargs)
        connection.setlimit(real.SQLITE_LIMIT_ATTACHED, 0)
        return connection

    class Meta(StandInMeta):
        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            return limited(real.Connection, *args, **kwargs)

    def connect(database: Any = ":memory:", *args: Any, **kwargs: Any) -> Any:
        """``sqlite3.connect`` of a database in memory."""
        if database not in (":memory:", ""):
            raise refused("sqlite3.connect() of a file is not allowed", f"{NO_FILES}; use ':memory:'")
        if "factory" in kwargs or len(args) > _FACTORY:
            raise refused(
                "sqlite3.connect() with a factory is not allowed",
                "it would make another's connections; use row_factory, or a class around it",
            )
        return limited(real.connect, ":memory:", *args, **kwargs)

    return {"connect": connect} if state.files else {"connect": connect, "Connection": stand_in(real.Connection, Meta)}


#: Where ``sqlite3.connect`` takes its factory, after the database.
_FACTORY = 4


def patch_tempfile(tempfile: Any) -> None:
    """Libraries that want a place for their caches (matplotlib, jieba) get one, and go on where they can't write."""
    find, make = tempfile._get_default_tempdir, tempfile.mkdtemp

    def _get_default_tempdir(*args: Any) -> str:
        try:
            return str(find(*args))
        except FileNotFoundError:
            return NOWHERE

    def mkdtemp(*args: Any, **kwargs: Any) -> Any:
        try:
            return make(*args, **kwargs)
        except (PermissionError, FileNotFoundError):
            return NOWHERE

    tempfile._get_default_tempdir, tempfile.mkdtemp = _get_default_tempdir, mkdtemp


PACKAGES = (
    Package("tempfile", patches={"tempfile": patch_tempfile}),
    Package("sqlite3", made={"sqlite3": _sqlite}),
    Package("gzip", streams_only={"gzip": "open"}),
    Package("bz2", streams_only={"bz2": "open"}),
    Package("lzma", streams_only={"lzma": "open"}),
    Package("compression", streams_only={f"compression.{name}": "open" for name in ("gzip", "bz2", "lzma", "zstd")}),
    Package("xml", streams_only={"xml.etree.ElementTree": "parse iterparse", "xml.dom.minidom": "parse"}),
    Package("zipfile", patches={"zipfile": _patch_zipfile}),
    Package("tarfile", patches={"tarfile": _patch_tarfile}),
    Package("mimetypes", patches={"mimetypes": _patch_mimetypes}),
    Package("zoneinfo", made={"zoneinfo": lambda real: {"available_timezones": _available_timezones(real)}}),
)
