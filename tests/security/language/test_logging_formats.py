"""``logging`` formats records in three styles; with ``{`` the pattern is a format string and is checked like any."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from programs import Attack, at_compile, attribute, by_id, check, check_nothing_reached, in_format

from reptarium.sandbox.language.hardening import RefusedOperation

RECORD = """
import logging
record = logging.LogRecord('name', 1, 'path', 1, 'message', (), None)
record.target = target
"""
BRACES = {
    "formatter": "reached.append(logging.Formatter('{target.NAME}', style='{').format(record))",
    "attribute_of_text": "reached.append(logging.Formatter('{msg.NAME}', style='{').format(record))",
    "default": "reached.append(logging.Formatter('{x.NAME}', style='{', defaults={'x': target}).format(record))",
    "no_validation": "reached.append(logging.Formatter('{target.NAME}', style='{', validate=False).format(record))",
    "in_specification": "reached.append(logging.Formatter('{msg:{target.NAME}}', style='{', validate=False).format(record))",
    "subclass": "class F(logging.Formatter): pass\nreached.append(F('{target.NAME}', style='{').format(record))",
    "style_changed": "f = logging.Formatter('{msg}', style='{')\nf._style._fmt = '{target.NAME}'\nreached.append(f.format(record))",
    "style_by_type": "s = type(logging.Formatter('{msg}', style='{')._style)('{target.NAME}')\nreached.append(s.format(record))",
    "style_of_its_own": "f = logging.Formatter()\nf._style = type(logging.Formatter('{msg}', style='{')._style)('{target.NAME}')\nreached.append(f.format(record))",
    "style_subclass": "class S(type(logging.Formatter('{msg}', style='{')._style)): pass\nreached.append(S('{target.NAME}').format(record))",
    "format_message": "f = logging.Formatter('{target.NAME}', style='{')\nreached.append(f.formatMessage(record))",
    "handler": "import io\nh = logging.StreamHandler(io.StringIO())\nh.setFormatter(logging.Formatter('{target.NAME}', style='{'))\nreached.append(h.format(record))",
    "lying_pattern": (
        "class S(str):\n    def __str__(self): return '{msg}'\n"
        "reached.append(logging.Formatter(S('{target.NAME}'), style='{', validate=False).format(record))"
    ),
    "lying_pattern_set_later": (
        "class S(str):\n    def __str__(self): return '{msg}'\n"
        "f = logging.Formatter('{msg}', style='{')\nf._style._fmt = S('{target.NAME}')\nreached.append(f.format(record))"
    ),
}  # fmt: skip
OTHERS = {
    "percent_style": Attack("f = logging.Formatter('%(target.gi_frame)s', validate=False)\nreached.append(f.format(record))", "Formatting field not found in record: 'target.gi_frame'", ValueError),
    "percent_object": Attack("class P:\n    def find(self, part): return -1\n    def __mod__(self, values): return getattr(values['target'], 'gi_frame')\nf = logging.Formatter()\nf._style._fmt = P()\nreached.append(f.format(record))", attribute("gi_frame")),
    "dollar_style": Attack("f = logging.Formatter('${target.gi_frame}', style='$', validate=False)\nreached.append(f.format(record))", "Invalid placeholder in string: line 1, col 1", ValueError),
    "message_arguments": Attack("r = logging.LogRecord('n', 1, 'p', 1, '%(t.gi_frame)s', ({'t': target},), None)\nreached.append(r.getMessage())", "'t.gi_frame'", KeyError),
    "frames_of_the_record": at_compile("reached.append(logging.currentframe().f_back)", "the attribute 'f_back' is not allowed"),
    "currentframe": Attack("reached.append(logging.currentframe())", "module 'logging' has no attribute 'currentframe'", AttributeError),
    "modules_of_logging": Attack("reached.append(logging.sys)", "module 'logging' has no attribute 'sys'", AttributeError),
    "handlers": Attack("import logging.handlers\nreached.append(logging.handlers.SocketHandler)", "module 'logging.handlers' has no attribute 'SocketHandler'", AttributeError),
    "config": at_compile("import logging.config\nreached.append(logging.config)", "import of 'logging.config' is not allowed"),
    "file_handler": Attack("reached.append(logging.FileHandler('x'))", "logging.FileHandler is not allowed: tasks have no files; use StreamHandler(io.StringIO()). No setting allows it."),
}  # fmt: skip


@pytest.mark.parametrize("program", BRACES)
@pytest.mark.parametrize("name", ["__class__", "gi_frame"])
def test_brace_style(program: str, name: str) -> None:
    """The attribute in the pattern is refused."""
    source = RECORD + BRACES[program].replace("NAME", name)
    check(Attack(source, in_format(name)), target=(x for x in [1]))


@pytest.mark.parametrize("attack", by_id(OTHERS))
def test_other_ways(attack: Attack) -> None:
    """The other styles read keys, and logging's own frames and files stay where they are."""
    check(attack._replace(program=RECORD + attack.program), target=(x for x in [1]))


def test_who_called_is_text() -> None:
    """The place that logging finds in the frames comes as text and numbers."""
    check_nothing_reached(
        "import logging\nfor part in logging.getLogger('a').findCaller(stack_info=True):\n"
        "    if type(part) not in (str, int): reached.append(part)"
    )


def test_logging_to_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``basicConfig`` with a file name gets as far as opening it."""
    monkeypatch.setattr(logging.root, "handlers", [])
    place = str(tmp_path / "log")
    text = f"[Errno 13] opening files is not available in a task (no setting allows it): {place!r}"
    program = "import logging\nlogging.basicConfig(filename=place)\nreached.append(1)"
    check(Attack(program, text, RefusedOperation), place=place)
    assert not (tmp_path / "log").exists()
