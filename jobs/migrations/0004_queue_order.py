"""A job's rank in the queue, what it asks for in short, how long it may wait; what each submitter was given."""

import django.utils.timezone
from django.db import migrations, models

import jobs.models.rank


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0003_job_orders_and_durations"),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="buildjob",
            name="job_queued",
        ),
        migrations.AddField(
            model_name="buildjob",
            name="ageing_seconds",
            field=models.PositiveIntegerField(
                db_default=21600,
                default=jobs.models.rank.ageing_seconds,
                help_text="BUILDBOARD_AGEING_SECONDS when it was submitted: what one step of priority is worth.",
            ),
        ),
        migrations.AddField(
            model_name="buildjob",
            name="rank_ms",
            field=models.GeneratedField(
                db_persist=True,
                expression=jobs.models.rank.RankMilliseconds("created_at", "priority", "ageing_seconds"),
                output_field=models.BigIntegerField(),
            ),
        ),
        migrations.AddField(
            model_name="buildjob",
            name="needs_key",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="The same for jobs that ask for the same of a server; empty: not computed.",
                max_length=32,
            ),
        ),
        migrations.AddField(
            model_name="buildjob",
            name="queue_timeout_seconds",
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="buildjob",
            name="queue_deadline_at",
            field=models.DateTimeField(
                blank=True, help_text="When it fails if it still waits; empty: never.", null=True
            ),
        ),
        migrations.AddField(
            model_name="buildjob",
            name="impossible_since",
            field=models.DateTimeField(
                blank=True,
                help_text="Since when no server could take it even if it were free and in service.",
                null=True,
            ),
        ),
        migrations.AddIndex(
            model_name="buildjob",
            index=models.Index(
                condition=models.Q(("status", "queued")),
                fields=["status", "rank_ms", "created_at", "id"],
                name="job_queued",
            ),
        ),
        migrations.AddIndex(
            model_name="buildjob",
            index=models.Index(
                condition=models.Q(("queue_deadline_at__isnull", False), ("status", "queued")),
                fields=["queue_deadline_at"],
                name="job_queue_deadline",
            ),
        ),
        migrations.AddIndex(
            model_name="buildjob",
            index=models.Index(
                condition=models.Q(("impossible_since__isnull", False), ("status", "queued")),
                fields=["impossible_since"],
                name="job_impossible",
            ),
        ),
        migrations.CreateModel(
            name="FairShare",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("needs_key", models.CharField(max_length=32)),
                ("submitter", models.UUIDField()),
                ("served", models.FloatField(default=0)),
                ("updated_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.AddIndex(
            model_name="fairshare",
            index=models.Index(fields=["updated_at"], name="fair_share_updated"),
        ),
        migrations.AddConstraint(
            model_name="fairshare",
            constraint=models.UniqueConstraint(fields=("needs_key", "submitter"), name="fair_share_once"),
        ),
    ]
