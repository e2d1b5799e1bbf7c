"""User code as plain CPython runs it (``REPTARIUM_LANGUAGE=python``): judged for imports and builtins, not guarded.

`program.py`   from source text to code: the wrapper, and the two checks
`runtime.py`   builtins, globals, the run, preloading

What holds user code in this mode is the kernel layer alone; the checks are a courtesy to the administrator's lists.
"""
