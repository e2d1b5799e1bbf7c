"""The idiom for optional packages: an import that a ``try`` expects to fail is decided when it runs."""

from __future__ import annotations

import pytest

from reptarium.sandbox.language import LanguagePolicy, PolicyViolation, compile_task, make_namespace, run

POLICY = LanguagePolicy(stdlib_allow=("json",), external_allow=())


def outcome(program: str) -> object:
    return run(compile_task(program, POLICY), make_namespace(POLICY, {}))


@pytest.mark.parametrize("error", ["ImportError", "ModuleNotFoundError, ImportError", "Exception", ""])
def test_the_second_choice_is_taken(error: str) -> None:
    """The refused import raises ImportError, and the program goes on."""
    handler = f"except ({error})" if "," in error else f"except {error}"
    assert outcome(f"try:\n    import ujson as json\n{handler}:\n    import json\nreturn json.loads('[1]')") == [1]


def test_the_refusal_says_the_same_as_ever() -> None:
    """Module and setting are in the text of the error."""
    text = outcome("try:\n    import yaml\nexcept ImportError as error:\n    return str(error)")
    assert text == (
        "import of 'yaml' is not allowed: it is not on the list of allowed packages. N8N_RUNNERS_EXTERNAL_ALLOW decides this."
    )


def test_nothing_more_gets_in() -> None:
    """What no list allows is refused as well, and without its handler a try changes nothing."""
    with pytest.raises(PolicyViolation, match="import of 'subprocess' is not allowed"):
        outcome("try:\n    import subprocess\nexcept ImportError:\n    pass")
    for program in (
        "try:\n    import yaml\nexcept KeyError:\n    pass",
        "try:\n    pass\nexcept ImportError:\n    import yaml",
        "try:\n    pass\nexcept ImportError:\n    pass\nimport yaml",
    ):
        with pytest.raises(PolicyViolation, match="import of 'yaml' is not allowed"):
            outcome(program)
