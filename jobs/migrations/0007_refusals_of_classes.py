"""Of which class of need the job of a refusal is, so that those behind it can be told what they waited for."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("jobs", "0006_host_faults"),
    ]

    operations = [
        migrations.AddField(
            model_name="refusal",
            name="needs_key",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="The job's: what was refused to one of a class is refused to all.",
                max_length=32,
            ),
        ),
        migrations.AddIndex(
            model_name="refusal",
            index=models.Index(fields=["needs_key", "until"], name="refusal_of_class"),
        ),
    ]
