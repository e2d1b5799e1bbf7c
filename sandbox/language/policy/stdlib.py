"""The standard library, module by module: what user code may import once the allowlist permits it.

``*`` turns off only the allowlist. A module is here because somebody has read it: either it is open
(``OPEN``, perhaps with names withheld or as a short list), or it is refused with a reason
(``REFUSED``). A module in neither table is refused: a new Python version's modules are read first.
"""

from __future__ import annotations

import sys

from reptarium.sandbox.language.policy import files as of_files

#: Public names are carried over except those listed.
OPEN: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        """
            json math datetime time calendar itertools statistics random decimal fractions textwrap
            hashlib hmac base64 binascii secrets copy heapq bisect html difflib unicodedata struct array
            pprint ipaddress cmath colorsys graphlib keyword numbers stringprep tomllib fnmatch reprlib
            queue contextvars errno quopri shlex re typing collections dataclasses enum abc contextlib
            string functools operator csv zlib gzip bz2 lzma email warnings zoneinfo sched
            ast argparse getopt optparse compression stat wave
        """.split(),
        (),
    ),
    "argparse": ("FileType",),
    "typing": ("evaluate_forward_ref",),
    "copy": ("dispatch_table",),
    "contextlib": ("chdir",),
    "zoneinfo": ("reset_tzpath",),
    "statistics": ("attrgetter",),
    "enum": ("global_enum", "pickle_by_enum_name", "pickle_by_global_name"),
}

#: Why those aren't, by the module or the name.
OPEN_WHY: dict[str, str] = {
    "argparse": "it opens files; have argparse give the name",
    "typing": "it runs text as code; use typing.get_type_hints",
    "copy": "what copies are made of is everybody's; define __copy__ and __deepcopy__",
    "contextlib": "a task has no working directory",
    "zoneinfo": "where time zones are looked for is everybody's",
    "statistics": "it is operator's; import it from there",
    "enum.global_enum": "it writes into the module that a class names; assign the members to names",
    "enum": "pickles run code; use json",
}
#: Only these names are carried over, where most of a module is not for tasks.
ONLY: dict[str, str] = {
    "abc": "ABC ABCMeta abstractmethod abstractproperty abstractclassmethod abstractstaticmethod",
    "asyncio": (
        "run gather wait wait_for sleep Queue PriorityQueue LifoQueue QueueEmpty QueueFull Event Lock Semaphore "
        "BoundedSemaphore Condition Barrier create_task ensure_future to_thread TaskGroup Task Future timeout "
        "timeout_at as_completed shield iscoroutine iscoroutinefunction isfuture current_task all_tasks "
        "get_running_loop run_coroutine_threadsafe wrap_future AbstractEventLoop Timeout "
        "get_event_loop new_event_loop set_event_loop Runner CancelledError TimeoutError InvalidStateError "
        "BrokenBarrierError QueueShutDown FIRST_COMPLETED FIRST_EXCEPTION ALL_COMPLETED"
    ),
    "concurrent": "futures",
    "concurrent.futures": (
        "ThreadPoolExecutor ProcessPoolExecutor Executor Future as_completed wait TimeoutError CancelledError "
        "InvalidStateError BrokenExecutor FIRST_COMPLETED FIRST_EXCEPTION ALL_COMPLETED"
    ),
    "codecs": (
        "BOM_UTF8 BOM_UTF16 BOM_UTF16_LE BOM_UTF16_BE BOM_UTF32 BOM_UTF32_LE BOM_UTF32_BE decode encode getreader "
        "lookup getwriter getencoder getdecoder getincrementalencoder getincrementaldecoder iterencode iterdecode "
        "strict_errors ignore_errors replace_errors xmlcharrefreplace_errors "
        "backslashreplace_errors namereplace_errors BOM BOM_BE BOM_LE"
    ),
    "gc": "collect enable disable isenabled get_count get_threshold",
    "inspect": (
        "signature Signature Parameter BoundArguments getdoc cleandoc getmembers isfunction isclass ismethod isbuiltin "
        "isroutine isgenerator isgeneratorfunction iscoroutine iscoroutinefunction isawaitable isabstract "
        "isasyncgen isasyncgenfunction ismodule isdatadescriptor ismethoddescriptor ismemberdescriptor "
        "isgetsetdescriptor ismethodwrapper istraceback isframe iscode getmro getfullargspec FullArgSpec "
        "getgeneratorstate GEN_CREATED GEN_RUNNING GEN_SUSPENDED GEN_CLOSED getcoroutinestate CORO_CREATED "
        "CORO_RUNNING CORO_SUSPENDED CORO_CLOSED getasyncgenstate AGEN_CREATED AGEN_RUNNING AGEN_SUSPENDED AGEN_CLOSED"
    ),
    "html": "escape unescape",
    "io": (
        "StringIO BytesIO TextIOWrapper BufferedReader BufferedWriter BufferedRandom BufferedRWPair IOBase RawIOBase "
        "BufferedIOBase TextIOBase IncrementalNewlineDecoder UnsupportedOperation SEEK_SET SEEK_CUR SEEK_END "
        "DEFAULT_BUFFER_SIZE"
    ),
    "locale": (
        "atof atoi currency delocalize format_string localeconv localize setlocale getlocale getdefaultlocale "
        "getpreferredencoding getencoding normalize strcoll strxfrm str Error LC_ALL LC_NUMERIC LC_MONETARY LC_TIME "
        "LC_CTYPE LC_COLLATE LC_MESSAGES CHAR_MAX"
    ),
    "logging": (
        "debug info warning error critical exception log getLogger basicConfig Logger LoggerAdapter Formatter "
        "StreamHandler NullHandler Handler Filter LogRecord getLevelName addLevelName disable captureWarnings root "
        "makeLogRecord getLoggerClass setLoggerClass getLogRecordFactory setLogRecordFactory "
        "BufferingFormatter Filterer PlaceHolder Manager RootLogger getHandlerNames getHandlerByName "
        "getLevelNamesMapping shutdown fatal "
        "warn raiseExceptions logThreads logProcesses logMultiprocessing BASIC_FORMAT FileHandler "
        "DEBUG INFO WARNING WARN ERROR CRITICAL FATAL NOTSET"
    ),
    "logging.handlers": "BufferingHandler MemoryHandler QueueHandler QueueListener",
    "mimetypes": "guess_type guess_extension guess_all_extensions guess_file_type add_type types_map common_types",
    "multiprocessing": "cpu_count TimeoutError dummy pool",
    "multiprocessing.dummy": (
        "Pool Process Lock RLock Semaphore BoundedSemaphore Condition Event Barrier Queue JoinableQueue "
        "current_process active_children freeze_support Value Array"
    ),
    "multiprocessing.pool": "ThreadPool AsyncResult MapResult IMapIterator IMapUnorderedIterator",
    "os": (
        "path sep linesep altsep extsep pathsep curdir pardir devnull name urandom environ getenv fspath fsencode "
        "fsdecode PathLike strerror error cpu_count getpid getppid process_cpu_count"
    ),
    "os.path": (
        "basename commonpath commonprefix dirname isabs join normcase normpath split splitdrive splitext sep "
        "altsep extsep pathsep curdir pardir abspath realpath relpath expanduser exists lexists isfile isdir "
        "islink ismount"
    ),
    "pathlib": "PurePath PurePosixPath PureWindowsPath Path PosixPath",
    "platform": "python_version python_version_tuple python_implementation system machine platform release node "
    "processor architecture python_compiler python_build",
    "sqlite3": (
        "connect Connection Cursor Row Error DatabaseError DataError IntegrityError InterfaceError InternalError "
        "NotSupportedError OperationalError ProgrammingError Warning PARSE_DECLTYPES PARSE_COLNAMES sqlite_version "
        "apilevel paramstyle threadsafety "
        "sqlite_version_info register_adapter register_converter complete_statement Binary Date Time Timestamp"
    ),
    "threading": (
        "Thread Lock RLock Event Condition Semaphore BoundedSemaphore Timer Barrier local current_thread main_thread "
        "active_count enumerate get_ident get_native_id BrokenBarrierError ThreadError TIMEOUT_MAX"
    ),
    "shlex": "split quote join",  # shlex.shlex() reads the worker's own standard input
    "sys": (
        "version version_info hexversion maxsize maxunicode byteorder float_info int_info hash_info "
        "implementation platform getsizeof getrecursionlimit setrecursionlimit intern exit api_version "
        "getdefaultencoding getfilesystemencoding exc_info exception getrefcount thread_info copyright argv executable "
        "stdout stderr"
    ),
    "traceback": (
        "format_exc print_exc format_exception format_exception_only print_exception format_tb print_tb format_list "
        "print_list extract_tb TracebackException FrameSummary StackSummary"
    ),
    "types": (
        "SimpleNamespace MappingProxyType NoneType EllipsisType NotImplementedType UnionType GenericAlias "
        "FunctionType LambdaType GeneratorType MethodType BuiltinFunctionType BuiltinMethodType ModuleType "
        "TracebackType CoroutineType AsyncGeneratorType "
        "DynamicClassAttribute"
    ),
    "importlib": "import_module",
    "weakref": "ref proxy WeakKeyDictionary WeakValueDictionary WeakSet WeakMethod finalize ReferenceType ProxyType",
    "uuid": "UUID SafeUUID uuid1 uuid3 uuid4 uuid5 uuid6 uuid7 uuid8 "
    "NAMESPACE_DNS NAMESPACE_URL NAMESPACE_OID NAMESPACE_X500 NIL MAX",
    "warnings": "warn warn_explicit filterwarnings simplefilter resetwarnings formatwarning showwarning catch_warnings "
    "deprecated filters",
    "zipfile": "ZipFile ZipInfo BadZipFile LargeZipFile is_zipfile ZIP_STORED ZIP_DEFLATED ZIP_BZIP2 ZIP_LZMA",
    "tarfile": (
        "TarFile TarInfo TarError ReadError CompressionError StreamError ExtractError HeaderError FilterError "
        "is_tarfile open data_filter tar_filter ENCODING DEFAULT_FORMAT USTAR_FORMAT GNU_FORMAT PAX_FORMAT"
    ),
    "configparser": (
        "ConfigParser RawConfigParser Error NoSectionError NoOptionError ParsingError BasicInterpolation "
        "ExtendedInterpolation MissingSectionHeaderError DuplicateSectionError DuplicateOptionError Interpolation "
        "InterpolationError InterpolationDepthError InterpolationMissingOptionError InterpolationSyntaxError "
        "SectionProxy DEFAULTSECT LegacyInterpolation SafeConfigParser"
    ),
    "plistlib": "load loads dump dumps FMT_XML FMT_BINARY UID InvalidFileException",
    "xml": "etree sax dom",
    "xml.dom": "minidom Node DOMException",
    "xml.dom.minidom": (
        "parseString parse getDOMImplementation Document DocumentFragment DocumentType DOMImplementation Node Element "
        "Attr Text Comment CDATASection CharacterData ProcessingInstruction NamedNodeMap"
    ),
    "xml.sax": (
        "saxutils handler parseString ContentHandler ErrorHandler SAXException SAXParseException "
        "SAXNotRecognizedException SAXNotSupportedException"
    ),
    "xml.sax.saxutils": "escape unescape quoteattr XMLGenerator",
    "xml.etree": "ElementTree",
    "xml.etree.ElementTree": (
        "Element SubElement ElementTree Comment ProcessingInstruction PI QName TreeBuilder XMLParser XMLPullParser "
        "ParseError XML XMLID fromstring fromstringlist tostring tostringlist iterparse parse iselement indent "
        "dump canonicalize register_namespace C14NWriterTarget VERSION"
    ),
    "urllib": "parse",
    "http": "HTTPStatus HTTPMethod",
    "http.cookies": "BaseCookie SimpleCookie Morsel CookieError",
}
for _name, _listed in ONLY.items():
    OPEN.setdefault(_name, ())

#: Submodules that come with an open module; other submodules of stdlib packages are refused.
SUBMODULES = frozenset(
    """
        collections.abc html.parser html.entities json.decoder json.encoder urllib.parse xml.etree
        xml.etree.ElementTree xml.sax xml.sax.saxutils xml.sax.handler xml.dom xml.dom.minidom concurrent.futures
        os.path email.message email.parser email.policy
        email.utils email.header email.errors email.headerregistry email.mime email.mime.text
        email.mime.multipart email.mime.base email.mime.application email.mime.image email.mime.audio
        email.mime.message email.mime.nonmultipart email.encoders email.charset email.generator
        email.contentmanager email.iterators email.feedparser email.quoprimime email.base64mime
        compression.zlib compression.gzip compression.bz2 compression.lzma compression.zstd
        multiprocessing.dummy multiprocessing.pool http.cookies string.templatelib logging.handlers
    """.split()
)

#: Begins what a task is told that has no files, and would where ``REPTARIUM_SCRATCH`` gives some (see refusals.py).
NO_FILES = "tasks have no files"
PICKLES = "pickles run code"
NO_PROCESSES = "tasks start no processes; use threads (concurrent.futures), or let n8n do it in another node"
NO_NETWORK = "tasks have no network; let n8n do the request, with _helpers.http_request(…) or an HTTP Request node"
_NO_SERVICE = "tasks have no network; let a node of n8n's do it: Send Email, Email Trigger (IMAP), FTP"
_BY_PATH = "it works on files by their paths; use open, pathlib or sqlite3 where REPTARIUM_SCRATCH gives tasks files"
_PATHS = "it is what os.path and pathlib are made of; use those (pathlib.PureWindowsPath for names of Windows)"
_SERVES = "a task lives for its items and can't be connected to; let a Webhook node of n8n's answer"
_INTERPRETER = "it opens the interpreter itself"
TEXT_AS_CODE = "it runs text as code"
_TERMINAL = "there is no terminal and no screen in a task"
_SYSTEM = "it is about the machine, not the data"
_TOOLS = "it is a tool for developing Python programs"
_OLD = "it is obsolete, and gone from Python 3.13"
_OLDER = "it is obsolete, and gone from Python 3.12"

REFUSED: dict[str, str] = {
    name: why
    for why, names in {
        f"{NO_FILES}; use the node's binary data, io.StringIO and io.BytesIO": "filecmp glob shutil tempfile",
        _BY_PATH: "dbm fileinput linecache mailbox netrc shelve zipapp",
        _PATHS: "ntpath posixpath genericpath nturl2path",
        NO_PROCESSES: "pty subprocess concurrent.futures.process asyncio.subprocess "
        "multiprocessing.connection multiprocessing.context multiprocessing.managers multiprocessing.process "
        "multiprocessing.queues multiprocessing.shared_memory multiprocessing.sharedctypes multiprocessing.synchronize",
        NO_NETWORK: "http.client urllib.request urllib.robotparser nntplib select selectors socket ssl "
        "telnetlib xmlrpc",
        _NO_SERVICE: "ftplib imaplib poplib smtplib",
        _SERVES: "socketserver wsgiref http.server xmlrpc.server",
        _INTERPRETER: "ctypes dis faulthandler marshal mmap opcode site sre_compile sre_constants sre_parse symtable "
        "sysconfig tracemalloc zipimport pkgutil annotationlib",
        f"{PICKLES}; use json": "pickle pickletools copyreg",
        "its names are there without it": "builtins",
        "a task ends with its code; use try and finally": "atexit",
        "a task has no signals to handle or to send; use time.monotonic() for limits of time": "signal",
        "it is what codecs is made of; use that": "encodings",
        "it is what the XML packages are made of; use xml.etree.ElementTree": "pyexpat xml.parsers xml.parsers.expat",
        "it reads the files of installed packages; most tell their version as __version__": "importlib.metadata "
        "importlib.resources",
        "imports are made by import statements; for what may be missing there is except ImportError": "importlib.util "
        "importlib.machinery importlib.abc",
        "it makes objects of the names in a dict; use logging.basicConfig() and logger.addHandler()": "logging.config",
        f"{TEXT_AS_CODE}; use time.perf_counter()": "timeit",
        TEXT_AS_CODE: "bdb code codeop doctest pdb runpy trace",
        "it reads translations from files; keep them in a dict": "gettext",
        _TERMINAL: "cmd curses getpass readline rlcompleter termios tty tkinter turtle turtledemo idlelib webbrowser",
        _SYSTEM: "fcntl grp msvcrt nt posix pwd resource syslog winreg winsound",
        _TOOLS: "antigravity compileall cProfile ensurepip modulefinder profile profiling pstats py_compile pyclbr "
        "pydoc pydoc_data tabnanny this token tokenize unittest venv",
        _OLD: "aifc audioop cgi cgitb chunk crypt imghdr lib2to3 mailcap msilib nis ossaudiodev pipes sndhdr spwd "
        "sunau uu xdrlib",
        _OLDER: "asynchat asyncore distutils imp smtpd",
    }.items()
    for name in names.split()
}
#: Refused as well, but open where tasks may connect (``REPTARIUM_CONNECT_ALLOW``).
NETWORK = frozenset(
    "socket ssl select selectors http.client http.cookiejar urllib.request urllib.response urllib.error "
    "urllib.robotparser ftplib imaplib poplib smtplib nntplib telnetlib xmlrpc xmlrpc.client".split()
)
#: Short façades: what they carry besides where tasks may connect.
NETWORK_NAMES = {"asyncio": "open_connection StreamReader StreamWriter IncompleteReadError LimitOverrunError"}

NOT_DATA = "it is about the interpreter or the machine, not the data"
_DATA = f"{NO_FILES}; use the node's binary data, io.StringIO and io.BytesIO"
_NOT_FOR_TASKS = "it isn't among what tasks may do, with files of their own or without"
#: Short façades: why they lack what the real module has (names that begin with these, or all else). What is there where
#: tasks have files (``files.py``) is none of theirs.
WITHHELD: dict[str, dict[str, str]] = {
    "os": {
        "abort kill _exit": "a task has no signals to send and doesn't end its process: return, or raise an exception",
        "exec fork spawn posix_spawn POSIX_SPAWN system popen wait pidfd_ register_at_fork EX_ P_ CLD_ W":
            NO_PROCESSES,
        "ctermid isatty ttyname openpty login_tty tcgetpgrp tcsetpgrp get_terminal_size terminal_size": _TERMINAL,
        "putenv unsetenv environb getenvb supports_bytes_environ": "a task's environment is os.environ",
        "getxattr setxattr": _NOT_FOR_TASKS,
        "get set sched_ SCHED_ PRIO_ RTLD_ GRND_ MFD_ memfd_ EFD_ eventfd login times uname umask nice confstr sysconf "
        "initgroups NGROUPS_ device_encoding": NOT_DATA,
        "": _NOT_FOR_TASKS,
    },
    "os.path": {"": _NOT_FOR_TASKS},
    "io": {"": _NOT_FOR_TASKS},
    "multiprocessing": {"": NO_PROCESSES},
    "multiprocessing.pool": {"": NO_PROCESSES},
    "mimetypes": {"init knownfiles read_mime_types": "it reads files of the machine", "": NOT_DATA},
    "codecs": {
        "register": "it is what str.encode and bytes.decode are made of; use those, or codecs.getencoder and "
        "codecs.getdecoder",
        "": NOT_DATA,
    },
    "inspect": {
        "currentframe stack trace getframeinfo getouterframes getinnerframes getargvalues FrameInfo Traceback":
            "it hands out frames, which belong to the interpreter; traceback.format_exc() tells where an error was",
        "getsource findsource getcomments getfile getabsfile getmodule": "a task's program is not a file",
        "": NOT_DATA,
    },
    "traceback": {
        "": "it is about the frames that run the task; traceback.format_exc() and its like tell of an error's",
    },
    "logging.handlers": {
        "Socket Datagram SysLog NTEvent SMTP HTTP DEFAULT_ SYSLOG_":
            "it sends records to other machines; collect them in a handler of your own, and let n8n send them",
        "": NOT_DATA,
    },
    "zipfile": {
        "Path CompleteDirs FastLookup": "it gives the archive another class, and those can't be changed; "
        "use namelist(), read() and open()",
        "": NOT_DATA,
    },
    "xml.sax": {
        "parse make_parser InputSource": "it reads what addresses and paths name; use parseString() with the text",
        "": NOT_DATA,
    },
    "sys": {"stdin": "what comes in is _items, _item or _query", "": NOT_DATA},
    "asyncio": {
        "create_subprocess subprocess": NO_PROCESSES,
        "start_ Server": _SERVES,
        "open_unix Datagram Transport Protocol BaseTransport BaseProtocol": "it is beneath asyncio.open_connection",
        "": NOT_DATA,
    },
}  # fmt: skip


def withheld_reason(module: str, name: str, files: bool = False, connections: bool = False) -> str | None:
    """Why the façade of a standard module lacks a name that the real one has; None where it isn't public.

    ``files``: whether tasks have some of their own (``REPTARIUM_SCRATCH``); ``connections``: whether they may connect.
    """
    if name.startswith("_") and name != "_exit":
        return None
    if name in OPEN.get(module, ()):
        return f"{OPEN_WHY.get(f'{module}.{name}') or OPEN_WHY[module]}. No setting allows it."
    if not connections and name in NETWORK_NAMES.get(module, "").split():
        return f"{NO_NETWORK}. REPTARIUM_CONNECT_ALLOW decides this."
    if not files and name in of_files.NAMES.get(module, "").split():
        return f"{_DATA}. No setting allows it."
    for starts, why in WITHHELD.get(module, {"": NOT_DATA}).items():
        if not starts or name.startswith(tuple(starts.split())):
            return f"{why}. No setting allows it."
    return None


#: Modules that are called in hot loops: tasks get plain module objects for them, from which Python 3.11 and later read
#: at once. What is set on one would be set on the façade alone, so the compiler sees to it that nothing is.
HOT = frozenset(
    """
        math cmath operator itertools functools random re time datetime json collections heapq bisect struct string
        statistics copy hashlib base64 binascii zlib unicodedata decimal fractions calendar textwrap html urllib
        urllib.parse uuid
    """.split()
)

#: Module → what of it a task may set: it reaches the real module.
SETTINGS: dict[str, str] = {
    "warnings": "showwarning formatwarning filters",
    "logging": "raiseExceptions logThreads logProcesses logMultiprocessing root",
}

#: Module → public names that its own functions bind anew. (``time.tzset`` does, too: packages/standard/process.py.)
REBOUND: dict[str, str] = {"mimetypes": "common_types types_map"}


def setting_refusal(module: str, name: str) -> tuple[str, str] | None:
    """Why this name of a standard module may not be set (or deleted), as what and why; None when it may."""
    if module.partition(".")[0] not in sys.stdlib_module_names or name in SETTINGS.get(module, "").split():
        return None
    if module == "sys" and name in ("stdout", "stderr"):
        return (
            f"changing '{name}' of the module '{module}' is not allowed",
            "it is the worker's; have with contextlib.redirect_stdout(io.StringIO()) take what is printed",
        )
    return (
        f"changing '{name}' of the module '{module}' is not allowed",
        "a task leaves the standard library as it is; call a function of your own instead",
    )


#: What the runner itself is made of. ``*`` means what the administrator has installed for tasks, and not these. (attrs,
#: which trio needs, stays open: people's classes are written with it.)
RUNNERS_OWN = frozenset(
    "trio trio_websocket psutil msgspec h11 structlog hypercorn starlette prometheus_client rich wsproto h2 hpack "
    "hyperframe priority outcome sniffio anyio typing_extensions markdown_it mdurl sentry_sdk dns idna "
    "pycparser pygments sortedcontainers".split()
)

#: Packages outside the standard library that no allowlist opens.
REFUSED_EXTERNAL: dict[str, str] = {
    **dict.fromkeys(("reptarium", "RestrictedPython"), "it is the sandbox's own"),
    **dict.fromkeys(("pip", "setuptools", "pkg_resources", "_distutils_hack", "ensurepip", "wheel"), _TOOLS),
    **dict.fromkeys(
        ("cffi", "psutil", "py", "pytest", "_pytest", "IPython", "dill", "cloudpickle", "jsonpickle"),
        _INTERPRETER,
    ),
    **dict.fromkeys(("greenlet", "gevent"), "it changes how the interpreter runs; use asyncio"),
}
