"""Migrations leave large tables where they are."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from tests.factories import make_attempt
from tests.jobs.log_writing import append_log


@pytest.mark.django_db(transaction=True)  # SQLite's part of Django changes tables outside of one alone
def test_no_migration_copies_the_table_that_holds_all_logs() -> None:
    names = sorted(name for app, name in MigrationLoader(connection).disk_migrations if app == "jobs")
    assert names[0] == "0001_initial"  # makes it

    for name in names[1:]:
        told = StringIO()

        call_command("sqlmigrate", "jobs", name, stdout=told)

        assert "new__jobs_logchunk" not in told.getvalue(), name


@pytest.mark.django_db
def test_column_that_was_added_in_sql_is_as_the_model_says() -> None:
    append_log(make_attempt(), b"one\n")

    with connection.cursor() as cursor:
        cursor.execute("SELECT sgr FROM jobs_logchunk")
        rows = cursor.fetchall()
        columns = {
            one.name: one for one in connection.introspection.get_table_description(cursor, "jobs_logchunk")
        }

    assert rows == [("",)]
    assert (columns["sgr"].null_ok, columns["sgr"].default) in {(False, "''"), (False, "''::text")}
