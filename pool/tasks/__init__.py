"""One task from its accepted offer to its outcome, and the calls that it makes."""
