"""What is withheld, replaced and patched of modules of the standard library."""
