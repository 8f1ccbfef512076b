"""Which failures are alike, and which were a server's fault; what ended on a server lately is found by an index."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0005_predictions'),
        ('servers', '0005_quarantine'),
    ]

    operations = [
        migrations.AddField(
            model_name='attempt',
            name='error_fingerprint',
            field=models.CharField(blank=True, db_default='', default='', help_text='The same for failures that say the same; empty: nothing tells them from others.', max_length=32),
        ),
        migrations.AddField(
            model_name='attempt',
            name='host_fault',
            field=models.BooleanField(db_default=False, default=False, help_text="It failed by its server's fault, not by the build's."),
        ),
        migrations.AddField(
            model_name='buildjob',
            name='excused_attempts',
            field=models.PositiveSmallIntegerField(db_default=0, default=0, help_text="Those that failed by their server's fault, and for which it was queued once more."),
        ),
        migrations.AddIndex(
            model_name='attempt',
            index=models.Index(condition=models.Q(('completed_at__isnull', False)), fields=['server', '-completed_at'], name='attempt_ended_of_server'),
        ),
        migrations.AddIndex(
            model_name='attempt',
            index=models.Index(condition=models.Q(('error_fingerprint', ''), _negated=True), fields=['error_fingerprint', '-completed_at'], name='attempt_failed_alike'),
        ),
    ]
