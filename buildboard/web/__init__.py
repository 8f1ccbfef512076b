"""The web process: daphne run from code, with the limits that it lacks.

`python -m buildboard.web DESCRIPTOR` serves on a listening socket that the supervisor opened; several such
processes share it. `requests.py` limits HTTP, `sockets.py` WebSockets, `flow.py` is how both learn that a
client is slow. It is not in charge of what is answered (asgi.py and behind).
"""
