"""Which tables of layers count as the whole kernel layer, for what can't do with less."""

from __future__ import annotations

import pytest

from reptarium.sandbox.kernel import IsolationUnavailable, LayerStatus, require_all

WHOLE = {"uid": "active", "rlimits": "active", "no_new_privs": "active", "landlock": "active", "seccomp": "active"}


def table(**changed: str | None) -> tuple[LayerStatus, ...]:
    states = {**WHOLE, **changed}
    return tuple(LayerStatus(name, state, f"about {name}", "Do.") for name, state in states.items() if state)  # type: ignore[arg-type]


@pytest.mark.parametrize("changed", [{}, {"landlock": "partial"}, {"uid": "off"}, {"namespaces": "missing"}])
def test_what_nothing_depends_on_may_be_missing(changed: dict[str, str]) -> None:
    """Namespaces, the newest rights of Landlock, and a user of one's own where nobody is root."""
    require_all(table(**changed), "REPTARIUM_LANGUAGE=python")


@pytest.mark.parametrize(
    ("layer", "state"),
    [
        *((name, "missing") for name in WHOLE),
        ("rlimits", "partial"),
        ("landlock", None),
    ],
)
def test_a_layer_that_tasks_depend_on_is_asked_for(layer: str, state: str | None) -> None:
    """The refusal names the setting, the layer, why it isn't there, and what to change."""
    with pytest.raises(IsolationUnavailable) as caught:
        require_all(table(**{layer: state}), "REPTARIUM_LANGUAGE=python")
    detail = f"about {layer}. Do." if state else "nothing is known of it. "
    assert str(caught.value) == (
        f"REPTARIUM_LANGUAGE=python needs the whole kernel layer, and {layer} is {state or 'missing'}: {detail} "
        "Or leave REPTARIUM_LANGUAGE out."
    )
