"""What is withheld, replaced and patched of particular packages."""
