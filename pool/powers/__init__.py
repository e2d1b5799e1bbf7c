"""Powers that an administrator gives to tasks, as far as the supervisor holds them.

`destinations.py`  what may be connected to: ``REPTARIUM_CONNECT_ALLOW`` as rules
`listener.py`      the kernel's side: calls that workers' filters have stopped
`connections.py`   one task's connections: asked for, judged, made, handed over, counted
`sockets.py`       what is done on sockets that a worker has as well
`datagrams.py`     a task's sockets of UDP, which lead to its resolver
`answers.py`       one task's resolver; `dns.py`: its messages
`certificates.py`  what tasks check servers against
`resolver.py`      addresses of names, as this machine knows them
`connector.py`     what all tasks share
"""
