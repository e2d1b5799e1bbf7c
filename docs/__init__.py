"""Makes ``docs.diagrams`` this folder's, whoever else has a package of that name."""
