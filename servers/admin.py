"""Build servers in Django's admin site, for operators. Status is health.py's, slots are slots.py's."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest

from buildboard.core.admin import Audited
from buildboard.core.audit import record_event
from buildboard.core.auth import principal_of
from servers.architectures import canonical_architecture
from servers.health import set_maintenance
from servers.models import BuildServer, Toolchain
from servers.slots import fit_slots, held_slots
from servers.states import TransportKind

if TYPE_CHECKING:  # Django's own classes take no type at run time
    ServerModelForm = forms.ModelForm[BuildServer]
    ToolchainTable = admin.TabularInline[Toolchain, BuildServer]
else:
    ServerModelForm = forms.ModelForm
    ToolchainTable = admin.TabularInline

# Whoever changes where the board connects to must not inherit trust that was given to another machine.
_ADDRESS = ("hostname", "ssh_port", "ssh_username", "jump_host")
_TRUST = ("host_key", "seen_host_key", "private_key", "public_key")


class ServerForm(ServerModelForm):
    """A server as people write it: architectures with commas, labels a line each."""

    architectures = forms.CharField(help_text="With commas between, such as <code>x86_64, i686</code>.")
    labels = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="One <code>key=value</code> a line. A job can ask for them with required_labels.",
    )

    class Meta:
        model = BuildServer
        exclude = ("transport",)  # the admin's fieldsets name every field that is shown
        help_texts = {
            "name": "What people and jobs call it. Letters, digits, dots and dashes are best.",
            "hostname": "Name or address to connect to; not needed for the machine that the board runs on.",
            "ssh_username": "Builds run with this account's rights; nothing is sandboxed.",
            "host_key": "The line that <code>ssh-keyscan -t ed25519 HOST</code> prints, without the name.",
            "jump_host": "Another build server through which this one is reached.",
            "max_concurrent_builds": "Slots: how many builds run at once.",
            "group": "A job can ask for a group.",
            "draining": "Takes no new builds; running ones go on.",
            "enabled": "Untick to take it out for good.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["architectures"] = ", ".join(self.instance.architectures)
        self.initial["labels"] = "\n".join(f"{key}={value}" for key, value in self.instance.labels.items())

    def clean_architectures(self) -> list[str]:
        """Each in its one spelling."""
        names = [part for part in self.cleaned_data["architectures"].split(",") if part.strip()]
        try:
            return list(dict.fromkeys(canonical_architecture(name) for name in names))
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error

    def clean_labels(self) -> dict[str, str]:
        """Keys with their values."""
        labels: dict[str, str] = {}
        for line in filter(str.strip, self.cleaned_data["labels"].splitlines()):
            key, found, value = (part.strip() for part in line.partition("="))
            if not found or not key or key in labels:
                raise forms.ValidationError(f"“{line.strip()}” is not one key=value, or its key comes twice.")
            labels[key] = value
        return labels

    def clean(self) -> dict[str, Any]:
        """Over SSH there must be somewhere and somebody to connect to."""
        values = super().clean() or self.cleaned_data
        if self.instance.transport == TransportKind.SSH:
            for name in ("hostname", "ssh_username"):
                if not values.get(name):
                    self.add_error(name, "A server that is reached over SSH needs this.")
        return values


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
class BuildServerAdmin(Audited):
    """Servers: add, change, take out. A new one is reached over SSH; `up` adds this machine by itself."""

    subject_type = "server"
    form = ServerForm
    inlines = (ToolchainInline,)
    actions = ("start_maintenance", "end_maintenance")
    list_display = ("name", "status", "enabled", "transport", "hostname", "slots", "last_health_check")
    list_filter = ("status", "enabled", "transport", "group")
    search_fields = ("name", "hostname")
    readonly_fields = (
        *("transport", "status", "status_reason", "unreachable_since", "last_health_check", "slots"),
        *("total_cpu_cores", "total_memory_mb", "total_storage_gb"),
        *("cpu_percent", "memory_percent", "storage_percent"),
    )
    fieldsets = (
        (None, {"fields": ("name", "architectures", "max_concurrent_builds", "labels", "group", "enabled")}),
        (
            "Connection",
            {
                "fields": (
                    "transport",
                    "hostname",
                    "ssh_port",
                    "ssh_username",
                    "host_key",
                    "jump_host",
                    "work_dir",
                )
            },
        ),
        ("Limits", {"fields": ("cpu_limit_percent", "memory_limit_percent", "storage_limit_percent")}),
        ("Draining", {"fields": ("draining", "draining_reason")}),
        ("As it is now", {"fields": readonly_fields[1:]}),
    )

    @admin.display(description="builds / slots")
    def slots(self, server: BuildServer) -> str:
        """How many builds it runs, of how many."""
        return f"{held_slots(server) if server.pk else 0} / {server.max_concurrent_builds}"

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Without deleting many at once: each is looked at for running builds."""
        actions: dict[str, Any] = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only while no build holds a slot of it."""
        return super().has_delete_permission(request, obj) and (obj is None or held_slots(obj) == 0)

    def save_model(self, request: HttpRequest, obj: BuildServer, form: Any, change: bool) -> None:
        """Write what was changed and nothing that a runner may be writing; then fit the slots."""
        with transaction.atomic():
            if change:
                obj.save(
                    update_fields=[*form.changed_data, *self._drop_trust(request, obj, form), "updated_at"]
                )
            else:
                obj.save()
            fit_slots(obj)

    def _drop_trust(self, request: HttpRequest, obj: BuildServer, form: Any) -> list[str]:
        if not set(_ADDRESS) & set(form.changed_data):
            return []
        dropped = [name for name in _TRUST if name not in form.changed_data]
        for name in dropped:
            setattr(obj, name, "")
        messages.warning(request, "The address changed: its host key and login key were dropped.")
        return dropped

    def delete_model(self, request: HttpRequest, obj: BuildServer) -> None:
        """Delete it, with an event."""
        with transaction.atomic():
            record_event(
                "server",
                subject_id=obj.pk,
                kind="server_deleted",
                actor=principal_of(request).actor,
                data={"name": obj.name},
            )
            obj.delete()

    @admin.action(description="Take out for maintenance", permissions=["change"])
    def start_maintenance(self, request: HttpRequest, queryset: QuerySet[BuildServer]) -> None:
        """No new builds; running ones go on."""
        self._set_maintenance(request, queryset, enabled=True)

    @admin.action(description="End the maintenance", permissions=["change"])
    def end_maintenance(self, request: HttpRequest, queryset: QuerySet[BuildServer]) -> None:
        """Back in, once a probe has reached it."""
        in_maintenance = queryset.filter(status="maintenance")
        self._set_maintenance(request, in_maintenance, enabled=False)

    def _set_maintenance(
        self, request: HttpRequest, queryset: QuerySet[BuildServer], *, enabled: bool
    ) -> None:
        actor = principal_of(request).actor
        ids = list(queryset.values_list("pk", flat=True))
        changed = sum(set_maintenance(server_id, enabled=enabled, actor=actor) for server_id in ids)
        messages.success(request, f"{changed} changed.")
