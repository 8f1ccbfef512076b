"""Why jobs waited is kept when a server is removed: its refusals stay, with its name in its place."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("jobs", "0008_active_attempts_without_end"),
        ("servers", "0005_quarantine"),
    ]

    operations = [
        migrations.AddField(
            model_name="refusal",
            name="server_name",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Stays when the server is removed; empty of the board's own.",
                max_length=64,
            ),
        ),
        migrations.AlterField(
            model_name="refusal",
            name="server",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="servers.buildserver",
            ),
        ),
        migrations.RemoveConstraint(
            model_name="refusal",
            name="refusal_of_board_open_once",
        ),
        migrations.AddConstraint(
            model_name="refusal",
            constraint=models.UniqueConstraint(
                condition=models.Q(("server__isnull", True), ("server_name", ""), ("until__isnull", True)),
                fields=("job", "condition"),
                name="refusal_of_board_open_once",
            ),
        ),
    ]
