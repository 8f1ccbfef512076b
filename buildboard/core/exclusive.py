"""One at a time, over all processes and machines: for what two may not do at once. It waits, and says nothing."""

from django.db import connection


def hold_alone(name: str) -> None:
    """Wait until nobody else holds `name`, then hold it until the transaction ends. Call it inside one.

    On SQLite there is nothing to do: transactions are begun as writers', of which there is one at a time.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"buildboard.{name}"])
