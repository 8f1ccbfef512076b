"""Jobs, attempts and what belongs to them in Django's admin site: to be looked at. Their owners write them.

No log, no secret, no lease and no hash is shown.
"""

from collections import Counter

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse

from buildboard.core.admin import LookOnly, NamedValues, written_out
from buildboard.core.audit import Actor
from buildboard.core.auth import principal_of
from jobs.errors import IllegalTransition
from jobs.lifecycle import request_cancel
from jobs.models import Artifact, Attempt, BuildJob, Orchestrator, Secret
from jobs.orchestrators import revoke_orchestrator

_CANCELLED, _ASKED, _OVER = "cancelled", "asked to end", "had ended already"


def _cancel(job: BuildJob, *, actor: Actor) -> str:
    try:
        return _CANCELLED if request_cancel(job, actor=actor).is_terminal else _ASKED
    except IllegalTransition:
        return _OVER


@admin.register(BuildJob)
class BuildJobAdmin(LookOnly):
    """Build jobs, and cancelling many; the rest is on a job's own page."""

    list_display = (
        "id",
        written_out("source_repository"),
        written_out("branch"),
        "target_architecture",
        "status",
        "server_name",
        "created_by",
        "created_at",
    )
    list_filter = ("status", "priority", "target_architecture", "provider", "error_category")
    list_select_related = ("created_by",)
    search_fields = ("id", "source_repository", "branch", "resolved_commit", "server_name")
    search_help_text = "An id, or a part of repository, branch, commit or server."
    fields = (
        *("id", written_out("source_repository"), written_out("branch")),
        *("commit_hash", "resolved_commit", "target_architecture"),
        *("required_toolchain", "required_labels", "group", "labels", "priority", "provider", "job_type"),
        *("requested_server", "server", "retry_of", "created_by", "status", "not_before"),
        *(
            "cancel_requested_at",
            "cancel_requested_by",
            "attempts",
            "max_attempts",
            "follow_crashes",
            "progress",
        ),
        *(
            "started_at",
            "completed_at",
            "exit_code",
            "error_category",
            written_out("error_message"),
            "created_at",
        ),
    )

    actions = ("cancel",)

    def view_on_site(self, obj: BuildJob) -> str:
        """The job's page, where it is cancelled and retried."""
        return reverse("jobs:detail", args=[obj.pk])

    @admin.action(description="Cancel the selected jobs", permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[BuildJob]) -> None:
        """At once those that wait; one that runs ends when its server confirms that nothing of it runs."""
        actor = principal_of(request).actor
        ends = Counter(_cancel(job, actor=actor) for job in queryset.select_related(None).only("status"))
        told = [f"{ends[end]} {end}" for end in (_CANCELLED, _ASKED, _OVER) if ends[end]]
        level = messages.SUCCESS if ends[_CANCELLED] or ends[_ASKED] else messages.WARNING
        messages.add_message(request, level, f"{', '.join(told) or 'None is there any more'}.")


@admin.register(Attempt)
class AttemptAdmin(LookOnly):
    """Executions of jobs."""

    list_display = (
        "job",
        "number",
        "status",
        "phase",
        "server_name",
        "exit_code",
        "started_at",
        "completed_at",
    )
    list_filter = ("status", "phase", "error_category")
    list_select_related = ("job",)
    search_fields = ("id", "job__id", "server_name")
    search_help_text = "An id of an attempt or a job, or a part of a server's name."
    fields = (
        *("id", "job", "number", "server", "server_name", "orchestrator", "status", "phase", "submitted_at"),
        *("source_read", "log_size", "log_lines", "log_omitted", "unreachable_since", "resolved_commit"),
        *("exit_code", "error_category", written_out("error_message"), "metrics"),
        *("created_at", "started_at", "completed_at", "cleaned_at"),
    )

    def view_on_site(self, obj: Attempt) -> str:
        """Its tab on the job's page."""
        return f"{reverse('jobs:detail', args=[obj.job_id])}?attempt={obj.number}"


@admin.register(Artifact)
class ArtifactAdmin(LookOnly):
    """Files that attempts made; they are downloaded from their job's page."""

    list_display = (written_out("path"), "attempt", "size", "created_at")
    list_filter = ("created_at", "attempt__server")
    list_select_related = ("attempt",)
    search_fields = ("path", "attempt__job__id")
    search_help_text = "A part of a path, or a job's id."
    fields = ("id", "attempt", written_out("path"), "size", "sha256", "created_at")


@admin.register(Secret)
class SecretAdmin(LookOnly):
    """Names of stored secrets; values are never shown."""

    list_display = ("name", "created_by", "created_at", "updated_at")
    list_filter = ("updated_at", ("created_by", NamedValues))
    search_fields = ("name",)
    search_help_text = "A part of a name."
    fields = ("name", "created_by", "created_at", "updated_at")


@admin.register(Orchestrator)
class OrchestratorAdmin(LookOnly):
    """Registered orchestrators, and ending them."""

    list_display = ("name", "job_types", "created_at", "last_seen_at", "revoked_at")
    list_filter = ("last_seen_at", "revoked_at")
    search_fields = ("name",)
    search_help_text = "A part of a name."
    fields = ("id", "name", "job_types", "created_at", "last_seen_at", "revoked_at")
    actions = ("revoke",)

    @admin.action(description="Revoke the selected orchestrators", permissions=["administer"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[Orchestrator]) -> None:
        """End their tokens for good."""
        actor = principal_of(request).actor
        ended = sum(revoke_orchestrator(orchestrator, actor=actor) for orchestrator in queryset)
        messages.success(request, f"{ended} revoked.")
