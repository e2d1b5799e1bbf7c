"""Rules about tasks: which powers and limits a task runs under, by its workflow and node.

`rules.py`     what a rule is, and which one a task comes under: the first that matches
`patterns.py`  names with stars
`file.py`      rules from a file (TOML), strictly; errors that name file, line, rule and key
`schema.py`    the same for editors, as JSON Schema: `reptarium-policy.schema.json` is printed from it
"""
