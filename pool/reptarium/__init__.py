"""The installed package's top.

``pyproject.toml`` installs this folder as ``reptarium``, ``pool/`` as ``reptarium.pool`` and ``sandbox/`` as
``reptarium.sandbox``: nothing of ours is a top-level package with a name that others use too.
"""

__version__ = "0.2.0"
