"""Façades: what user code gets for a module.

A façade is a module object that carries the public attributes of the real one, but no module that is not itself
allowed, no builtin that user code may not have, and no metaclass. It is built once, in the zygote when the module is
preloaded, and shared by fork. Functions and classes it has itself (attribute access as fast as anyone's); what the
real module may bind anew while it runs, settings and counters, is read there each time.

Imports are decided on the module's dotted name against the allowlists. What an allowed module itself
imports is its own business.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import sys
from collections.abc import Callable, Collection
from contextlib import suppress
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from reptarium.sandbox.language import guards, hardening
from reptarium.sandbox.language.hardening import readers, sealing
from reptarium.sandbox.language.hardening.generated_classes import checked_exec
from reptarium.sandbox.language.packages import registry
from reptarium.sandbox.language.packages.package import WITHHELD
from reptarium.sandbox.language.policy import LanguagePolicy, RefusedImport, files, stdlib
from reptarium.sandbox.language.policy.allowlist import (
    absent,
    beyond_the_way,
    import_refusal,
    only_the_way,
    refused_part,
)
from reptarium.sandbox.language.policy.names import may_be_global, may_read
from reptarium.sandbox.language.runtime import settings
from reptarium.sandbox.language.runtime.missing import explained, missing_of_short, reason, told
from reptarium.sandbox.language.runtime.parts import have_all, with_parts
from reptarium.sandbox.language.runtime.preloading import load_each

_Facades = dict[str, ModuleType]

#: What leads nowhere.
_PLAIN = frozenset({int, float, str, bool, bytes, type(None)})

#: Builtins that no façade carries, by identity; those with a guarded stand-in are replaced.
_FORBIDDEN = {
    id(getattr(builtins, name))
    for name in "eval exec compile open input breakpoint globals locals __import__ __loader__ __spec__ "
    "exit quit help license credits copyright".split()
    if hasattr(builtins, name)
} | {id(importlib.import_module), id(checked_exec), *readers.OURS}
_STAND_INS: dict[int, Any] = {
    id(getattr): guards.guarded_getattr,
    id(setattr): guards.guarded_setattr,
    id(delattr): guards.guarded_delattr,
    id(hasattr): guards.guarded_hasattr,
    id(vars): guards.guarded_vars,
    id(dir): guards.guarded_dir,
    id(type): guards.TypeFacade,
    **registry.EVERYWHERE,
    **{id(real): stand_in for real, stand_in in guards.STAND_INS.items()},
}
guards.WITHHELD.update({**dict.fromkeys(_FORBIDDEN), **_STAND_INS})


#: Submodules that a package shows under another name.
_ALIASES = {"pandas.offsets": "pandas.tseries.offsets"}


def _submodule(package: str, attribute: str) -> str:
    """The own name of the module that a package shows as ``attribute``, if it is one of the package's."""
    name = f"{package}.{attribute}"
    return _ALIASES.get(name, name)


def _is_packages_own(package: str, attribute: str, module: ModuleType) -> bool:
    """Whether a module that a package shows is its own, under whatever name, or one that it takes in under its own."""
    name, own = str(module.__name__), _submodule(package, attribute)
    if name == own or sys.modules.get(own) is module:
        return True
    top = package.partition(".")[0]
    return name.partition(".")[0] == top and top not in sys.stdlib_module_names


def _is_elsewhere_withheld(value: Any, connections: bool) -> bool:
    """Whether it is a function, class or object of a class that its own module's façade doesn't carry.

    Modules keep what they use themselves: ``pydantic.import_module`` was importlib's.
    """
    if not isinstance(value, (type, FunctionType, BuiltinFunctionType)):
        value = type(value)
    module = str(value.__module__).removeprefix("_")  # "_socket" is what "socket" is made of
    module = {"posix": "os"}.get(module, module)
    top = module.partition(".")[0]
    if connections and (module in stdlib.NETWORK or top in stdlib.NETWORK):
        return False
    if top in stdlib.REFUSED or top in ("thread", "frozen_importlib"):
        return top not in ("builtins", "annotationlib")  # typing.ForwardRef is annotationlib's since Python 3.14
    if module in stdlib.ONLY:
        return value.__name__ not in stdlib.ONLY[module].split()
    if top in stdlib.ONLY:
        return module not in stdlib.SUBMODULES
    return value.__name__ in stdlib.OPEN.get(module, ())


def _refused(policy: LanguagePolicy, name: str) -> None:
    refusal = import_refusal(policy, name)
    if refusal is not None:
        missing = absent(policy, name)
        if missing is not None:
            raise ModuleNotFoundError(missing[0], name=missing[1])
        why, setting = refusal
        advice = f"{setting} decides this." if setting else "No setting allows it."
        raise RefusedImport(f"import of '{name}' is not allowed: {why}. {advice}", name=name)


def unbound(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method as a plain function: from a bound one, weakref.WeakMethod and copy.deepcopy tell the object."""

    def function(*args: Any, **kwargs: Any) -> Any:
        return method(*args, **kwargs)

    function.__name__ = function.__qualname__ = method.__name__
    return function


class Importer:
    """The import machinery of one policy: façades by dotted name."""

    def __init__(self, policy: LanguagePolicy) -> None:
        hardening.harden()  # before any façade takes over what it replaces
        hardening.allow_files(policy.files)
        self._policy = policy
        self._facades: _Facades = {}

    # ---- what the compiled program calls --------------------------------------------

    def import_(self, name: str, leaf: bool) -> ModuleType:
        """``import a.b`` (gives ``a``) or, with ``leaf``, ``import a.b as c`` (gives ``a.b``)."""
        facade = self._facades.get(guards.checked_name(name)) or self.facade(name)
        return facade if leaf or "." not in name else self._facades[name.partition(".")[0]]

    def import_from(self, name: str, attributes: tuple[str, ...]) -> tuple[Any, ...]:
        """``from name import attributes``."""
        facade = self._facades.get(guards.checked_name(name)) or self.facade(name)
        found = vars(facade)
        try:
            return tuple([found[attribute] for attribute in attributes])
        except KeyError:
            return tuple([self._attribute(facade, name, attribute) for attribute in attributes])

    def import_star(self, name: str) -> None:
        """``from name import *``: the public names become globals of the task."""
        facade = self.facade(name)
        there = {*vars(facade), *settings.live(name)}
        listed = getattr(sys.modules[name], "__all__", None)
        if not isinstance(listed, list | tuple):
            listed = [each for each in there if each[:1] != "_"]
        listed = [each for each in listed if may_be_global(each) and each in there and hasattr(facade, each)]
        found = {each: getattr(facade, each) for each in listed}
        # three frames up: this one, the plain function around it, the task's
        frame = sys._getframe(2)
        if not hardening.frame_is_users(frame):
            raise guards.refused("setting names of a module that isn't the task's is not allowed", "others use it")
        frame.f_globals.update(found)

    def dunder_import(
        self, name: str, globals: object = None, locals: object = None, fromlist: Any = (), level: int = 0
    ) -> Any:
        """``__import__`` in a task."""
        if type(name) is not str or level:
            raise RefusedImport("only absolute imports by name are available: a task is not part of a package")
        return self.import_(name, bool(fromlist))

    def import_module(self, name: str, package: None = None) -> ModuleType:
        """``importlib.import_module`` in a task."""
        if type(name) is not str or name.startswith("."):
            raise RefusedImport("only absolute imports by name are available: a task is not part of a package")
        return self.import_(name, True)

    def _attribute(self, facade: ModuleType, name: str, attribute: str) -> Any:
        try:
            return getattr(facade, attribute)
        except AttributeError as error:
            said = str(explained(error)).partition(": ")[2]
        submodule = f"{name}.{attribute}"
        if import_refusal(self._policy, submodule) is None and not registry.is_replaced(name, attribute):
            with suppress(ModuleNotFoundError):
                return self.facade(submodule)
        setting = only_the_way(self._policy, name)
        path = getattr(sys.modules.get(name), "__path__", None)
        known = beyond_the_way(name, setting) if setting else said or refused_part(self._policy, submodule, path)
        why = f": {known}" if known else ""
        refusal = RefusedImport(f"cannot import name '{attribute}' from '{name}'{why}", name=name)
        refusal.elsewhere = bool(why) or attribute in getattr(sys.modules.get(name), "__dict__", ())
        raise refusal

    # ---- building -------------------------------------------------------------------

    def facade(self, name: str) -> ModuleType:
        """The façade of a module; imports it when need be. Raises RefusedImport or what the import raises."""
        built = self._facades.get(guards.checked_name(name))
        if built is not None:
            return built
        _refused(self._policy, name)
        parent = None
        if "." in name:
            package, _, attribute = name.rpartition(".")
            parent = self.facade(package)
            if registry.is_withheld(package, attribute):
                why = registry.withheld_reason(package, attribute)
                raise RefusedImport(f"import of '{name}' is not allowed: {why}. No setting allows it.")
        with hardening.trusted():
            real = importlib.import_module(name)
            sealing.seal_module(real)  # of C code: what is in Python was sealed as it arrived
        facade = self._build(name, real)
        if parent is not None:
            vars(parent)[name.rpartition(".")[2]] = facade
        return facade

    def _build(self, name: str, real: ModuleType) -> ModuleType:
        facade = (ModuleType if name in stdlib.HOT else settings.Facade)(name, getattr(real, "__doc__", None))
        self._facades[name] = facade
        guards.FACADES[id(facade)] = facade
        found = vars(facade)
        setting = only_the_way(self._policy, name)
        if setting:
            found["__getattr__"] = self._below(name, setting)
            return facade
        replaced = registry.replacements(name, real, files=self._policy.files)
        if name == "importlib":
            replaced["import_module"] = unbound(self.import_module)
        live, standard = settings.live(name), name.partition(".")[0] in sys.stdlib_module_names
        for attribute in self._names(name, real, replaced):
            if attribute in replaced:
                if replaced[attribute] is not WITHHELD:
                    found[attribute] = replaced[attribute]
                continue
            try:
                value = real.__dict__[attribute]
            except KeyError:
                continue  # lazy: see _lazy
            stays = attribute not in live and (standard or settings.stays(attribute, value))
            carried = found if stays else {}
            self._carry(carried, name, attribute, value)
            if carried and not stays:
                live.add(attribute)
        version = getattr(real, "__version__", None)
        if isinstance(version, str):
            found["__version__"] = version
        missing = (
            missing_of_short(name, real, self._policy) if name in stdlib.ONLY else self._lazy(name, real, replaced)
        )
        is_package = standard and hasattr(real, "__path__")
        if name not in stdlib.HOT or not have_all(name, facade, real, self._policy, self.facade):
            found["__getattr__"] = with_parts(name, self._policy, self.facade, missing) if is_package else missing
        if live:
            found["__dir__"] = lambda: sorted({*found, *live})
            reads = {each: self._read(name, real, each) for each in live}
            ModuleType.__setattr__(facade, "__class__", type("Facade", (settings.Facade,), reads))
        return facade

    def _read(self, name: str, real: ModuleType, attribute: str) -> property:
        """What the real module has under the name at the time. A property is read ten times as fast as what a module's
        ``__getattr__`` gives.
        """
        there = vars(real)

        def read(facade: ModuleType) -> Any:
            value = there.get(attribute, WITHHELD)
            if type(value) in _PLAIN:
                return value
            found: dict[str, Any] = {}
            if value is not WITHHELD:
                self._carry(found, name, attribute, value)
            if not found:
                raise AttributeError(f"module {name!r} has no attribute {attribute!r}")
            return found[attribute]

        return property(read)

    def _below(self, name: str, setting: str) -> Callable[[str], ModuleType]:
        """The module ``__getattr__`` of a façade that is only the way to what is listed below it."""

        def __getattr__(attribute: str) -> ModuleType:
            if type(attribute) is str and import_refusal(self._policy, f"{name}.{attribute}") is None:
                return self.facade(f"{name}.{attribute}")
            why = beyond_the_way(name, setting)
            raise AttributeError(f"module {name!r} has no attribute {attribute!r}: {why}")

        return __getattr__

    def _names(self, name: str, real: ModuleType, replaced: dict[str, Any]) -> list[str]:
        only = files.names(name, stdlib.ONLY) if self._policy.files else None
        if only is None and name in stdlib.ONLY:
            only = stdlib.ONLY[name].split()
        if only is not None:
            if self._policy.connections:
                only += stdlib.NETWORK_NAMES.get(name, "").split()
            return [each for each in only if hasattr(real, each)]
        hidden = stdlib.OPEN.get(name, ())
        public = [each for each in vars(real) if not each.startswith("_") and each not in hidden]
        # Asking a lazy package for a withheld name would import it: only stand-ins are added
        extra = [each for each, value in replaced.items() if each not in vars(real) and value is not WITHHELD]
        return public + extra

    def _carry(self, found: dict[str, Any], name: str, attribute: str, value: Any) -> None:
        """Put a value of the real module into the façade, or its stand-in, or nothing."""
        if value is None and {attribute, name.partition(".")[0]} <= sys.stdlib_module_names:
            return  # a module that it imports at first use (collections.heapq since 3.14): see what follows
        if isinstance(value, ModuleType):
            inner = getattr(value, "__name__", "")
            if name == "os" and attribute == "path":
                inner = "os.path"
            elif not _is_packages_own(name, attribute, value):
                return
            if import_refusal(self._policy, inner) is None:
                built = self._facades.get(inner)
                if built is None and name.partition(".")[0] not in sys.stdlib_module_names:
                    return  # a package's submodules come when asked for: see _lazy
                found[attribute] = built or self._build(inner, value)
            return
        if type(value) in registry.READING:
            found[attribute] = registry.READING[type(value)](value)
            return
        short = name in stdlib.ONLY or (self._policy.files and name in files.MODULES)
        forbidden = id(value) in _FORBIDDEN and not (value is open and self._policy.files)
        if forbidden or (not short and _is_elsewhere_withheld(value, self._policy.connections)):
            return
        stand_in = guards.TypeFacade if guards.makes_classes(value) else _STAND_INS.get(id(value))
        if stand_in is None and isinstance(value, type) and issubclass(value, type):
            return
        found[attribute] = value if stand_in is None else stand_in

    def _lazy(self, name: str, real: ModuleType, replaced: dict[str, Any]) -> Any:
        """The façade's module ``__getattr__``: submodules and attributes that packages make on demand."""
        live = settings.live(name)

        def __getattr__(attribute: str) -> Any:
            error = AttributeError(f"module {name!r} has no attribute {attribute!r}")
            if type(attribute) is str and (why := reason(name, attribute, replaced)):
                raise told(error, why)
            if (
                type(attribute) is not str
                or (attribute.startswith("_") and attribute not in live)
                or not may_read(attribute)
                or name in stdlib.ONLY
                or name in files.MODULES
            ):
                raise error
            with hardening.trusted():
                value = getattr(real, attribute, WITHHELD)
            if value is WITHHELD:
                raise error
            facade = self._facades[name]
            if isinstance(value, ModuleType):
                if not _is_packages_own(name, attribute, value) or import_refusal(self._policy, value.__name__):
                    raise error
                return self.facade(value.__name__)
            found = {} if attribute in live or not settings.stays(attribute, value) else vars(facade)
            self._carry(found, name, attribute, value)
            if attribute not in found:
                raise error
            return found[attribute]

        return __getattr__


@functools.lru_cache(maxsize=64)
def importer(policy: LanguagePolicy) -> Importer:
    """The importer of a policy; one per process and policy."""
    return Importer(policy)


def preload(
    policy: LanguagePolicy, imported: Callable[[str], None] = lambda name: None, late: Collection[str] = ()
) -> list[str]:
    """Import what the policy names explicitly, and the common modules when all are allowed, but for ``late``;
    ``imported`` is told after each.

    Returns a line ``name: reason`` for each that failed. Called in the zygote, before restriction.
    """
    hardening.harden()

    def load(name: str) -> None:
        if name in policy.preload and import_refusal(policy, name):
            with hardening.trusted():
                importlib.import_module(name)  # for the packages that use it: user code may not import it
        else:
            importer(policy).facade(name)

    return load_each(policy, load, imported, late)
