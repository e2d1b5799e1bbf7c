"""What an administrator allows, what user code may name, and the refusals: facts, decided on without running anything."""
