"""Guards: what the compiled program calls where a name alone cannot decide.

No guard keeps anything in defaults, attributes or other places that user code could change, and
none trusts a name that is not exactly ``str``: a subclass could lie about what it is.

`attributes.py`   reading, changing, listing attributes
`instances.py`    ``vars(x)`` and ``x.__dict__``
`classes.py`      ``type(x)``
`formats.py`      ``str.format``
`match.py`        class patterns
`checks.py`       what they share: checks of one name or value
"""

from reptarium.sandbox.language.guards.attributes import (
    guarded_delattr,
    guarded_dir,
    guarded_getattr,
    guarded_hasattr,
    guarded_read,
    guarded_setattr,
    modest_getattr,
)
from reptarium.sandbox.language.guards.checks import FACADES, READERS, checked_name, checked_value, refusing
from reptarium.sandbox.language.guards.classes import STAND_INS, TypeFacade, class_of, makes_classes, refuse_metaclasses
from reptarium.sandbox.language.guards.instances import guarded_vars
from reptarium.sandbox.language.guards.match import match_class

__all__ = [
    "FACADES",
    "READERS",
    "STAND_INS",
    "TypeFacade",
    "checked_name",
    "checked_value",
    "class_of",
    "guarded_delattr",
    "guarded_dir",
    "guarded_getattr",
    "guarded_hasattr",
    "guarded_read",
    "guarded_setattr",
    "guarded_vars",
    "makes_classes",
    "match_class",
    "modest_getattr",
    "refuse_metaclasses",
    "refusing",
]
