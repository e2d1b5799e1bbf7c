"""What calls are given, as far as it stands in the program: texts, hosts, addresses."""

from __future__ import annotations

import ast
import re

from reptarium.sandbox.judge.addresses import HOST, PLAIN_HOST, in_pairs
from reptarium.sandbox.judge.constants import Constants
from reptarium.sandbox.judge.network import BY_ADDRESS, BY_PAIRS, BY_PLACE, HOSTS, MAYBE_FILES, PORT, SCHEMES

#: Entries of a dict that is spread out into a call, of which hosts are looked for; arguments that may be an address.
_MOST_SPREAD, _MOST_ARGUMENTS = 100, 4


class Arguments:
    """Of calls of one program, whose names for texts are ``constants``."""

    def __init__(self, constants: Constants) -> None:
        self._constants = constants

    def plain(self, node: ast.expr | None) -> str:
        """A text that an expression gives; empty where that isn't known, or no text."""
        return self._constants.text(node) or ""

    def text(self, call: ast.Call, place: int, keyword: str = "") -> str:
        """Likewise an argument, by its place or its keyword."""
        if place < len(call.args):
            return self.plain(call.args[place])
        return next((self.plain(one.value) for one in call.keywords if keyword and one.arg == keyword), "")

    def host(self, call: ast.Call, library: str, port: int) -> tuple[str, int] | None:
        """Host and port of a call that takes a host, by a keyword or first of all; ``port`` where it tells none."""
        given = self._keywords(call)
        named = [value for key, value in given.items() if key in HOSTS]
        host = named[0] if named else call.args[0] if call.args else None
        number = given.get(PORT, call.args[1] if len(call.args) > 1 and not named else None)
        host = self._constants.value(host)
        if isinstance(host, ast.Tuple) and len(host.elts) == 2:  # socket.create_connection((host, port))
            host, number = host.elts
            named = [host]
        text, number = self.plain(host), self._constants.value(number)
        if library in BY_PAIRS and not named and (pairs := in_pairs(text)):
            text, port = pairs[0], pairs[1] or port
        elif not (HOST.fullmatch(text) and (named or (library in BY_PLACE and PLAIN_HOST.fullmatch(text)))):
            return None
        told = number.value if isinstance(number, ast.Constant) else None
        if isinstance(told, str):
            told = int(told) if re.fullmatch("[0-9]{1,5}", told) else 0
        if type(told) is int and 0 < told < 65_536:
            port = told
        return text, port

    def connects_at(self, name: str, call: ast.Call) -> str:
        """What connects where a call takes an address; empty where it doesn't, or the address is no server's."""
        if name not in BY_ADDRESS:
            return ""
        arguments = [*call.args, *(keyword.value for keyword in call.keywords)][:_MOST_ARGUMENTS]
        schemes = [scheme for one in arguments if (scheme := self._scheme(one))]
        if any(scheme in SCHEMES for scheme in schemes) or not (schemes or name in MAYBE_FILES):
            return BY_ADDRESS[name]
        return ""

    def _scheme(self, node: ast.expr) -> str:
        """The scheme of an address, `postgresql` of `postgresql+psycopg://…`; empty where there is none."""
        node = self._constants.value(node) or node
        runs = self._constants.runs(node) if isinstance(node, ast.JoinedStr) else [(self.plain(node), True)]
        scheme, found, _ = runs[0][0].partition(":") if runs else ("", "", "")
        return scheme.partition("+")[0] if found else ""

    def _keywords(self, call: ast.Call) -> dict[str, ast.expr]:
        """The keywords of a call, those of a dict that is spread out too."""
        given: dict[str, ast.expr] = {}
        for keyword in call.keywords:
            value = self._constants.value(keyword.value)
            if keyword.arg:
                given[keyword.arg] = keyword.value
            elif isinstance(value, ast.Dict) and len(value.keys) <= _MOST_SPREAD:
                pairs = zip(value.keys, value.values, strict=True)
                given.update({name: one for key, one in pairs if (name := self.plain(key))})
        return given
