"""SQLite without its own ways out: to files that are attached, and to the memory of the process.

SQLite opens what is attached itself, and no audit event tells. Where tasks have no files nothing can be attached to
their connections, and they have no name for what would change that (``setlimit``).

``fts3_tokenizer(name)`` tells the address of a full-text tokenizer, ``fts3_tokenizer(name, ?)`` takes one for a table
of functions to call: who may ask for a query runs machine code where SQLite was built so, as Debian's was. Each
connection that is opened, by a task or by a package, has a function of ours in its place. That is why a connection is
only opened here, or by a package (``hardening/audit.py``).
"""

from __future__ import annotations

from typing import Any

from reptarium.sandbox.language.guards import refused
from reptarium.sandbox.language.hardening.audit import library_acts, state, watching
from reptarium.sandbox.language.packages.package import Package
from reptarium.sandbox.language.policy.stdlib import NO_FILES

#: Where ``sqlite3.connect`` takes its factory, after the database.
_FACTORY = 4
_ATTACHED = 7  # SQLITE_LIMIT_ATTACHED
_TAKES_POINTERS = "fts3_tokenizer"
#: The class of all connections, once there is one.
_connection: list[Any] = []


def _refuse(*_: object) -> None:
    raise refused(f"{_TAKES_POINTERS}() is not allowed", "it tells and takes addresses of memory")


def _class(real: Any) -> Any:
    make, limit = real.create_function, real.setlimit

    class Connection(real):  # type: ignore[misc]  # not at the top: it brings a shared library along
        __doc__ = real.__doc__

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            real.__init__(self, *args, **kwargs)
            # by the real one's methods, whatever its class has by these names
            for arguments in (1, 2):
                make(self, _TAKES_POINTERS, arguments, _refuse)
            if not (state.files or library_acts()):
                limit(self, _ATTACHED, 0)

    Connection.__module__, Connection.__qualname__ = "sqlite3", "Connection"
    return Connection


def _patch(module: Any) -> None:
    if not _connection:
        _connection.append(_class(module.Connection))
    cls, real = _connection[0], module.connect
    if module.Connection is cls:  # taken over from its part
        return

    def connect(database: Any, *args: Any, **kwargs: Any) -> Any:
        """Open a connection to the SQLite database file *database*."""
        factory = args[_FACTORY] if len(args) > _FACTORY else kwargs.setdefault("factory", cls)
        if watching() and not (issubclass(type(factory), type) and issubclass(factory, cls)):
            raise refused(
                "sqlite3.connect() with this factory is not allowed", "give it a class derived from sqlite3.Connection"
            )
        return real(database, *args, **kwargs)

    module.Connection, module.connect = cls, connect


def _facade(real: Any) -> dict[str, Any]:
    def connect(database: Any = ":memory:", *args: Any, **kwargs: Any) -> Any:
        """``sqlite3.connect`` of a database in memory."""
        if database not in (":memory:", ""):
            raise refused("sqlite3.connect() of a file is not allowed", f"{NO_FILES}; use ':memory:'")
        return real.connect(":memory:", *args, **kwargs)

    return {"connect": connect}


PACKAGES = (
    Package("sqlite3", made={"sqlite3": _facade}, patches=dict.fromkeys(("sqlite3.dbapi2", "sqlite3"), _patch)),
)
