"""What to do on a build server so that the board may log in: the lines to paste. It runs nothing."""

import shlex

from servers.models import BuildServer


def install_lines(server: BuildServer) -> str:
    """Shell lines for the account's own shell that let the board's key in; twice does no harm.

    An empty line goes before it: the last line of what is there may have no end.
    """
    return "\n".join(
        (
            "mkdir -p ~/.ssh",
            rf"printf '\n%s\n' {shlex.quote(server.public_key.strip())} >> ~/.ssh/authorized_keys",
            "chmod go-w ~",
            "chmod 700 ~/.ssh",
            "chmod 600 ~/.ssh/authorized_keys",
        )
    )
