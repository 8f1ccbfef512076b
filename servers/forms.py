"""The form of a build server, for its page and for the admin site: text into the fields that registry.py takes.

It has no rules of its own: they are in `validation.py` and `fields.py`, which the API goes through, too. A private
key that was typed is never shown again.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django import forms

from buildboard.core.errors import FieldProblem
from buildboard.core.form_fields import Pairs, Text
from buildboard.core.opened_forms import OpenedForm
from servers.errors import InvalidServer
from servers.fields import check_fields
from servers.models import BuildServer
from servers.states import TransportKind
from servers.validation import Invalid, read_until

if TYPE_CHECKING:  # Django's own class takes no type at run time
    ServerModelForm = forms.ModelForm[BuildServer]
else:
    ServerModelForm = forms.ModelForm

_ADDRESS = ("hostname", "ssh_port", "ssh_username")
_KEY = ("private_key", "private_key_passphrase", "renew_key")
_OF_SSH = (*_ADDRESS, *_KEY, "host_key", "jump_host")
_LIMITS = {f"{name}_limit_percent": f"{name}_percent" for name in ("cpu", "memory", "storage")}
_USUAL_LIMIT = BuildServer().cpu_limit_percent
_PLAIN = {"autocomplete": "off", "spellcheck": "false"}
_MONO = {**_PLAIN, "class": "mono"}


class _SecretText(forms.Textarea):
    """What was typed is never written into a page again."""

    def format_value(self, value: Any) -> str:
        return ""


class UntilField(forms.CharField):
    """A time to come in UTC, to the minute; empty: none."""

    def prepare_value(self, value: Any) -> Any:
        # In the form in which it is read again; Django's own would have seconds.
        return f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else value

    def has_changed(self, initial: Any, data: Any) -> bool:
        # As it was shown: the seconds that this leaves out are no change.
        return super().has_changed(self.prepare_value(initial), data)

    def clean(self, value: Any) -> datetime | None:
        """Raises ValidationError with an example."""
        try:
            return read_until(super().clean(value))
        except Invalid as refused:
            raise forms.ValidationError(str(refused)) from refused


class ServerForm(OpenedForm, ServerModelForm):
    """A new server, or `instance` as it is to be. Names of fields are the API's but for limits and `renew_key`."""

    never_shown = frozenset(_KEY)

    architectures = forms.CharField(
        required=False,
        widget=forms.TextInput(_MONO),
        help_text="With commas between, such as x86_64, i686. Empty: the first probe says which.",
    )
    labels = Pairs("Labels", "key=value, one a line. A job can ask for them.")
    environment = Pairs(
        "Environment",
        "NAME=value, one a line, such as PATH, for every probe and build there. Readers see it.",
    )
    host_key = forms.CharField(
        required=False,
        widget=forms.TextInput(_MONO),
        help_text="If you know it: the line of /etc/ssh/ssh_host_ed25519_key.pub on the server. "
        "Empty: the board reads it, and you compare and accept it.",
    )
    private_key = Text(
        "Private key",
        "OpenSSH or PEM. It is kept encrypted and never shown again.",
        rows=4,
        autocomplete="off",
    )
    private_key_passphrase = forms.CharField(
        required=False,
        strip=False,
        label="Passphrase of the private key",
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
        help_text="If it has one. It is used once and not kept.",
    )
    renew_key = forms.BooleanField(
        required=False,
        label="Let the board make a new key pair",
        help_text="The old key is of no use then; the new public key must be installed on the server.",
    )

    class Meta:
        model = BuildServer
        fields = (
            *("name", "hostname", "ssh_port", "ssh_username", "jump_host", "group", "work_dir"),
            *("max_concurrent_builds", "enabled"),
            *_LIMITS,
        )
        labels = {
            "hostname": "Host",
            "ssh_port": "Port",
            "ssh_username": "Account",
            "max_concurrent_builds": "Builds at once",
            "work_dir": "Work folder",
            "enabled": "Takes builds",
            "cpu_limit_percent": "CPU limit, percent",
            "memory_limit_percent": "Memory limit, percent",
            "storage_limit_percent": "Disk limit, percent",
        }
        help_texts = {
            "name": "What people and jobs call it.",
            "hostname": "Name or address, as the board's machine reaches it.",
            "ssh_username": "Builds run with its rights; nothing is sandboxed. Take one made for builds.",
            "jump_host": "Another build server through which this one is reached.",
            "max_concurrent_builds": "Slots: how many builds run there at the same time.",
            "group": "A job can ask for a group.",
            "work_dir": "An absolute path with room for checkouts. Empty: .buildboard in the account's home.",
            "enabled": "Untick to send it nothing new; running builds go on.",
            "memory_limit_percent": "Over it the server gets no new builds.",
            "storage_limit_percent": "Over it the server gets no new builds.",
            "cpu_limit_percent": "Over it a job prefers other servers for a minute.",
        }
        widgets = {
            **{name: forms.TextInput(_PLAIN) for name in ("name", "hostname", "ssh_username", "group")},
            "work_dir": forms.TextInput(_MONO),
        }
        error_messages = {"name": {"unique": "Another server has this name; choose one that is free."}}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        server = self.instance
        self.is_new = server._state.adding
        self.is_local = server.transport == TransportKind.LOCAL
        self.fields["private_key"].widget = _SecretText(self.fields["private_key"].widget.attrs)
        self.initial.update(
            {
                "architectures": ", ".join(server.architectures),
                "labels": _as_lines(server.labels),
                "environment": _as_lines(server.environment),
                "host_key": server.host_key,
            }
        )
        gone = _OF_SSH if self.is_local else ("renew_key",) if self.is_new else ()
        for name in gone:
            self.fields.pop(name, None)
        jump_host = self.fields.get("jump_host")
        if isinstance(jump_host, forms.ModelChoiceField):
            others = BuildServer.objects.filter(transport=TransportKind.SSH).exclude(pk=server.pk)
            jump_host.queryset, jump_host.empty_label = others, "none: straight from the board"
        if not self.is_new:
            self.remember_opening()

    def clean_architectures(self) -> list[str]:
        """The names between the commas."""
        return [part.strip() for part in self.cleaned_data["architectures"].split(",") if part.strip()]

    def clean_labels(self) -> dict[str, str]:
        """Without the blanks around `=`, which belong to no label."""
        return {key: value.strip() for key, value in self.cleaned_data["labels"].items()}

    def clean(self) -> dict[str, Any]:
        """Run the API's rules."""
        values = super().clean() or self.cleaned_data
        if values.get("renew_key") and values.get("private_key"):
            self.add_error("renew_key", "Give a private key, or let the board make a pair; not both.")
        elif self._would_send_key_elsewhere(values):
            message = (
                "The address changes, and a key is not sent to another machine unasked: paste the private key "
                "again, or let the board make a new pair."
            )
            self.add_error("private_key", message)
        self.refuse_overtaken()
        try:
            check_fields(self.given(), server=None if self.is_new else self.instance)
        except InvalidServer as refused:
            self.add_problems(refused.problems)
        return values

    def given(self) -> dict[str, Any]:
        """The contract's fields, for registry.py: all of a new server, else what was changed."""
        named = self.cleaned_data.keys() if self.is_new else set(self.changed_data) & self.cleaned_data.keys()
        values = {name: self.cleaned_data[name] for name in named if name not in {*_KEY, *_LIMITS, "shown"}}
        if "jump_host" in values:
            values["jump_host"] = str(values["jump_host"].pk) if values["jump_host"] else None
        limits = {_LIMITS[name]: self.cleaned_data[name] for name in named if name in _LIMITS}
        if limits:
            values["utilization_limits"] = limits
        if self.cleaned_data.get("renew_key"):
            values["private_key"] = None
        for name in _KEY[:2]:
            if self.cleaned_data.get(name):
                values[name] = self.cleaned_data[name]
        return values

    def add_problems(self, problems: list[FieldProblem]) -> None:
        """What the rules refused, at its fields."""
        of_limits = {f"utilization_limits.{name}": column for column, name in _LIMITS.items()}
        for problem in problems:
            name = of_limits.get(problem["field"], problem["field"].partition(".")[0])
            if name in self.errors:
                continue
            self.add_error(name if name in self.fields else None, problem["message"])

    @property
    def key_open(self) -> bool:
        """Whether the part on an own key shows something."""
        return self._is_used(_KEY)

    @property
    def more_open(self) -> bool:
        """Whether the part on the way there, the environment and limits shows something."""
        return self._is_used(("host_key", "jump_host", "work_dir", "environment", *_LIMITS))

    def _is_used(self, names: tuple[str, ...]) -> bool:
        fields = [self[name] for name in names if name in self.fields]
        return any(one.errors or (one.value() or "") not in ("", _USUAL_LIMIT) for one in fields)

    def _would_send_key_elsewhere(self, values: dict[str, Any]) -> bool:
        moved = not self.is_new and any(name in self.changed_data for name in _ADDRESS)
        is_own = not self.instance.key_generated
        return moved and is_own and not (values.get("private_key") or values.get("renew_key"))


def _as_lines(pairs: dict[str, str]) -> str:
    return "\n".join(f"{key}={value}" for key, value in pairs.items())
