"""Settings that flags stand for: what is said of the variable is said of the flag."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from reptarium.pool.cli.say import say
from reptarium.pool.config import ConfigError, Settings


def flagged(
    command: str,
    environ: Mapping[str, str],
    given: Mapping[str, tuple[str, str | None]],
    load: Callable[[Mapping[str, str]], Settings],
) -> Settings | None:
    """The settings of ``environ``, with flags in the place of variables: their name and value, by variable.

    None when a flag is wrong, which has been said then, as have been warnings. Raises ConfigError for what else is.
    """
    flags = {variable: flag for variable, (flag, value) in given.items() if value is not None}
    try:
        chosen = load({**environ, **{variable: str(given[variable][1]) for variable in flags}})
    except ConfigError as error:
        wrong = [problem for problem in error.problems if problem.partition("=")[0] in flags]
        if not wrong:
            raise
        for problem in wrong:
            say(f"reptarium {command}: {_with_flags(problem, flags)}")
        return None
    for warning in chosen.warnings:
        say(f"reptarium {command}: warning: {_with_flags(warning, flags)}")
    return chosen


def _with_flags(text: str, flags: Mapping[str, str]) -> str:
    for variable, flag in flags.items():
        text = text.replace(variable, flag, 1) if text.startswith(variable) else text
    return text
