"""The standard library, module by module: what user code may import once the allowlist permits it.

``*`` turns off only the allowlist. A module is here because somebody has read it: either it is open
(``OPEN``, perhaps with names withheld or as a short list), or it is refused with a reason
(``REFUSED``). A module in neither table is refused: a new Python version's modules are read first.
"""

from __future__ import annotations

#: Public names are carried over except those listed.
OPEN: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        """
            json math datetime time calendar itertools statistics random decimal fractions textwrap
            hashlib hmac base64 binascii secrets copy heapq bisect html difflib unicodedata struct array
            pprint ipaddress cmath colorsys graphlib keyword numbers stringprep tomllib fnmatch reprlib
            queue contextvars errno quopri shlex re typing collections dataclasses enum abc contextlib
            string functools operator csv zlib gzip bz2 lzma email warnings zoneinfo sched crypt
        """.split(),
        (),
    ),
    "typing": ("get_type_hints", "evaluate_forward_ref"),
    "dataclasses": (),
    "functools": ("singledispatchmethod",),
    "copy": ("dispatch_table",),
    "contextlib": ("redirect_stdout", "redirect_stderr", "chdir"),
    "zoneinfo": ("reset_tzpath",),
    "secrets": (),
    "random": (),
    "statistics": ("attrgetter",),
    "json": (),
    "enum": ("EnumMeta", "EnumType", "global_enum"),  # global_enum writes into the module that a class names
}

#: Only these names are carried over, where most of a module is not for tasks.
ONLY: dict[str, str] = {
    "abc": "ABC abstractmethod abstractproperty abstractclassmethod abstractstaticmethod",
    "ast": "literal_eval",
    "codecs": "BOM_UTF8 BOM_UTF16 BOM_UTF16_LE BOM_UTF16_BE BOM_UTF32 BOM_UTF32_LE BOM_UTF32_BE decode encode",
    "html": "escape unescape",
    "io": "StringIO BytesIO SEEK_SET SEEK_CUR SEEK_END DEFAULT_BUFFER_SIZE",
    "locale": "atof atoi currency delocalize format_string localeconv Error LC_ALL LC_NUMERIC LC_MONETARY",
    "logging": (
        "debug info warning error critical exception log getLogger basicConfig Logger LoggerAdapter Formatter "
        "StreamHandler NullHandler Handler Filter LogRecord getLevelName addLevelName disable captureWarnings "
        "DEBUG INFO WARNING WARN ERROR CRITICAL FATAL NOTSET"
    ),
    "mimetypes": "guess_type guess_extension guess_all_extensions types_map common_types",
    "os": "path sep linesep altsep extsep pathsep curdir pardir name urandom environ getenv",
    "os.path": (
        "basename commonpath commonprefix dirname isabs join normcase normpath split splitdrive splitext sep "
        "altsep extsep pathsep curdir pardir"
    ),
    "pathlib": "PurePath PurePosixPath PureWindowsPath",
    "platform": "python_version python_version_tuple python_implementation system machine",
    "shlex": "split quote join",  # shlex.shlex() reads the worker's own standard input
    "sys": (
        "version version_info hexversion maxsize maxunicode byteorder float_info int_info hash_info "
        "implementation platform getsizeof getrecursionlimit intern exit api_version "
        "stdout stderr"
    ),
    "traceback": (
        "format_exc print_exc format_exception format_exception_only print_exception format_tb print_tb format_list"
    ),
    "types": (
        "SimpleNamespace MappingProxyType NoneType EllipsisType NotImplementedType UnionType GenericAlias "
        "FunctionType LambdaType GeneratorType MethodType BuiltinFunctionType BuiltinMethodType ModuleType "
        "DynamicClassAttribute"
    ),
    "importlib": "import_module",
    "weakref": "ref proxy WeakKeyDictionary WeakValueDictionary WeakSet ReferenceType ProxyType",
    "uuid": "UUID SafeUUID uuid1 uuid3 uuid4 uuid5 uuid6 uuid7 uuid8 "
    "NAMESPACE_DNS NAMESPACE_URL NAMESPACE_OID NAMESPACE_X500 NIL MAX",
    "warnings": "warn warn_explicit filterwarnings simplefilter resetwarnings formatwarning catch_warnings",
    "token": "",
    "zipfile": "ZipFile ZipInfo BadZipFile LargeZipFile is_zipfile ZIP_STORED ZIP_DEFLATED ZIP_BZIP2 ZIP_LZMA",
    "tarfile": "TarFile TarInfo TarError ReadError is_tarfile open",
    "configparser": (
        "ConfigParser RawConfigParser Error NoSectionError NoOptionError ParsingError BasicInterpolation "
        "ExtendedInterpolation MissingSectionHeaderError DuplicateSectionError DuplicateOptionError"
    ),
    "plistlib": "load loads dump dumps FMT_XML FMT_BINARY UID InvalidFileException",
    "xml": "etree sax",
    "xml.sax": "saxutils",
    "xml.sax.saxutils": "escape unescape quoteattr",
    "xml.etree": "ElementTree",
    "xml.etree.ElementTree": (
        "Element SubElement ElementTree Comment ProcessingInstruction PI QName TreeBuilder XMLParser XMLPullParser "
        "ParseError XML XMLID fromstring fromstringlist tostring tostringlist iterparse parse iselement indent "
        "dump canonicalize register_namespace C14NWriterTarget VERSION"
    ),
    "urllib": "parse",
    "http": "HTTPStatus HTTPMethod",
    "concurrent": "",
}
for _name, _listed in ONLY.items():
    OPEN.setdefault(_name, ())
del OPEN["concurrent"], OPEN["token"], ONLY["concurrent"], ONLY["token"]

#: Submodules that come with an open module; other submodules of stdlib packages are refused.
SUBMODULES = frozenset(
    """
        collections.abc html.parser html.entities json.decoder json.encoder urllib.parse xml.etree
        xml.etree.ElementTree xml.sax xml.sax.saxutils os.path email.message email.parser email.policy
        email.utils email.header email.errors email.headerregistry email.mime email.mime.text
        email.mime.multipart email.mime.base email.mime.application email.mime.image email.mime.audio
        email.mime.message email.mime.nonmultipart email.encoders email.charset email.generator
        email.contentmanager email.iterators email.feedparser email.quoprimime email.base64mime
    """.split()
)

_FILES = "tasks have no files"
_PROCESSES = "tasks start no processes"
_NETWORK = "tasks have no network"
_INTERPRETER = "it opens the interpreter itself"
_THREADS = "a task is one thread"
_CODE = "it runs text as code"
_TERMINAL = "there is no terminal in a task"
_SYSTEM = "it is about the machine, not the data"
_TOOLS = "it is a tool for developing Python programs"
_OLD = "it is obsolete"

REFUSED: dict[str, str] = {
    name: why
    for why, names in {
        _FILES: "aifc audioop chunk dbm filecmp fileinput glob imghdr linecache mailbox mailcap netrc nturl2path "
        "ntpath posixpath genericpath shelve shutil sndhdr sqlite3 stat sunau tempfile uu wave xdrlib zipapp "
        "compression",
        _PROCESSES: "multiprocessing pipes pty subprocess concurrent",
        _NETWORK: "asynchat asyncore asyncio cgi ftplib http.client imaplib nntplib poplib select selectors smtpd "
        "smtplib socket socketserver ssl telnetlib webbrowser wsgiref xmlrpc",
        _INTERPRETER: "atexit builtins copyreg ctypes dis faulthandler gc inspect marshal mmap opcode pickle "
        "pickletools "
        "signal site sre_compile sre_constants sre_parse symtable sysconfig tracemalloc zipimport pkgutil "
        "imp runpy encodings pyexpat annotationlib",
        _THREADS: "threading",
        _CODE: "bdb cProfile code codeop doctest gettext pdb profile pstats timeit trace unittest optparse argparse "
        "getopt cmd",
        _TERMINAL: "curses getpass readline rlcompleter termios tty tkinter turtle turtledemo idlelib",
        _SYSTEM: "fcntl grp msvcrt msilib nis nt ossaudiodev posix pwd resource spwd syslog winreg winsound",
        _TOOLS: "antigravity compileall distutils ensurepip lib2to3 modulefinder py_compile pyclbr pydoc pydoc_data "
        "tabnanny this token tokenize venv",
        _OLD: "cgitb",
    }.items()
    for name in names.split()
}
#: Refused as well, but open where tasks may connect (``REPTARIUM_CONNECT_ALLOW``).
NETWORK = frozenset(
    "socket ssl select selectors http.client http.cookies http.cookiejar urllib.request urllib.response urllib.error "
    "ftplib imaplib poplib smtplib nntplib telnetlib xmlrpc xmlrpc.client".split()
)
REFUSED["crypt"] = _OLD
OPEN.pop("crypt", None)
REFUSED["string.templatelib"] = "it isn't read yet"
SUBMODULES |= {"string.templatelib"}
REFUSED.pop("string.templatelib")

#: Packages outside the standard library that no allowlist opens.
REFUSED_EXTERNAL: dict[str, str] = {
    **dict.fromkeys(("reptarium", "RestrictedPython"), "it is the sandbox's own"),
    **dict.fromkeys(("pip", "setuptools", "pkg_resources", "_distutils_hack", "ensurepip", "wheel"), _TOOLS),
    **dict.fromkeys(
        ("cffi", "psutil", "py", "pytest", "_pytest", "IPython", "dill", "cloudpickle", "jsonpickle"),
        _INTERPRETER,
    ),
    **dict.fromkeys(("attr", "attrs"), "it pastes names into code that it runs; use dataclasses"),
    **dict.fromkeys(("trio", "trio_websocket", "greenlet", "gevent", "anyio", "hypercorn"), "a task is synchronous"),
}
