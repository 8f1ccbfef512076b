"""Bells over PostgreSQL's NOTIFY: for any number of machines that share the database."""

import socket
from multiprocessing.connection import wait
from typing import Any

import psycopg
from django.db import connection, connections

CHANNEL = "buildboard"


class PostgresCarrier:
    """Rings over Django's own connection, and listens over one that nothing else uses."""

    errors: tuple[type[Exception], ...] = (psycopg.Error, OSError)

    def __init__(self) -> None:
        self._connection: psycopg.Connection[Any] | None = None

    def ring(self, bell: str) -> None:
        if connection.needs_rollback:  # within a transaction that already failed nothing can be sent
            return
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, bell])

    def open(self) -> None:
        parameters: dict[str, Any] = connections["default"].get_connection_params()
        # Keepalives: a listener never sends, so it would not notice that the other machine is gone.
        alive = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
        self._connection = psycopg.connect(**{**alive, **parameters}, autocommit=True)
        self._connection.execute(f"LISTEN {CHANNEL}")

    def receive(self, wake: socket.socket, *, timeout_seconds: float) -> list[str]:
        if self._connection is None:
            raise psycopg.OperationalError("not open")
        plain = self._connection.pgconn
        if plain.socket in wait([plain.socket, wake], timeout_seconds):
            plain.consume_input()
        bells: list[str] = []
        while (notice := plain.notifies()) is not None:
            bells.append(notice.extra.decode(errors="replace"))
        return bells

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
