"""When jobs were expected to start and end, kept to be compared with what came. Written by queue/predictions.py."""

from django.db import models
from django.utils import timezone

from jobs.models.job import BuildJob


class PredictionStage(models.TextChoices):
    """Where the job stood: it waited, or it had been given to a server."""

    QUEUED = "queued"
    ACTIVE = "active"


class Prediction(models.Model):
    """One estimate of a job: the first of a stage, or one that tells something else than the one before it.

    `is_current` is what holds now of a job that has not ended. `started_at` and `ended_at` are what came, on every
    estimate of it: set when the job has started and when it has completed; else they stay empty.
    """

    job = models.ForeignKey(BuildJob, on_delete=models.CASCADE, related_name="predictions")
    stage = models.CharField(max_length=8, choices=PredictionStage.choices)
    made_at = models.DateTimeField(default=timezone.now)
    number = models.PositiveSmallIntegerField(default=1, help_text="From 1 in its stage.")
    is_current = models.BooleanField(default=True)
    start_low_at = models.DateTimeField(null=True)
    start_likely_at = models.DateTimeField(null=True)
    start_high_at = models.DateTimeField(null=True)
    end_low_at = models.DateTimeField()
    end_likely_at = models.DateTimeField()
    end_high_at = models.DateTimeField()
    server = models.ForeignKey("servers.BuildServer", null=True, on_delete=models.SET_NULL, related_name="+")
    basis = models.CharField(max_length=24, help_text="Which past builds it was learnt from.")
    samples = models.PositiveSmallIntegerField(default=0)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["job_id", "made_at", "id"]
        constraints = [
            models.CheckConstraint(
                name="prediction_stage_known", condition=models.Q(stage__in=PredictionStage.values)
            ),
            # Only a job that waits is told when it starts.
            models.CheckConstraint(
                name="prediction_start_while_queued",
                condition=models.Q(stage="queued", start_likely_at__isnull=False)
                | models.Q(stage="active", start_likely_at__isnull=True),
            ),
            # What pages read: one answer a job.
            models.UniqueConstraint(
                name="prediction_current_once", fields=["job"], condition=models.Q(is_current=True)
            ),
        ]
        indexes = [
            # How good the last ones have been.
            models.Index(
                name="prediction_start_came",
                fields=["-started_at"],
                condition=models.Q(number=1, stage="queued", started_at__isnull=False),
            ),
            models.Index(
                name="prediction_end_came",
                fields=["-ended_at"],
                condition=models.Q(number=1, stage="active", ended_at__isnull=False),
            ),
            # The oldest are dropped.
            models.Index(name="prediction_made", fields=["made_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.job_id} at {self.made_at}"


class KeptForecast(models.Model):
    """The last forecast of the queue as a whole, and whose turn the next one is: a single row.

    Ranges are of seconds: low, likely, high. `waits`: of a job that comes then, by architecture, without those that no
    server in service builds; `free_in`: until the next slot of a server comes free, by its id. `track_record` is how
    good the estimates have been (queue/accuracy.py).
    """

    made_at = models.DateTimeField(null=True)
    next_at = models.DateTimeField(help_text="Until then nobody begins another.")
    took_ms = models.PositiveIntegerField(default=0)
    looked_at = models.PositiveIntegerField(default=0, help_text="Queued jobs that it is about.")
    left_out = models.PositiveIntegerField(default=0, help_text="Those behind them.")
    waits = models.JSONField(default=dict)
    free_in = models.JSONField(default=dict)
    track_record = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"forecast of {self.made_at}"
