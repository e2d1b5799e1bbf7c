"""The file of rules for editors, as JSON Schema: ``python -m reptarium.pool.policy.schema`` prints it.

Everything in it comes from the table of settings. It is shipped as `reptarium-policy.schema.json`, beside this file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from reptarium.pool.config.table import BY_RULE
from reptarium.pool.policy.file import CONDITIONS, LONGEST_NAME

__all__ = ["SHIPPED", "render", "schema"]

SHIPPED = Path(__file__).with_name("reptarium-policy.schema.json")
_NAME = {"type": "string", "minLength": 1}


def schema() -> dict[str, Any]:
    """The schema (draft 7, which editors know best)."""
    one_or_more = {"anyOf": [_NAME, {"type": "array", "items": _NAME, "minItems": 1}]}
    keys: dict[str, Any] = {
        "name": {
            "type": "string",
            "minLength": 1,
            "maxLength": LONGEST_NAME,
            "description": "Name of the rule, for log lines and errors; each has another.",
        }
    }
    keys |= {key: {**one_or_more, "description": words} for key, words in CONDITIONS.items()}
    keys |= {
        key: {**variable.kind.schema, "description": f"{variable.doc} In place of {variable.name}."}
        for key, variable in BY_RULE.items()
    }
    rule = {"type": "object", "properties": keys, "required": ["name"], "additionalProperties": False}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Reptarium policy",
        "description": "Powers and limits of tasks, by workflow and node. The first rule that matches decides.",
        "type": "object",
        "properties": {"rule": {"type": "array", "items": rule}},
        "additionalProperties": False,
    }


def render() -> str:
    """The schema's text, ending in a line end."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(render(), end="")
