"""Scenarios by subject; importing a module registers its scenarios."""
