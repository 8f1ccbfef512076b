"""What to do on a build server so that the board may log in: the lines to paste. It runs nothing."""

import shlex

from servers.models import BuildServer


def install_lines(server: BuildServer) -> str:
    """Shell lines for the account's own shell that let the board's key in; twice does no harm."""
    return "\n".join(
        (
            "mkdir -p ~/.ssh",
            f"echo {shlex.quote(server.public_key.strip())} >> ~/.ssh/authorized_keys",
            "chmod go-w ~",
            "chmod 700 ~/.ssh",
            "chmod 600 ~/.ssh/authorized_keys",
        )
    )
