"""One task inside a worker: running it, its failures, its result, what it prints."""
