"""A quarantine without an end is kept as one that does not come, and read as none. Nothing changes in the database."""

from django.db import migrations

import servers.models


class Migration(migrations.Migration):

    dependencies = [
        ("servers", "0005_quarantine"),
    ]

    operations = [
        migrations.AlterField(
            model_name="buildserver",
            name="quarantined_until",
            field=servers.models.EndField(blank=True, editable=False, null=True),
        ),
    ]
