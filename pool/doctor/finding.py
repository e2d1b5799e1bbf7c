"""What the doctor finds, and what that comes to."""

from __future__ import annotations

import msgspec

from reptarium.sandbox import wire
from reptarium.sandbox.kernel import LayerStatus

#: Without these there is no sandbox to speak of.
NEEDED = frozenset({"seccomp", "landlock", "no_new_privs", "rlimits"})
#: Tasks of root, and a zygote with threads beside it, are not isolated; off: there is nothing to give up.
NEEDED_WHERE_REPORTED = frozenset({"uid", "one thread"})

#: Errors, signals, and "refused": the language layer's own word.
_REFUSALS = frozenset(
    {"refused", "EPERM", "EACCES", "ENOENT", "ENOSYS", "EROFS", "EMFILE", "ENOMEM", "MemoryError", "SIGSYS"}
)


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a worker tried. `wanted` is what must come of it; `got` is an errno's name, a
    signal's name or "works".
    """

    name: str
    layer: str
    wanted: str
    got: str

    @property
    def ok(self) -> bool:
        """Whether it ended as it must."""
        # Not just "anything but works": a mistake in an attempt must not pass for a refusal.
        return self.got == "works" if self.wanted == "works" else self.got in _REFUSALS


class Examination(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the doctor found. `refusal` is the text of a refused start, `unfinished` says what took so long
    that the doctor gave up; empty otherwise.
    """

    python: str
    kernel: str
    machine: str
    policy: str
    refusal: str
    layers: tuple[LayerStatus, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    worker: dict[str, str] = {}
    tricks: tuple[wire.Trick, ...] = ()
    unfinished: str = ""

    @property
    def problems(self) -> tuple[str, ...]:
        """What keeps tasks from being isolated as they should be, in words. That something took long is none."""
        weak = [
            f"{layer.name} is {layer.state}"
            for layer in self.layers
            if (layer.name in NEEDED and layer.state in ("missing", "off") and not layer.instead)
            or (layer.name in NEEDED_WHERE_REPORTED and layer.state == "missing")
        ]
        wrong = [f"“{one.name}” must be {one.wanted}: {one.got}" for one in self.attempts if not one.ok]
        return (*(["the sandbox refuses to start"] if self.refusal else []), *weak, *wrong)

    @property
    def healthy(self) -> bool:
        """Whether tasks are known to be isolated as they should be."""
        return bool(self.attempts) and not self.problems and not self.unfinished

    @property
    def verdict(self) -> str:
        """All of it in a sentence or two."""
        if self.problems:
            return f"Tasks are NOT isolated as they should be: {'; '.join(self.problems)}."
        if not self.healthy:
            return (
                f"It is NOT KNOWN whether tasks are isolated: {self.unfinished or 'nothing was tried'}. "
                "What was tried before ended as it must."
            )
        instead = [f"{layer.name} is {layer.state}, {layer.instead}." for layer in self.layers if layer.instead]
        return " ".join(["Tasks are isolated.", *(f"{text[0].upper()}{text[1:]}" for text in instead)])
