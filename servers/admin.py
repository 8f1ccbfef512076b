"""Build servers in Django's admin site, for operators, by the same form and rules as their page.

Writing is registry.py's and health.py's; nothing here shows or stores a private key.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from buildboard.core.admin import NamedValues, Steady, written_out
from buildboard.core.auth import principal_of
from servers.checks import request_check
from servers.drains import set_draining, set_maintenance
from servers.errors import ServerError
from servers.forms import ServerForm, UntilField
from servers.models import BuildServer, Toolchain
from servers.quarantine import set_quarantine
from servers.registry import add_server, change_server, delete_server
from servers.slots import held_slots
from servers.states import QuarantineKind, ServerStatus, TransportKind

if TYPE_CHECKING:  # Django's own class takes no type at run time
    ToolchainTable = admin.TabularInline[Toolchain, BuildServer]
else:
    ToolchainTable = admin.TabularInline

_SEEN = (
    *("transport", "status", written_out("status_reason"), "status_changed_at", "status_changed_by"),
    *("maintenance_until", "unreachable_since", "last_health_check", "slots"),
    *("draining_since", "draining_by", "removal_requested_at", "removal_requested_by"),
    *("quarantine_kind", written_out("quarantine_reason"), "quarantined_since", "quarantined_until"),
    "quarantined_by",
    *("total_cpu_cores", "total_memory_mb", "total_storage_gb"),
    *("cpu_percent", "memory_percent", "storage_percent"),
)
_KEYS = ("public_key", "host_key_fingerprint", "seen_host_key_fingerprint")


class AdminServerForm(ServerForm):
    """The page's form, and whether it drains and until when, which has a button of its own there."""

    draining_until = UntilField(
        required=False,
        widget=forms.TextInput({"autocomplete": "off", "placeholder": "2026-01-16 14:00"}),
        help_text="When it ends by itself, in UTC. Empty: when somebody ends it.",
    )

    class Meta(ServerForm.Meta):
        fields = (*ServerForm.Meta.fields, "draining", "draining_reason")
        help_texts = {  # a plain dict of the page's form, too
            **ServerForm.Meta.help_texts,
            "draining": "Takes no new builds; running ones go on.",
        }

    def __init__(self, *args: Any, instance: BuildServer | None = None, **kwargs: Any) -> None:
        until = {"draining_until": instance.draining_until} if instance else {}
        initial = {**until, **(kwargs.pop("initial", None) or {})}
        super().__init__(*args, instance=instance, initial=initial, **kwargs)


class ByLabel(admin.SimpleListFilter):
    """A filter by the labels that there are, written as the API's."""

    title = parameter_name = "label"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Each label once; one query."""
        found = {
            pair for labels in BuildServer.objects.values_list("labels", flat=True) for pair in labels.items()
        }
        return [(f"{key}:{value}", f"{key}={value}") for key, value in sorted(found)]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """The servers with the label that was chosen."""
        key, _, value = (self.value() or "").partition(":")
        return queryset.labelled(key, value) if key else queryset


class ToolchainInline(ToolchainTable):
    """What a probe found; it cannot be changed by hand."""

    model = Toolchain
    extra = 0
    can_delete = False
    fields = readonly_fields = ("name", "version", "target_architecture", "path", "seen_at")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody: probes do."""
        return False


@admin.register(BuildServer)
class BuildServerAdmin(Steady):
    """Servers: add, change, take out. A new one is reached over SSH; `up` adds this machine by itself."""

    form = AdminServerForm
    inlines = (ToolchainInline,)
    actions = (
        *("probe_now", "accept_host_key", "start_maintenance", "end_maintenance"),
        *("drain", "end_drain", "start_quarantine", "end_quarantine"),
    )
    list_display = (
        *("name", "status", "enabled", "draining", "transport", "hostname", "slots"),
        "last_health_check",
    )
    list_filter = (
        *("status", "enabled", "draining", "quarantine_kind", "transport"),
        *(("group", NamedValues), ByLabel, ("toolchains__target_architecture", NamedValues)),
    )
    search_fields = ("name", "hostname", "group", "toolchains__name")
    search_help_text = "A part of name, host name, group or of a tool's name."
    readonly_fields = (*_SEEN, *_KEYS)

    @admin.display(description="builds / slots")
    def slots(self, server: BuildServer) -> str:
        """How many builds it runs, of how many."""
        return f"{held_slots(server) if server.pk else 0} / {server.max_concurrent_builds}"

    @admin.display(description="pinned host key")
    def host_key_fingerprint(self, server: BuildServer) -> str:
        """Of the key that every connection is checked against."""
        return server.host_key_fingerprint or "none yet"

    @admin.display(description="host key to be accepted")
    def seen_host_key_fingerprint(self, server: BuildServer) -> str:
        """Of another key that it showed."""
        return server.seen_host_key_fingerprint or "none"

    def view_on_site(self, obj: BuildServer) -> str:
        """The server's page."""
        return reverse("jobs:server", args=[obj.pk])

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """Whether an address may filter by this; never by a key, letter by letter."""
        return not lookup.startswith("private_key") and super().lookup_allowed(lookup, value, request)

    # ---- the form ---------------------------------------------------------------------------------------

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """What there is to give: a new server is not seen yet, this machine needs no way in."""
        shown = ("shown",) if obj else ()
        builds = ("name", "architectures", "max_concurrent_builds", "labels", "group", "enabled", *shown)
        limits = ("cpu_limit_percent", "memory_limit_percent", "storage_limit_percent")
        address = ("hostname", "ssh_port", "ssh_username", "host_key", "jump_host")
        key = ("private_key", "private_key_passphrase")
        sets: list[tuple[str | None, dict[str, Any]]] = [(None, {"fields": builds})]
        if obj is None or obj.transport == TransportKind.SSH:
            of_now = (*_KEYS, "renew_key") if obj else ()
            without = "Empty: the key stays as it is." if obj else "Empty: the board makes a pair."
            sets.append(("Connection", {"fields": address}))
            sets.append(("Login key", {"fields": (*of_now, *key), "description": without}))
        sets.append(("There", {"fields": ("work_dir", "environment")}))
        sets.append(("Limits", {"fields": limits}))
        sets.append(("Draining", {"fields": ("draining", "draining_reason", "draining_until")}))
        if obj is not None:
            sets.append(("As it is now", {"fields": _SEEN}))
        return sets

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> type[Any]:
        """The form with the columns that people write; keys are fields of its own."""
        kwargs["fields"] = AdminServerForm.Meta.fields
        return super().get_form(request, obj, change=change, **kwargs)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Called by the admin site for adding and changing; what the state forbids is said, and nothing is saved."""
        try:
            return super().changeform_view(request, *args, **kwargs)
        except ServerError as refused:
            return self._refuse(request, refused)

    def save_model(self, request: HttpRequest, obj: BuildServer, form: Any, change: bool) -> None:
        """Write what was given, and nothing that a runner may be writing."""
        actor = principal_of(request).actor
        if change:
            change_server(obj, form.given(), actor=actor)
        else:
            obj.pk = add_server(form.given(), actor=actor).pk
        obj._state.adding = False
        obj.refresh_from_db()

    def response_add(
        self, request: HttpRequest, obj: BuildServer, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Called by the admin site after adding: the server's page shows the further steps."""
        return HttpResponseRedirect(reverse("jobs:server", args=[obj.pk]))

    # ---- deleting ---------------------------------------------------------------------------------------

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only while no build holds a slot of it."""
        return super().has_delete_permission(request, obj) and (obj is None or held_slots(obj) == 0)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Called by the admin site to delete one."""
        try:
            return super().delete_view(request, *args, **kwargs)
        except ServerError as refused:
            return self._refuse(request, refused)

    def delete_model(self, request: HttpRequest, obj: BuildServer) -> None:
        """Delete it, with an event."""
        delete_server(obj, actor=principal_of(request).actor)

    # ---- actions ----------------------------------------------------------------------------------------

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Without deleting many at once: each is looked at for running builds."""
        actions: dict[str, Any] = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    @admin.action(description="Probe now: test the connection, look at the tools", permissions=["change"])
    def probe_now(self, request: HttpRequest, queryset: QuerySet[BuildServer]) -> None:
        """A runner does it; the server's page shows each step."""
        actor = principal_of(request).actor
        for server in queryset:
            request_check(server, actor=actor)
        messages.success(request, f"{len(queryset)} are being probed; their pages show each step.")

    @admin.action(description="Compare and accept the host key (choose one)", permissions=["change"])
    def accept_host_key(self, request: HttpRequest, queryset: QuerySet[BuildServer]) -> HttpResponse | None:
        """Leads to the page that shows the key and how to compare it: none is accepted unseen."""
        waiting = list(queryset.exclude(seen_host_key="")[:2])
        if len(waiting) == 1:
            return HttpResponseRedirect(reverse("jobs:server-host-key", args=[waiting[0].pk]))
        words = (
            "None of these waits with a host key."
            if not waiting
            else "Compare one key at a time: choose one."
        )
        messages.error(request, words)
        return None

    @admin.action(description="Take out for maintenance", permissions=["change"])
    def start_maintenance(self, request: HttpRequest, queryset: QuerySet[BuildServer]) -> None:
        """No new builds; running ones go on."""
        self._set_out(request, queryset.exclude(status=ServerStatus.MAINTENANCE), enabled=True)

    @admin.action(description="End the maintenance", permissions=["change"])
    def end_maintenance(self, request: HttpRequest, queryset: QuerySet[BuildServer]) -> None:
        """Back in, once a probe has reached it."""
        self._set_out(request, queryset.filter(status=ServerStatus.MAINTENANCE), enabled=False)

    @admin.action(description="Drain", permissions=["change"])
    def drain(self, request: HttpRequest, queryset: QuerySet[BuildServer]) -> None:
        """No new builds; it is watched as ever."""
        self._set_out(request, queryset.filter(draining=False), enabled=True, change=set_draining)

    @admin.action(description="End draining", permissions=["change"])
    def end_drain(self, request: HttpRequest, queryset: QuerySet[BuildServer]) -> None:
        """It takes builds again."""
        wanted = queryset.filter(draining=True, removal_requested_at__isnull=True)
        self._set_out(request, wanted, enabled=False, change=set_draining)

    @admin.action(description="Put in quarantine", permissions=["change"])
    def start_quarantine(self, request: HttpRequest, queryset: QuerySet[BuildServer]) -> None:
        """No new builds until somebody ends it."""
        wanted = queryset.filter(quarantined_since__isnull=True)
        self._set_out(request, wanted, enabled=True, change=set_quarantine)

    @admin.action(description="End the quarantine", permissions=["change"])
    def end_quarantine(self, request: HttpRequest, queryset: QuerySet[BuildServer]) -> None:
        """It takes builds again; one whose host key changed needs that accepted."""
        wanted = queryset.filter(quarantined_since__isnull=False).exclude(
            quarantine_kind=QuarantineKind.HOST_KEY
        )
        self._set_out(request, wanted, enabled=False, change=set_quarantine)

    def _set_out(
        self,
        request: HttpRequest,
        queryset: QuerySet[BuildServer],
        *,
        enabled: bool,
        change: Callable[..., bool] = set_maintenance,
    ) -> None:
        actor = principal_of(request).actor
        ids = list(queryset.values_list("pk", flat=True))
        changed = sum(change(server_id, enabled=enabled, actor=actor) for server_id in ids)
        messages.success(request, f"{changed} changed.")

    def _refuse(self, request: HttpRequest, refused: ServerError) -> HttpResponse:
        messages.error(request, str(refused))
        return HttpResponseRedirect(request.get_full_path())
