"""What the compiled program calls where a name alone cannot decide."""
