"""Active attempts are found by having no end: by a list of statuses SQLite read all that ever ran on a server."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("jobs", "0007_refusals_of_classes"),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="attempt",
            name="attempt_active_of_server",
        ),
        migrations.AddIndex(
            model_name="attempt",
            index=models.Index(
                condition=models.Q(("completed_at__isnull", True)),
                fields=["server", "created_at"],
                name="attempt_active_of_server",
            ),
        ),
    ]
