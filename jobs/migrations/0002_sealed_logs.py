"""Sealed logs, and the colours in force at each chunk of a log that is still live."""

import uuid

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("jobs", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="attempt",
            name="log_sgr",
            field=models.TextField(
                blank=True, db_default="", default="", help_text="What sets the colours that follow the kept log."
            ),
        ),
        # In SQL, which both databases understand: on SQLite Django would copy the whole table, and it holds all logs.
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    "ALTER TABLE jobs_logchunk ADD COLUMN sgr text DEFAULT '' NOT NULL",
                    "ALTER TABLE jobs_logchunk DROP COLUMN sgr",
                ),
            ],
            state_operations=[
                migrations.AddField(
                    model_name="logchunk",
                    name="sgr",
                    field=models.TextField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="What sets the colours that it begins with.",
                    ),
                ),
            ],
        ),
        migrations.AddIndex(
            model_name="logchunk",
            index=models.Index(
                condition=models.Q(("offset", 0)), fields=["attempt"], name="chunk_first_of_log"
            ),
        ),
        migrations.CreateModel(
            name="SealedLog",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("storage_key", models.CharField(max_length=255)),
                ("begun_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("published_at", models.DateTimeField(null=True)),
                ("size", models.BigIntegerField(default=0)),
                (
                    "index",
                    models.BinaryField(
                        default=b"", help_text="Where each block of it begins, as logs/sealed.py reads it."
                    ),
                ),
                ("outline", models.BinaryField(default=b"", help_text="As logs/outline.py reads it.")),
                (
                    "attempt",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="sealed_logs",
                        to="jobs.attempt",
                    ),
                ),
            ],
            options={
                "ordering": ["begun_at"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("published_at__isnull", True), ("attempt__isnull", True), _connector="OR"),
                        fields=["begun_at"],
                        name="sealed_log_left",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("published_at__isnull", False)),
                        fields=("attempt",),
                        name="sealed_log_published_once",
                    )
                ],
            },
        ),
    ]
