"""The ``reptarium`` command: one file a command."""
