"""``%`` formats by position and key: no attribute is read, whatever the key looks like and whoever answers for the text."""

from __future__ import annotations

import pytest
from programs import Attack, attribute, by_id, check, check_nothing_reached, in_format

REFUSED = {
    "key_that_looks_like_a_path": Attack("reached.append('%(t.gi_frame)s' % {'t': target})", "'t.gi_frame'", KeyError),
    "no_mapping": Attack("reached.append('%(gi_frame)s' % target)", "format requires a mapping", TypeError),
    "object_as_mapping": Attack("class A: gi_frame = 1\nreached.append('%(gi_frame)s' % A())", "format requires a mapping", TypeError),
    "mapping_that_reads": Attack("class M:\n    def __getitem__(self, name): return getattr(target, name)\nreached.append('%(gi_frame)s' % M())", attribute("gi_frame")),
    "text_that_reads": Attack("class P:\n    def __mod__(self, values): return getattr(values, 'gi_frame')\nreached.append(P() % target)", attribute("gi_frame")),
    "reflected": Attack("class P:\n    def __rmod__(self, text): return getattr(target, text)\nreached.append('gi_frame' % P())", "not all arguments converted during string formatting", TypeError),
    "subclass_that_reads": Attack("class S(str):\n    def __mod__(self, values): return self.format(*values)\nreached.append(S('{0.gi_frame}') % (target,))", in_format("gi_frame")),
    "operator_mod": Attack("import operator\nreached.append(operator.mod('%(t.gi_frame)s', {'t': target}))", "'t.gi_frame'", KeyError),
    "bytes": Attack("reached.append(b'%(t.gi_frame)s' % {b't': target})", "b't.gi_frame'", KeyError),
    "dunder_mod": Attack("reached.append('%(t.gi_frame)s'.__mod__({'t': target}))", "'t.gi_frame'", KeyError),
    "locale": Attack("import locale\nreached.append(locale.format_string('%(t.gi_frame)s', {'t': target}))", "'t.gi_frame'", KeyError),
}  # fmt: skip


@pytest.mark.parametrize("attack", by_id(REFUSED))
def test_percent(attack: Attack) -> None:
    """The key is looked up as it stands."""
    check(attack, target=(x for x in [1]))


def test_percent_hands_out_no_more_than_text() -> None:
    """``%s`` and ``%r`` call the value's own methods, with nothing of the interpreter's."""
    check_nothing_reached(
        """
        class P:
            def __str__(self, *more): reached.extend(more); return 'a'
            def __repr__(self, *more): reached.extend(more); return 'b'
            def __index__(self, *more): reached.extend(more); return 1
            def __float__(self, *more): reached.extend(more); return 1.0
        '%s %r %d %f %x %c' % (P(), P(), P(), P(), P(), 'c')
        """
    )
