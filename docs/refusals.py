"""The list of docs/user-code.md of all that the restricted mode refuses: ``python docs/refusals.py`` writes it anew.

Names come from the tables of the language layer, all else from its source: every place that makes a refusal is found
there, and what it says. A place whose words can't be read off the source, and that no table has, is an error. A test
holds the page against this (tests/unit/house/test_refusals.py).
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from reptarium.sandbox.language.packages import pandas, registry
from reptarium.sandbox.language.policy import files, names, stdlib
from reptarium.sandbox.language.policy.allowlist import CONNECT_SETTING
from reptarium.sandbox.language.policy.refusals import BY_PYTHON, with_other_mode

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/user-code.md"
SOURCE = ROOT / "sandbox/language"
#: What stands between these on the page is replaced; neither is seen when it is rendered.
_BLOCK = re.compile(r"(<!-- refusals -->\n).*?(<!-- / -->)", re.DOTALL)


# ---- from the tables ---------------------------------------------------------------------


def ways(said: str) -> str:
    """What opens it, as a person is told at the end of the refusal."""
    told = with_other_mode(said if said.endswith(("decides this.", BY_PYTHON)) else f"{said}. No setting allows it.")
    end = told.removesuffix(".").rpartition(". ")[2]
    settings = re.findall(r"[A-Z][A-Z0-9_]{5,}(?:=python)?", end)
    return " with ".join(f"`{setting}`" for setting in settings) or "nothing"


def modules() -> dict[str, str]:
    """Standard module → why it is refused where all is listed, and what decides where a setting does."""
    connecting = {name: stdlib.REFUSED.get(name, stdlib.NO_NETWORK) for name in stdlib.NETWORK}
    return stdlib.REFUSED | {name: f"{why}. {CONNECT_SETTING} decides this." for name, why in connecting.items()}


def functions() -> dict[str, str]:
    """Functions and methods that say so themselves → why."""
    found = {
        f"{module}.{name}": why
        for package in registry.PACKAGES.values()
        for module, reasons in package.refused.items()
        for why, listed in reasons.items()
        for name in listed.split()
    }
    return found | {f"DataFrame.{method}": why for method, why in pandas.METHODS.items()}


def parts() -> dict[str, str]:
    """What the short stand-ins of standard modules lack, and why: names that begin so (``…``), or all else."""
    found = {}
    for module, listed in files.NAMES.items():
        for name in set(listed.split()) - set(stdlib.ONLY[module].split()):
            found[f"{module}.{name}"] = _reason(module, name)
    for module, listed in stdlib.NETWORK_NAMES.items():
        found |= {f"{module}.{name}": _reason(module, name) for name in listed.split()}
    for module, reasons in stdlib.WITHHELD.items():
        for starts, why in reasons.items():
            found |= {f"{module}.{start}…": why for start in starts.split()} or {f"{module}.…": why}
    others = sorted(stdlib.ONLY.keys() - stdlib.WITHHELD.keys())
    return found | {f"{module}.…": _reason(module, "anything") for module in others}


def _reason(module: str, name: str) -> str:
    why = stdlib.withheld_reason(module, name)
    assert why is not None
    return why.removesuffix(" No setting allows it.").removesuffix(".") if "No setting" in why else why


def tables() -> dict[str, Mapping[str, str]]:
    """Title → name → why."""
    return {
        "Builtins": names.DENIED_BUILTINS,
        "Modules of the standard library": modules(),
        "Names of modules (`…`: what begins so, or else isn't there)": parts(),
        "Functions and methods": functions(),
        "Packages": stdlib.REFUSED_EXTERNAL,
    }


# ---- from the source ---------------------------------------------------------------------


class Said(NamedTuple):
    """A refusal as the source has it, ``…`` for what only running tells."""

    what: str
    why: str


#: What makes a refusal → which of its arguments say what is refused, and why (-1: the same one).
_MAKERS: dict[str, tuple[int, int]] = {
    **dict.fromkeys(("RefusedAttribute", "RefusedImport", "RefusedOperation", "unavailable"), (0, -1)),
    "refused": (0, 1),
    "refusing": (0, 1),
    "with_files": (1, 2),
    "refuse": (1, 2),
    "Finding": (1, 3),
}
#: Makers with a reason of their own where none is given.
_USUAL = {"refused": "it belongs to the interpreter"}
#: Functions that only pass on what others of these say.
_PASS_ON = frozenset({"refused", "refusing", "refuse", "with_files", "_refused"})
#: Functions that return why (and perhaps what, or which setting decides) → what they are asked about.
_TELLERS = {
    "import_refusal": "the import of '…' is not allowed",
    "unlisted": "the import of '…' is not allowed",
    "beyond_the_way": "'…' of the module '…' is not allowed",
    "setting_refusal": "",
    "attribute_advice": "the attribute '…' is not allowed",
    "special_advice": "binding the name '…' is not allowed",
    "annotation_refusal": "",
}
#: Expressions that stand for words of these functions, or of the tables above.
_ELSEWHERE = frozenset(
    {
        'REFUSED.get(name, "this layer doesn\'t know it")',
        "attribute_advice(name)",
        "special_advice(name)",
        "attribute_advice(alias.name)",
        "*refusal",
        "refusal",
        "what",
        "why",
        "why or 'the administrator removed it'",
        "text",
        "_WHY",
    }
)


def said() -> list[Said]:
    """What each place of the source says that refuses something. ValueError: words that can't be read off it."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        module = importlib.import_module(".".join(("reptarium", *path.relative_to(ROOT).with_suffix("").parts)))
        reader = _Reader(vars(module), f"{path.relative_to(ROOT)}")
        for node in _outside(tree):
            if isinstance(node, ast.FunctionDef) and node.name in _TELLERS:
                found += [
                    one
                    for each in ast.walk(node)
                    if isinstance(each, ast.Return)
                    for one in reader.told(each, _TELLERS[node.name])
                ]
            elif isinstance(node, ast.Call):
                found += reader.called(node)
    return sorted(set(found))


def _outside(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.FunctionDef) and child.name in _PASS_ON):
            yield child
            yield from _outside(child)


class _Reader(NamedTuple):
    """Reads words of one file."""

    names: Mapping[str, object]
    file: str

    def told(self, node: ast.Return, what: str) -> list[Said]:
        """What a function returns that says why."""
        words = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
        texts = [self.text(each) for each in words if isinstance(each, (ast.Constant, ast.JoinedStr, ast.Name))]
        setting = "".join(f". {text} decides this." for text in texts if text and text.isupper())
        plain = [text for text in texts if text and " " in text]
        if len(plain) == 2:
            return [Said(*plain)]
        return [Said(what, text + setting) if what else _parted(text) for text in plain]

    def called(self, call: ast.Call) -> list[Said]:
        """What a call says that makes a refusal."""
        maker = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if maker not in _MAKERS or not call.args:
            return []
        at, why_at = _MAKERS[maker]
        if maker == "RefusedOperation" and len(call.args) > 1:
            at = 1  # after the number of the error
        what = self.words(call, at)
        if why_at == -1:
            return [_parted(what)] if what else []
        if len(call.args) <= why_at and maker in _USUAL:
            why: str | None = _USUAL[maker]
        else:
            why = self.words(call, why_at)
        if why is None:
            return []
        if maker in ("refuse", "Finding") and ast.unparse(call.args[-1]) == "''":
            why += f". {BY_PYTHON}"
        what = what or "…"
        return [Said(what if "not allowed" in what else f"{what} is not allowed", why)]

    def words(self, call: ast.Call, at: int) -> str | None:
        """An argument's words; None where another place has them."""
        node = call.args[at] if at < len(call.args) else call.args[-1]
        if ast.unparse(node) in _ELSEWHERE:
            return None
        text = self.text(node)
        if text is None:
            raise ValueError(f"{self.file}:{call.lineno}: what this says can't be listed: {ast.unparse(node)}")
        return text

    def text(self, node: ast.AST | None) -> str | None:
        """Its words as far as the source has them."""
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else None
        if isinstance(node, ast.Name):
            value = self.names.get(node.id)
            return value if isinstance(value, str) else None
        if isinstance(node, ast.JoinedStr):
            parts = (each.value if isinstance(each, ast.FormattedValue) else each for each in node.values)
            return "".join(self.text(each) or "…" for each in parts)
        return None


def _parted(text: str) -> Said:
    """What and why, of a text that has both. ValueError: it has no reason."""
    ends = text.endswith("decides this.")
    text = text.removesuffix(" No setting allows it.").removesuffix(" (no setting allows it)")
    what, _, why = text.partition(": ")
    if not why and not what.endswith("…"):
        raise ValueError(f"no reason: {text}")
    return Said(what, why if ends else why.removesuffix("."))


def others() -> list[Said]:
    """All that the source refuses and no table has."""
    tabled = {why for table in tables().values() for why in table.values()}
    return [each for each in said() if each.why not in tabled and re.search(r"[a-z]{3}", _plain(each.why))]


# ---- the page ----------------------------------------------------------------------------


def _rows(table: Mapping[str, str]) -> list[str]:
    found: dict[str, list[str]] = {}
    for name, why in table.items():
        found.setdefault(why, []).append(name)
    return [
        f"| {', '.join(f'`{name}`' for name in sorted(set(listed)))} | {_plain(why)} | {ways(why)} |"
        for why, listed in found.items()
    ]


def _plain(why: str) -> str:
    return re.sub(r"\. (\S+ decides this|Python itself .*)\.$", "", why)


def listed() -> str:
    """All of it, as the page has it."""
    parts = [(title, _rows(table)) for title, table in tables().items()]
    parts.append(("All else", [f"| {each.what} | {_plain(each.why)} | {ways(each.why)} |" for each in others()]))
    return "\n".join(
        f"| {title} | why | what opens it |\n| --- | --- | --- |\n" + "\n".join(rows) + "\n" for title, rows in parts
    )


def written(page: str) -> str:
    """``page`` with its list as the code has it."""
    return _BLOCK.sub(lambda block: f"{block[1]}{listed()}{block[2]}", page)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
