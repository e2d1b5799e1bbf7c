"""``reptarium demo``: example scripts through the embedded broker, the real protocol and the real sandbox."""

from reptarium.pool.demo.show import demo

__all__ = ["demo"]
