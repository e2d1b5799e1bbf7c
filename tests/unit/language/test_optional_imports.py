"""The idiom for optional packages: an import that a ``try`` expects to fail is decided when it runs."""

from __future__ import annotations

import pytest

from reptarium.sandbox.language import LanguagePolicy, PolicyViolation, compile_task, make_namespace, run

POLICY = LanguagePolicy(stdlib_allow=("json",), external_allow=())


def outcome(program: str) -> object:
    return run(compile_task(program, POLICY), make_namespace(POLICY, {}))


@pytest.mark.parametrize(
    "error", ["ImportError", "ModuleNotFoundError", "ModuleNotFoundError, ImportError", "Exception", ""]
)
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


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("json.nothing", "No module named 'json.nothing'"),
        ("json.nothing.more", "No module named 'json.nothing'"),
        ("math.floor", "No module named 'math.floor'; 'math' is not a package"),
    ],
)
@pytest.mark.parametrize("way", ["import NAME", "from NAME import x", "__import__('NAME')", "__import__('NAM' + 'E')"])
def test_what_is_not_there_is_missing_as_in_python(name: str, text: str, way: str) -> None:
    """Below a module that may be imported: Python's own error, whoever catches it."""
    policy = LanguagePolicy(stdlib_allow=("*",))
    way = way.replace("NAM' + 'E", f"{name[:5]}' + '{name[5:]}").replace("NAME", name)
    program = f"try:\n    {way}\nexcept ModuleNotFoundError as error:\n    return [str(error), error.name]"
    missing = text.split("'")[1]
    assert run(compile_task(program, policy), make_namespace(policy, {})) == [text, missing]


def test_what_is_there_and_not_for_tasks_is_refused() -> None:
    """Before the code runs, as is what isn't there where nobody expects that."""
    policy = LanguagePolicy(stdlib_allow=("*",))
    with pytest.raises(PolicyViolation, match=r"import of 'json\.nothing' is not allowed"):
        compile_task("import json.nothing", policy)
    for name in ("json.tool", "xml.etree.ElementInclude", "json._nothing", "os.nothing", "subprocess.nothing"):
        with pytest.raises(PolicyViolation, match=f"import of '{name}' is not allowed"):
            compile_task(f"try:\n    import {name}\nexcept ImportError:\n    pass", policy)


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
