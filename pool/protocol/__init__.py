"""n8n's task runner protocol, the runner's side: messages, the session and its table. No I/O in here."""
