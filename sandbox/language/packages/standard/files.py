"""Modules of the standard library that read and write files: streams stay, paths go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reptarium.sandbox.language.guards import refusing
from reptarium.sandbox.language.hardening import trusted
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
