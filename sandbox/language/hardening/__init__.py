"""The second line inside the interpreter."""
