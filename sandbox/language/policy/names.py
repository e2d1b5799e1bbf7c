"""What user code may name, read and define: the facts of the language layer.

Data and small pure functions over it. Everything that decides on a *name* asks here:
the transformer when the code is compiled, the guards when a name is only known at run time.

Three kinds of attribute names:

* *denied*: refused when compiled, an ``AttributeError`` when assembled at run time. Double
  underscores (but for a list of harmless ones) and the attributes of frames, generators, tracebacks
  and code objects.
* *guarded*: allowed, but read through a guard that looks at the object or at the result, because
  the name alone cannot tell (``format`` on a string against ``format`` on one's own object).
* everything else is *innocent* and compiled as it stands: no cost.
"""

from __future__ import annotations

import keyword
import sys
import types

# ---- special names ---------------------------------------------------------------------

_OPERATORS = "add sub mul matmul truediv floordiv mod divmod pow lshift rshift and xor or".split()

#: Special methods and attributes that a class body may define.
DEFINABLE = frozenset(
    [f"__{name}__" for name in _OPERATORS]
    + [f"__r{name}__" for name in _OPERATORS]
    + [f"__i{name}__" for name in _OPERATORS if name != "divmod"]
    + [
        f"__{name}__"
        for name in """
            init new del repr str bytes format hash bool lt le eq ne gt ge len length_hint iter next sizeof
            reversed contains getitem setitem delitem missing enter exit call neg pos abs invert int
            float complex index round trunc floor ceil getattr setattr delattr get set delete set_name
            init_subclass class_getitem dir post_init copy deepcopy replace slots match_args doc fspath
            pydantic_init_subclass get_pydantic_core_schema get_pydantic_json_schema
            await aiter anext aenter aexit
            getattribute getstate setstate instancecheck subclasscheck subclasshook prepare
            attrs_pre_init attrs_post_init
            order tablename table_args mapper_args abstract html
            array array_finalize array_function array_priority array_ufunc array_wrap
            json rich rich_repr nonzero unicode cmp coerce long oct hex div rdiv idiv getslice setslice delslice
        """.split()  # SQLAlchemy's, numpy's, enum's; what templates ask for, encoders and terminals do, Python 2 did
    ]
)

#: Hooks that a class body may define but nobody reads by name: reading one gives a tool that takes names.
_DEFINE_ONLY = frozenset(
    f"__{name}__"
    for name in (
        "getattr getattribute get set delete set_name del get_pydantic_core_schema get_pydantic_json_schema "
        "getstate setstate prepare"
    ).split()
)

#: Hooks that are asked for attributes by name, or given other people's classes: bound with def (the first with = too),
#: so that a guard is before them.
HOOKS = frozenset({"__getattr__", "__getattribute__", "__subclasshook__", "__subclasscheck__", "__instancecheck__"})

#: What scripts write at their top, and classes carry. Names of the task's own, which it may read as well.
SCRIPT_NAMES = frozenset(
    f"__{name}__"
    for name in "all author authors copyright credits date email license maintainer status title url version".split()
)

#: Double-underscore attributes in which libraries document what they know of a class, a type or an annotation. A task
#: reads copies, and no hook of its own answers for them: libraries believe what they find there.
DOCUMENTED_DUNDERS = frozenset(
    f"__{name}__"
    for name in """
        origin args parameters orig_bases orig_class supertype abstractmethods dataclass_fields
        struct_fields fields table geo_interface version_info mapper
    """.split()
)

#: Double-underscore attributes that are read through a guard.
GUARDED_DUNDERS = (
    frozenset("__class__ __dict__ __setattr__ __delattr__ __annotations__ __defaults__ __kwdefaults__".split())
    | DOCUMENTED_DUNDERS
)

#: Double-underscore attributes that are read of what the task itself made where the program spells them, and refused of
#: all else (guards/own.py).
OWN_DUNDERS = frozenset(
    "__mro__ __bases__ __base__ __subclasses__ __get__ __wrapped__ __func__ __self__ "
    "__getattribute__ __getstate__ __setstate__ __prepare__".split()
)

#: Double-underscore attributes that are plain text or plain behaviour: read as they stand.
READABLE_DUNDERS = (DEFINABLE - _DEFINE_ONLY - GUARDED_DUNDERS) | {
    "__name__",
    "__qualname__",
    "__module__",
    "__members__",
    "__notes__",
    "__isabstractmethod__",
    "__required_keys__",
    "__optional_keys__",
    "__total__",
    "__metadata__",  # of typing.Annotated: what the task wrote there
    "__cause__",
    "__context__",
    "__suppress_context__",
    "__traceback__",  # an object that only the traceback module reads: what leads on from it is denied by name
    *SCRIPT_NAMES,
}

#: Double-underscore attributes that lead on to the interpreter, or read any attribute. Others are only not for tasks.
LEADING_DUNDERS = frozenset(
    f"__{name}__"
    for name in "globals code closure builtins self func subclasses mro bases base getattribute reduce reduce_ex "
    "loader spec import wrapped thisclass self_class objclass array_interface array_struct".split()
)

#: What the compiler leaves in a class's namespace (3.14 keeps it there). Whoever makes a class anew copies it (typing).
COMPILED_DUNDERS = frozenset({"__classcell__", "__classdictcell__", "__annotate__", "__annotate_func__"})

#: What a decorator sets on its wrapper.
WRITABLE_DUNDERS = frozenset(
    "__name__ __qualname__ __doc__ __isabstractmethod__ __cause__ __suppress_context__".split()
)
#: What decorators of classes set: methods of the task's own classes (guards/own.py), no others'.
OWN_METHODS = DEFINABLE - _DEFINE_ONLY - HOOKS - WRITABLE_DUNDERS - {"__match_args__", "__slots__", "__prepare__"}

#: Special names that a class of the task's own shows among its own (``vars(C)``). All may stand in a class that is made
#: by a call, so that one is made anew with what it had.
TOLD_OF_CLASSES = ((READABLE_DUNDERS & DEFINABLE) - HOOKS) | frozenset(
    "__module__ __doc__ __annotations__ __orig_bases__ __parameters__".split()
)

#: Keyword arguments of functions of libraries (pydantic's ``create_model``). A call takes any text for one (``**{…}``).
KEYWORDS = frozenset("__base__ __config__ __validators__ __cls_kwargs__".split())

_OF_PYTHON = (object, type, types.FunctionType, types.MethodType, types.ModuleType, types.GenericAlias, BaseException)
_RULED = LEADING_DUNDERS | GUARDED_DUNDERS | OWN_DUNDERS | READABLE_DUNDERS | COMPILED_DUNDERS | DEFINABLE
#: Names that Python itself gives a meaning, as far as its own objects tell: a refusal says whose a name is.
PYTHONS = (_RULED - DOCUMENTED_DUNDERS) | {
    name for kind in _OF_PYTHON for name in (*dir(kind), *dir(type(kind))) if name[:2] == "__"
}

#: Global names with double underscores that may be read. ``__import__`` is ours and checks.
READABLE_GLOBALS = frozenset({"__name__", "__doc__", "__import__", "__debug__"})

# ---- attributes that betray the interpreter ------------------------------------------------

#: Attributes of frames, tracebacks, code objects, generators and coroutines, of every supported version.
INTERPRETER_ATTRIBUTES = frozenset(
    """
        f_back f_builtins f_code f_generator f_globals f_lasti f_lineno f_locals f_trace f_trace_lines
        f_trace_opcodes tb_frame tb_lasti tb_next gi_code gi_frame gi_running gi_suspended gi_yieldfrom
        gi_state cr_await cr_code cr_frame cr_origin cr_running cr_suspended cr_state ag_await ag_code
        ag_frame ag_running ag_suspended ag_state co_argcount co_branches co_cellvars co_code co_consts
        co_exceptiontable co_filename co_firstlineno co_flags co_freevars co_kwonlyargcount co_lines
        co_linetable co_lnotab co_name co_names co_nlocals co_positions co_posonlyargcount co_qualname
        co_stacksize co_varnames func_code func_globals func_closure im_func im_self im_class
    """.split()
)

#: Attributes of one kind of object that hand out pointers or reach files; never anything else's in practice.
#: (``PurePath._globber`` of Python 3.13 carries ``os.scandir``; SQLite's ``setlimit`` lets files be attached; asyncio's
#: ``Task.get_stack`` returns frames.)
POINTER_ATTRIBUTES = frozenset({"tofile", "as_strided", "cell_contents", "_globber", "setlimit", "get_stack"})

#: Methods of enum classes that copy the names of any module into members, or the other way round.
_ENUM_ATTRIBUTES = frozenset({"_convert_", "_create_", "_add_member_"})

DENIED_ATTRIBUTES = INTERPRETER_ATTRIBUTES | POINTER_ATTRIBUTES | _ENUM_ATTRIBUTES

#: Names under which modules and objects of the standard library and of common packages keep *modules*
#: besides the modules' own names, and under which a metaclass was found (``pandas.CategoricalDtype.type``).
MODULE_HOLDERS = frozenset(
    """
        _module _ctypes ctypes module bltns abc_ dt np pd plt mod expat _os _sys _time _re _io _builtins
        _bltns _imp _struct _warnings _weakref _collections _collections_abc _thread threading_ _marshal
        _winreg pathmod _flavour parser type _nx_os stdlib _module_dependencies testmod root_module np_mod libc
        validator _schema_validator cffi _code implementation
    """.split()
)

#: Modules' own names are holders too (``x.sys``, ``x._sys``): all of the standard library's.
_STDLIB_HOLDERS = frozenset(sys.stdlib_module_names) | {f"_{name}" for name in sys.stdlib_module_names}

#: Names of stdlib modules that everyone uses for data; the modules behind them are allowed ones or
#: hold nothing, so that reading such an attribute costs nothing.
_COMMON_WORDS = frozenset(
    "calendar email html json numbers string statistics time datetime decimal random queue uuid token "
    "abc base64 math re secrets select this unittest array copy csv textwrap heapq bisect colorsys zoneinfo".split()
)

GUARDED_ATTRIBUTES = (
    frozenset({"format", "format_map", "obj", "dump", "mro"})
    | GUARDED_DUNDERS
    | MODULE_HOLDERS
    | (_STDLIB_HOLDERS - _COMMON_WORDS)
) - DENIED_ATTRIBUTES


def is_dunder(name: str) -> bool:
    """Whether the name has the interpreter's own form; ``__x`` (mangled) and ``__`` have not."""
    return name[:2] == "__" and name[-2:] == "__" and len(name) > 4


def may_read(name: str) -> bool:
    """Whether an attribute of this name may be read at all (perhaps through a guard)."""
    if is_dunder(name):
        return name in READABLE_DUNDERS or name in GUARDED_DUNDERS
    return name not in DENIED_ATTRIBUTES


def may_write(name: str) -> bool:
    """Whether an attribute of this name may be assigned or deleted."""
    if is_dunder(name):
        return name in WRITABLE_DUNDERS
    return name not in DENIED_ATTRIBUTES


def may_be_global(name: object) -> bool:
    """Whether a star import may bind it: a module may have any text for a name (``setattr(module, text, value)``), our
    guards' among them, and of the interpreter's special ones a program binds what scripts do.
    """
    return type(name) is str and name.isidentifier() and (not is_dunder(name) or name in SCRIPT_NAMES)


def is_plain(name: str) -> bool:
    """Whether reading an attribute of this name needs neither refusal nor guard."""
    return may_read(name) and name not in GUARDED_ATTRIBUTES


def is_field_name(name: object) -> bool:
    """Whether a class generated from data (dataclass, named tuple, enum) may carry this name."""
    return (
        type(name) is str
        and name.isidentifier()
        and not keyword.iskeyword(name)
        and not is_dunder(name)
        and name not in DENIED_ATTRIBUTES
    )


# ---- builtins --------------------------------------------------------------------------

#: Builtins that user code never gets, and what to do instead.
DENIED_BUILTINS: dict[str, str] = {
    "eval": "it runs text as code; for data use json.loads or ast.literal_eval",
    "exec": "it runs text as code",
    "compile": "it makes code from text",
    "open": "tasks have no files; use the node's binary data, or io.StringIO and io.BytesIO",
    "input": "nobody is there to type; read _items or _item",
    "breakpoint": "there is no debugger in a task",
    "globals": "it hands out the interpreter's names; use locals(), or keep a dict of your own",
    "exit": "use return, or raise an exception",
    "quit": "use return, or raise an exception",
    "help": "it starts an interactive reader",
    "license": "it starts an interactive reader",
    "credits": "it starts an interactive reader",
    "copyright": "it starts an interactive reader",
    "reload": "modules are loaded once",
}

# ---- guards ----------------------------------------------------------------------------

#: The guards' names in the compiled program. With a space in them, which no source text can spell: they cannot be
#: rebound, shadowed, deleted or read by any binding form, and Python compiles them like any other global.
GETATTR = "guard getattr"
IMPORT = "guard import"
IMPORT_FROM = "guard import from"
MATCH_CLASS = "guard match class"
DUNDER_IMPORT = "guard dunder import"
GETATTR_HOOK = "guard getattr hook"
GETATTRIBUTE_HOOK = "guard getattribute hook"
CHECK_HOOK = "guard check hook"
#: Which of them stands before which hook.
HOOK_GUARDS = {
    **dict.fromkeys(HOOKS, CHECK_HOOK),
    "__getattr__": GETATTR_HOOK,
    "__getattribute__": GETATTRIBUTE_HOOK,
}
SUPER = "guard super"
STAR = "guard star"
CHANGED = "guard changed"
OWN_CHANGED = "guard own changed"
GROUPS = "guard groups"
TASK = "guard task"
#: Among the builtins of a task from which a setting took some: all of them, for code that libraries generate.
GENERATED = "guard generated code"
#: Among the globals of methods that libraries generate over the task's names.
GENERATED_GETATTR = "guard generated getattr"
