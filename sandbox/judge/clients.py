"""Which libraries a program connects by: not those of which it uses errors and the like alone, nor clients that it
makes and asks nothing of.
"""

from __future__ import annotations

import ast

from reptarium.sandbox.judge.network import library_of

#: Parts of libraries that connect to nothing: of any of them, and of one.
_QUIET = frozenset(
    "exceptions exception errors error codes status_codes compat util utils warnings types URL QueryParams Headers "
    "Limits Cookies Request PreparedRequest Response Retry HTTPAdapter HTTPBasicAuth HTTPDigestAuth AuthBase "
    "disable_warnings".split()
)
_QUIET_OF = {
    library: frozenset(parts.split())
    for library, parts in {
        "requests": "auth cookies models adapters structures packages",
        "httpx": "BasicAuth MockTransport",
        "httpx2": "BasicAuth MockTransport",
        "aiohttp": "BasicAuth FormData TCPConnector CookieJar web hdrs",
        "urllib.request": "quote unquote urlencode pathname2url url2pathname",
        "botocore": "config Config credentials signers awsrequest auth",
        "psycopg": "sql rows adapt",
        "psycopg2": "sql extras extensions",
        "pymysql": "cursors converters",
        "paramiko": "AutoAddPolicy WarningPolicy RejectPolicy PKey RSAKey ECDSAKey Ed25519Key",
        "pika": "BasicProperties PlainCredentials ConnectionParameters URLParameters",
        "dns": "name rdatatype reversename",
    }.items()
}
_QUIET_ENDS = ("Error", "Exception", "Warning", "Timeout")
#: Libraries whose clients connect when something is asked of them, and functions that make such.
_LAZY = frozenset(
    "requests httpx httpx2 aiohttp urllib3 redis valkey boto3 botocore openai anthropic cohere mistralai groq stripe "
    "slack_sdk notion_client twilio http.client httplib2".split()
)
_MAKERS = frozenset("session client resource from_url".split())
#: What connects to nothing when it is read of a client.
_SETTINGS = frozenset(
    "headers auth params cookies verify proxies cert timeout trust_env mount adapters hooks event_hooks max_redirects "
    "base_url close aclose closed is_closed prepare_request build_request merge_environment_settings meta exceptions "
    "generate_presigned_url generate_presigned_post connection_pool".split()
)


class Clients:
    """What is used of libraries that connect, as it comes."""

    def __init__(self) -> None:
        self._used: dict[str, int] = {}  # with the first line of each
        self._made: dict[int, str] = {}  # a call → the name that its value is given
        self._idle: dict[str, dict[str, int]] = {}  # such a name → libraries whose client it is
        self._settings: set[int] = set()  # names of which but settings are read
        self._asked: set[str] = set()  # names of which more is read

    def bind(self, node: ast.AST) -> None:
        """Take notice of what is given a name. To be shown before it is used."""
        target: ast.expr | None = None
        if isinstance(node, ast.Assign):
            target, value = node.targets[0] if len(node.targets) == 1 else None, node.value
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr):
            target, value = node.target, node.value or node.target
        elif isinstance(node, ast.withitem):
            target, value = node.optional_vars, node.context_expr
        if isinstance(target, ast.Name):
            self._made[id(value)] = target.id

    def take(self, library: str, node: ast.AST) -> None:
        """It connects by this, whatever else is known of it."""
        self._used.setdefault(library, getattr(node, "lineno", 1))

    def imported(self, name: str, node: ast.AST) -> None:
        """It takes this out of a module."""
        library = library_of(name)
        if library is not None and not (library in ("socket", "ssl") or _makes_client(library, name)):
            self._take_read(library, name, node)

    def read(self, name: str, node: ast.AST) -> None:
        """It reads a name of a module, and doesn't call it."""
        library = library_of(name)
        if library is not None and library not in ("socket", "ssl"):
            self._take_read(library, name, node)

    def called(self, name: str, node: ast.Call) -> None:
        """It calls this."""
        library = library_of(name)
        if library is None:
            return
        given = self._made.get(id(node))
        if given is not None and _makes_client(library, name) and _connects(library, name):
            self._idle.setdefault(given, {}).setdefault(library, node.lineno)
        else:
            self._use(library, name, node)

    def look(self, node: ast.AST) -> None:
        """Take notice of what is read, attributes before what they are read of."""
        if isinstance(node, ast.Attribute) and node.attr in _SETTINGS and isinstance(node.value, ast.Name):
            self._settings.add(id(node.value))
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and id(node) not in self._settings:
            self._asked.add(node.id)

    def used(self) -> list[str]:
        """Those of which more is used than a client that may rest."""
        return list(self._used)

    def libraries(self) -> dict[str, int]:
        """Those by which it connects → the first line of each."""
        found = dict(self._used)
        for name in self._idle.keys() & self._asked:
            for library, line in self._idle[name].items():
                found[library] = min(line, found.get(library, line))
        return dict(sorted(found.items(), key=lambda one: one[1]))

    def _take_read(self, library: str, name: str, node: ast.AST) -> None:
        if not name.rpartition(".")[2].isupper():  # a constant, unless it is called
            self._use(library, name, node)

    def _use(self, library: str, name: str, node: ast.AST) -> None:
        if _connects(library, name):
            self.take(library, node)


def _makes_client(library: str, name: str) -> bool:
    """Whether a call of this makes a client that connects when something is asked of it."""
    last = name.rpartition(".")[2]
    return library in _LAZY and name != library and (last[:1].isupper() or last in _MAKERS)


def _connects(library: str, name: str) -> bool:
    parts = name[len(library) + 1 :].split(".")
    return not any(part in _QUIET or part in _QUIET_OF.get(library, ()) or part.endswith(_QUIET_ENDS) for part in parts)
