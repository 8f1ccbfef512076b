"""The list of jobs in every order that it offers, and how long jobs ran, kept by the database itself."""

from django.conf import settings
from django.db import migrations, models

import jobs.models.elapsed


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0002_sealed_logs'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='buildjob',
            name='job_status_newest',
        ),
        migrations.AddField(
            model_name='buildjob',
            name='ran_ms',
            field=models.GeneratedField(db_persist=True, expression=jobs.models.elapsed.ElapsedMilliseconds('started_at', 'completed_at'), output_field=models.BigIntegerField(null=True)),
        ),
        migrations.AddIndex(
            model_name='buildjob',
            index=models.Index(fields=['source_repository', 'created_at', 'id'], name='job_by_repository'),
        ),
        migrations.AddIndex(
            model_name='buildjob',
            index=models.Index(fields=['branch', 'created_at', 'id'], name='job_by_branch'),
        ),
        migrations.AddIndex(
            model_name='buildjob',
            index=models.Index(fields=['created_by', 'created_at', 'id'], name='job_by_person'),
        ),
        migrations.AddIndex(
            model_name='buildjob',
            index=models.Index(fields=['status', 'created_at', 'id'], name='job_by_status'),
        ),
        migrations.AddIndex(
            model_name='buildjob',
            index=models.Index(fields=['server_name', '-created_at', '-id'], name='job_by_server'),
        ),
        migrations.AddIndex(
            model_name='buildjob',
            index=models.Index(condition=models.Q(('ran_ms__isnull', False)), fields=['ran_ms', 'created_at', 'id'], name='job_by_duration'),
        ),
        migrations.AddIndex(
            model_name='buildjob',
            index=models.Index(condition=models.Q(('completed_at__isnull', False)), fields=['completed_at', 'status'], name='job_ended'),
        ),
        migrations.AddIndex(
            model_name='buildjob',
            index=models.Index(condition=models.Q(('status', 'completed')), fields=['source_repository', 'target_architecture', 'completed_at', 'ran_ms'], name='job_usual'),
        ),
    ]
