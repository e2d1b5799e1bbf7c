"""The zygote and the worker: their lives, memory that is cheap to fork."""
