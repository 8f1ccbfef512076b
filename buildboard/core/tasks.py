"""Entry points of the core for the clusters."""

from buildboard.core.heartbeat import beat


def ping(cluster: str) -> None:
    """Show that a cluster of this machine takes tasks."""
    beat(f"ping:{cluster}")
