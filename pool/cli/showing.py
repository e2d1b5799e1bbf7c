"""What came of a script, for a person: the result on standard output, what went wrong and prints beside it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from reptarium.pool.cli.say import say
from reptarium.pool.cli.status import FAILED
from reptarium.pool.embedded_broker.items import NotItems, items_of, text_of
from reptarium.pool.embedded_broker.outcome import Outcome, failure_text


def show(outcome: Outcome, raw: bool, words: Mapping[str, str] = MappingProxyType({}), *, tool: bool = False) -> int:
    """The result, or what went wrong, with ``words`` in place of others. Returns the exit status.

    Unless it is ``raw``, the result is what n8n makes of it, where the code is a Code node's or a Code ``tool``'s.
    """
    if outcome.status == "done" and outcome.data is not None:
        result = json.loads(bytes(outcome.data.result))
        try:
            result = result if raw else text_of(result) if tool else items_of(result)
        except NotItems as error:
            say(f"Error: n8n would refuse the result: {error}; --raw prints any value")
            return FAILED
        try:
            sys.stdout.write(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
        except UnicodeEncodeError:  # a lone surrogate, or a terminal of few characters
            sys.stdout.write(json.dumps(result, indent=2) + "\n")
        return 0
    text = failure_text(outcome)
    for name, word in words.items():
        text = text.replace(name, word)
    say(text)
    return FAILED


def show_print(parts: Sequence[str]) -> None:
    say(" ".join(parts))  # whoever doesn't read the prints may still read the result
