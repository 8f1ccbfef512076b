"""People, tokens and history in Django's admin site, for admins. Rights are decided by people.RoleBackend."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django import forms
from django.apps import apps
from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm
from django.contrib.auth.models import Group
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from buildboard.core.audit import record_event
from buildboard.core.auth import principal_of, revoke_token
from buildboard.core.models import ApiToken, Event, Heartbeat, User
from buildboard.core.people import LastAdmin, is_last_admin
from buildboard.core.permissions import Right, Role
from buildboard.core.unseen import write_out

if TYPE_CHECKING:  # Django's own classes take no type at run time
    BaseAdmin = admin.ModelAdmin[Any]
    BaseUserAdmin = DjangoUserAdmin[User]
    UserModelForm = forms.ModelForm[User]
    BaseNewUserForm = AdminUserCreationForm[User]
else:
    BaseAdmin = admin.ModelAdmin
    BaseUserAdmin = DjangoUserAdmin
    UserModelForm = forms.ModelForm
    BaseNewUserForm = AdminUserCreationForm

admin.site.site_header = admin.site.site_title = "Buildboard"
admin.site.index_title = "Administration"
# The role alone decides: no groups. django-q2's tables name functions to be run; nobody edits those by hand.
_UNUSED: list[type[Model]] = [Group, *apps.get_app_config("django_q").get_models()]
for _model in _UNUSED:
    if admin.site.is_registered(_model):
        admin.site.unregister(_model)


def written_out(name: str) -> Any:  # Django's types let fields be names alone
    """A column, or a field that is only shown, of text from outside: controls in it can be seen and do nothing."""

    @admin.display(description=name.replace("_", " "), ordering=name, empty_value="")
    def column(row: Model) -> str:
        return write_out(str(getattr(row, name)))

    column.__name__ = name
    return column


class NamedValues(admin.AllValuesFieldListFilter):
    """A filter by the values that there are, where the empty one has a word too: a link needs one."""

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """The links of the filter."""
        for choice in super().choices(changelist):
            yield {**choice, "display": choice["display"] or "none"}


class Steady(BaseAdmin):
    """A list that no address can break: Django catches only some of the values that no column compares with."""

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Called by the admin site for a list; what it raises here leads back to the list without filters."""
        try:
            return super().get_changelist_instance(request)
        except (ValueError, OverflowError) as error:
            raise IncorrectLookupParameters(error) from error


class Audited(Steady):
    """Writes an event beside each of the admin site's own log entries."""

    subject_type = ""

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        """Called by the admin site after it added a row."""
        self._record(request, obj, "added", message)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        """Called by the admin site after it changed a row; the message names fields, never values."""
        self._record(request, obj, "changed", message)
        return super().log_change(request, obj, message)

    def _record(self, request: HttpRequest, obj: Model, verb: str, message: Any) -> None:
        record_event(
            self.subject_type,
            subject_id=obj.pk,
            kind=f"{self.subject_type}_{verb}",
            actor=principal_of(request).actor,
            data={"name": str(obj), "what": message},
        )


class LookOnly(Steady):
    """A table that is shown and never changed here: the module that owns it writes it."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        """Nobody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody."""
        return False

    def has_administer_permission(self, request: HttpRequest) -> bool:
        """For actions that only admins are offered."""
        return principal_of(request).may(Right.ADMINISTER)

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """For actions that operators are offered, too."""
        return principal_of(request).may(Right.OPERATE)


class UserForm(UserModelForm):
    """A person's name, role and whether they may come in at all."""

    class Meta:
        model = User
        fields = ("username", "role", "is_active", "share_weight")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.is_bound and "share_weight" not in self.data:  # from elsewhere than the page: it stays
            self.data = {name: self.data[name] for name in self.data} | {
                "share_weight": self.instance.share_weight
            }

    def clean(self) -> dict[str, Any]:
        """Keeps one admin who can come in."""
        values = super().clean() or self.cleaned_data
        stays = values.get("is_active") and values.get("role") == Role.ADMIN
        if not stays and is_last_admin(self.instance):
            raise forms.ValidationError(str(LastAdmin(self.instance)))
        return values


class NewUserForm(BaseNewUserForm):
    """A new person; without a password they can use API tokens only."""

    class Meta(AdminUserCreationForm.Meta):
        model = User
        fields = ("username", "role")


@admin.register(User)
class UserAdmin(Audited, BaseUserAdmin):
    """People: add, rename, change the role, disable, set a new password."""

    subject_type = "user"
    form = UserForm
    add_form = NewUserForm
    list_display = ("username", "role", "is_active", "created_at")
    list_filter = ("role", "is_active")
    search_fields = ("username",)
    search_help_text = "A part of a name."
    ordering = ("username",)
    filter_horizontal = ()
    readonly_fields = ("password_link", "last_login", "created_at")
    fieldsets = (
        (None, {"fields": ("username", "password_link")}),
        ("Rights", {"fields": ("role", "is_active")}),
        ("Queue", {"fields": ("share_weight",)}),
        ("Times", {"fields": ("last_login", "created_at")}),
    )
    add_fieldsets = ((None, {"fields": ("username", "role", "usable_password", "password1", "password2")}),)

    @admin.display(description="password")
    def password_link(self, user: User) -> str:
        """Where to set a new one; the hash is nobody's business."""
        return format_html(
            '<a href="{}">Set a new password</a>', reverse("admin:auth_user_password_change", args=[user.pk])
        )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody: disable people instead, so that the history keeps its names."""
        return False


@admin.register(ApiToken)
class ApiTokenAdmin(LookOnly):
    """Everybody's API tokens: who has which, and ending them."""

    list_display = ("name", "user", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at")
    list_filter = ("user__role", "revoked_at")
    list_select_related = ("user",)
    search_fields = ("name", "user__username")
    search_help_text = "A part of a token's or a person's name."
    fields = ("id", "name", "user", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at")
    actions = ("revoke",)

    @admin.action(description="Revoke the selected tokens", permissions=["administer"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        """End them for good."""
        actor = principal_of(request).actor
        ended = sum(revoke_token(token, actor=actor) for token in queryset.select_related("user"))
        messages.success(request, f"{ended} revoked.")


@admin.register(Event)
class EventAdmin(LookOnly):
    """The audit log: what happened, who did it, through which door."""

    list_display = (
        "at",
        "subject_type",
        "subject_id",
        "kind",
        "from_state",
        "to_state",
        "actor",
        "door",
        written_out("reason"),
    )
    list_filter = ("subject_type", "kind", "door")
    search_fields = ("subject_id", "actor")
    search_help_text = "A part of a subject's id or of who did it."
    ordering = ("-sequence",)
    fields = (
        *("sequence", "id", "at", "subject_type", "subject_id", "kind", "from_state", "to_state"),
        *("actor", "door", written_out("reason"), "data"),
    )


@admin.register(Heartbeat)
class HeartbeatAdmin(LookOnly):
    """The last signs of life of the board's processes."""

    list_display = fields = ("name", "machine", "pid", "beat_at")
