"""Guards: what the compiled program calls where a name alone cannot decide.

No guard keeps anything in defaults, attributes or other places that user code could change, and
none trusts a name that is not exactly ``str``: a subclass could lie about what it is.

`attributes.py`   reading, changing, listing attributes
`instances.py`    ``vars(x)`` and ``x.__dict__``
`classes.py`      ``type(x)``
`formats.py`      ``str.format``
`match.py`        class patterns
`own.py`          what is read of the task's own classes and functions alone
`checks.py`       what they share: checks of one name or value
"""

from reptarium.sandbox.language.guards.attributes import (
    changed,
    checked_class_hook,
    guarded_delattr,
    guarded_dir,
    guarded_getattr,
    guarded_hasattr,
    guarded_locals,
    guarded_read,
    guarded_setattr,
    modest_getattr,
    modest_getattribute,
)
from reptarium.sandbox.language.guards.checks import (
    CARRIED,
    FACADES,
    READERS,
    SET_ON_MODULE,
    WITHHELD,
    beneath,
    checked_name,
    checked_value,
    deleting,
    is_facade,
    is_own_class,
    is_own_function,
    refuse_carried,
    refused,
    refusing,
    told,
)
from reptarium.sandbox.language.guards.classes import (
    PASSING_FOR,
    STAND_INS,
    ABCMetaFacade,
    Super,
    TypeFacade,
    checked_metaclass,
    checked_namespace,
    class_of,
    is_own_metaclass,
    makes_classes,
    passes_for,
    refuse_metaclasses,
)
from reptarium.sandbox.language.guards.instances import guarded_vars
from reptarium.sandbox.language.guards.match import match_class
from reptarium.sandbox.language.guards.own import (
    copied_state,
    no_odd_group,
    own_changed,
    slot_names,
)

__all__ = [
    "CARRIED",
    "FACADES",
    "PASSING_FOR",
    "READERS",
    "SET_ON_MODULE",
    "STAND_INS",
    "WITHHELD",
    "ABCMetaFacade",
    "Super",
    "TypeFacade",
    "beneath",
    "changed",
    "checked_class_hook",
    "checked_metaclass",
    "checked_name",
    "checked_namespace",
    "checked_value",
    "class_of",
    "copied_state",
    "deleting",
    "guarded_delattr",
    "guarded_dir",
    "guarded_getattr",
    "guarded_hasattr",
    "guarded_locals",
    "guarded_read",
    "guarded_setattr",
    "guarded_vars",
    "is_facade",
    "is_own_class",
    "is_own_function",
    "is_own_metaclass",
    "makes_classes",
    "match_class",
    "modest_getattr",
    "modest_getattribute",
    "no_odd_group",
    "own_changed",
    "passes_for",
    "refuse_carried",
    "refuse_metaclasses",
    "refused",
    "refusing",
    "slot_names",
    "told",
]
