"""Exit statuses of the commands."""

#: A failed task; bad input or usage; a configuration that can't work (sysexits(3), EX_CONFIG); Ctrl-C (128 + SIGINT).
FAILED, BAD_INPUT, BAD_CONFIG, INTERRUPTED = 1, 2, 78, 130
