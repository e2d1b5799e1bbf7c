"""Where user code, settings and ends differ from n8n's own Python runner: one table, and the page made of it."""
