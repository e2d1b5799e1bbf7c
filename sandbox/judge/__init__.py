"""Says what a program would need and do, from its text alone: nothing of it is run, nothing that it names is imported
but modules of the standard library that tasks may have.

`__main__.py`   the process: a program a line in, what is said of it a line out
`messages.py`   the two
`verdict.py`    what is refused under a policy, and the least under which nothing is
`features.py`   what a program names: imports, calls, hosts, files
`returned.py`   what it returns, as far as its text tells
`surely.py`     names that it reads whatever comes in
`addresses.py`  addresses in texts, and texts that are hosts
`arguments.py`  what its calls are given: texts, hosts, addresses
`constants.py`  texts that it puts into a name once and for all
`clients.py`    by which libraries it connects
`network.py`    these: which libraries connect, to which port
`opened.py`     functions of libraries that open the file at a path
`threads.py`    pools of threads, and their size
`late.py`       packages that libraries import only when something of theirs is used
`absent.py`     names that modules of the standard library haven't got
`given.py`      attributes that it reads of the names that a task has
"""
