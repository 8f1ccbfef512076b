"""Starts the processes of one machine, keeps them alive, and ends them in order.

`board.py` is the loop, `group.py` one child and all that it forked, `watch.py` what only the database tells
(deaf clusters, a runner that is gone), `busy.py` and `loss.py` what clusters note in files; `tie.py` and
`cluster.py` run inside the children. It is not in charge of what the processes do, and no build is a child of
it: builds have sessions of their own.
"""
