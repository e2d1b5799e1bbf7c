"""The ``reptarium`` command: one file a command.

The first of ours that a command imports: no other import may get the number of a standard stream.
"""

from reptarium.pool.cli.descriptors import open_standard_descriptors

open_standard_descriptors()
