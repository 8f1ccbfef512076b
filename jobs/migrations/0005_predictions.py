"""Estimates of when jobs start and end, kept to be compared with what came, and the last one of the queue."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0004_queue_order'),
    ]

    operations = [
        migrations.CreateModel(
            name='KeptForecast',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('made_at', models.DateTimeField(null=True)),
                ('next_at', models.DateTimeField(help_text='Until then nobody begins another.')),
                ('took_ms', models.PositiveIntegerField(default=0)),
                ('looked_at', models.PositiveIntegerField(default=0, help_text='Queued jobs that it is about.')),
                ('left_out', models.PositiveIntegerField(default=0, help_text='Those behind them.')),
                ('waits', models.JSONField(default=dict)),
                ('free_in', models.JSONField(default=dict)),
                ('track_record', models.JSONField(default=dict)),
            ],
        ),
        migrations.CreateModel(
            name='Prediction',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('stage', models.CharField(choices=[('queued', 'Queued'), ('active', 'Active')], max_length=8)),
                ('made_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('number', models.PositiveSmallIntegerField(default=1, help_text='From 1 in its stage.')),
                ('is_current', models.BooleanField(default=True)),
                ('start_low_at', models.DateTimeField(null=True)),
                ('start_likely_at', models.DateTimeField(null=True)),
                ('start_high_at', models.DateTimeField(null=True)),
                ('end_low_at', models.DateTimeField()),
                ('end_likely_at', models.DateTimeField()),
                ('end_high_at', models.DateTimeField()),
                ('basis', models.CharField(help_text='Which past builds it was learnt from.', max_length=24)),
                ('samples', models.PositiveSmallIntegerField(default=0)),
                ('started_at', models.DateTimeField(null=True)),
                ('ended_at', models.DateTimeField(null=True)),
                ('job', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='predictions', to='jobs.buildjob')),
                ('server', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='servers.buildserver')),
            ],
            options={
                'ordering': ['job_id', 'made_at', 'id'],
                'indexes': [models.Index(condition=models.Q(('number', 1), ('stage', 'queued'), ('started_at__isnull', False)), fields=['-started_at'], name='prediction_start_came'), models.Index(condition=models.Q(('ended_at__isnull', False), ('number', 1), ('stage', 'active')), fields=['-ended_at'], name='prediction_end_came'), models.Index(fields=['made_at'], name='prediction_made')],
                'constraints': [models.CheckConstraint(condition=models.Q(('stage__in', ['queued', 'active'])), name='prediction_stage_known'), models.CheckConstraint(condition=models.Q(models.Q(('stage', 'queued'), ('start_likely_at__isnull', False)), models.Q(('stage', 'active'), ('start_likely_at__isnull', True)), _connector='OR'), name='prediction_start_while_queued'), models.UniqueConstraint(condition=models.Q(('is_current', True)), fields=('job',), name='prediction_current_once')],
            },
        ),
    ]
