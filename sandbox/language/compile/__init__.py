"""From source text to code: the checks of a program, and the guards put into it."""
