"""The entry of a web process: see the package."""

from buildboard.web.server import BoardServer  # isort: skip  # chooses Twisted's event loop

import logging
import os
import resource
import signal
import sys

from buildboard.supervisor import tie


def main(descriptor: int) -> None:
    """Serve the board on an open listening socket until SIGTERM."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "buildboard.settings")
    tie.tie_leader()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # one a connection
    from buildboard.asgi import application  # noqa: PLC0415  # loads Django, which needs the settings named

    server = BoardServer(application)
    tie.watch_supervisor(on_loss=lambda: os.kill(os.getpid(), signal.SIGTERM))
    server.serve(descriptor)
    logging.shutdown()
    sys.stderr.flush()
    # Not sys.exit: a thread of a view that hangs would keep the process for ever.
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
