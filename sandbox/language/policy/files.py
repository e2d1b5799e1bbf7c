"""What the restricted mode opens where a task has files of its own (``REPTARIUM_SCRATCH``): modules, and more names of
those that are short otherwise. Where files may lie is the kernel layer's business.
"""

from __future__ import annotations

#: Where a process without files is told that its home, temporary files and caches are: an absolute path below which
#: nothing is, and nothing can be made by anyone.
NOWHERE = "/proc/nowhere"

#: Modules that are refused to tasks without files → the names that they carry then.
MODULES: dict[str, str] = {
    "filecmp": "cmp cmpfiles dircmp",
    "glob": "glob iglob escape",
    "shutil": (
        "copy copy2 copyfile copyfileobj copymode copystat copytree move rmtree make_archive unpack_archive "
        "ignore_patterns disk_usage Error SameFileError SpecialFileError ReadError"
    ),
    "sqlite3": (
        "connect Connection Cursor Row Error DatabaseError DataError IntegrityError InterfaceError InternalError "
        "NotSupportedError OperationalError ProgrammingError Warning PARSE_DECLTYPES PARSE_COLNAMES sqlite_version "
        "sqlite_version_info register_adapter register_converter complete_statement Binary Date Time Timestamp"
    ),
    "tempfile": (
        "NamedTemporaryFile TemporaryFile TemporaryDirectory SpooledTemporaryFile mkstemp mkdtemp gettempdir "
        "gettempprefix"
    ),
}

#: Modules that are short façades without files → what they carry besides.
NAMES: dict[str, str] = {
    "os": (
        "listdir scandir mkdir makedirs remove unlink rename replace rmdir removedirs walk stat lstat getcwd close "
        "access chmod utime truncate DirEntry stat_result F_OK R_OK W_OK X_OK"
    ),
    "os.path": (
        "exists lexists isfile isdir islink getsize getmtime getatime getctime abspath realpath relpath expanduser "
        "samefile"
    ),
    "pathlib": "Path PosixPath",
    "io": "open FileIO",
    "codecs": "open",
    "logging.handlers": "RotatingFileHandler TimedRotatingFileHandler WatchedFileHandler",
}

#: What CPython reports of files to audit hooks (hardening/audit.py).
EVENTS = frozenset(
    """
        open os.chmod os.mkdir os.remove os.rename os.rmdir os.truncate os.utime os.listdir os.scandir
        sqlite3.connect shutil.rmtree shutil.copyfile shutil.copymode shutil.copystat shutil.copytree shutil.move
        shutil.make_archive shutil.unpack_archive tempfile.mkstemp tempfile.mkdtemp glob.glob glob.glob/2
        pathlib.Path.glob pathlib.Path.rglob os.walk os.fwalk os.listxattr os.getxattr os.setxattr
    """.split()
)


#: Modules whose readers and writers take paths then.
_BY_PATH = frozenset(
    "gzip bz2 lzma compression.gzip compression.bz2 compression.lzma compression.zstd xml.etree.ElementTree "
    "xml.dom.minidom".split()
)


def is_of_files(module: str, name: str) -> bool:
    """Whether this name of a module is about files, and harmless where a task has some of its own."""
    return module in MODULES or module in _BY_PATH or name in NAMES.get(module, "").split()


def names(module: str, short: dict[str, str]) -> list[str] | None:
    """What the façade of a module carries for a task with files; None where that is not a short list."""
    if module in MODULES:
        return MODULES[module].split()
    if module in short:
        return list(dict.fromkeys([*short[module].split(), *NAMES.get(module, "").split()]))
    return None
