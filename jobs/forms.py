"""The submit form: text fields into the very body that the API takes, then the API's own rules.

It has no rules of its own: types and bounds are in `schemas/`, rules on values in `validation.py`, and
`submission.py` puts them together for both doors.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from buildboard.core.form_fields import Lines, Pairs, Text
from jobs.errors import InvalidSubmission
from jobs.models import Secret
from jobs.schemas import BuildConfig, Submission
from jobs.states import ErrorCategory, Priority
from jobs.submission import AUTO, fields_of, read_submission
from servers.models import BuildServer

_CONFIG = "build_config_"
_CHOSEN = ("retry_on", "secrets")
_INPUT = {"autocomplete": "off", "spellcheck": "false"}
_MONO = {**_INPUT, "class": "mono"}
_NUMBER = {**_INPUT, "inputmode": "numeric"}


def _text(label: str, help_text: str = "", **options: Any) -> forms.CharField:
    attributes = {**(_MONO if options.pop("mono", False) else _INPUT), **options.pop("attributes", {})}
    return forms.CharField(
        label=label, help_text=help_text, required=False, widget=forms.TextInput(attributes), **options
    )


def _number(label: str, help_text: str = "", **options: Any) -> forms.IntegerField:
    return forms.IntegerField(
        label=label, help_text=help_text, required=False, widget=forms.NumberInput(_NUMBER), **options
    )


class _Unless(forms.BooleanField):
    """A box that forbids when it is empty; ticked it leaves the choice to what is built: None."""

    def clean(self, value: Any) -> bool | None:
        return None if super().clean(value) else False


class SubmitForm(forms.Form):
    """A build job, in the order in which people think of it. Field names are the API's."""

    source_repository = _text(
        "Repository",
        "https, ssh or git URL, or an allowed path on the build server",
        attributes={"required": True, "list": "repositories"},
    )
    branch = _text("Branch or tag", initial="main", attributes={"list": "branches"})
    commit_hash = _text("Commit", "HEAD, or at least 7 hexadecimal digits", initial="HEAD", mono=True)
    target_architecture = _text("Architecture", attributes={"required": True, "list": "architectures"})
    server_id = forms.CharField(label="Server", required=False, initial=AUTO, widget=forms.Select)
    server_fallback = forms.BooleanField(
        label="Or any other",
        help_text="instead of waiting for a named server that is full or away",
        required=False,
    )
    required_toolchain = _text(
        "Toolchain", "such as gcc, gcc-14 or gcc>=12; empty: any", attributes={"list": "toolchains"}
    )
    group = _text("Server group")
    min_cpu_cores = _number("CPU cores, at least")
    min_memory_mb = _number("Memory in MB, at least")
    min_storage_gb = _number("Free disk in GB, at least")
    required_labels = Pairs("Labels a server must have", "key=value, one a line")
    build_command = Text("Command", "runs with sh -e in the checkout; empty: the build is found", rows=3)
    priority = forms.ChoiceField(
        choices=[(one.label, one.label) for one in reversed(Priority)],
        initial="normal",
        widget=forms.Select,
    )
    timeout_seconds = _number("Time limit in seconds", initial=3600)
    idle_timeout_seconds = _number("Without output, seconds", "empty: no such limit")
    queue_timeout_seconds = _number("In the queue, seconds", "empty: it waits as long as it takes")
    max_attempts = _number("Attempts, at most", initial=2)
    retry_on = forms.MultipleChoiceField(
        label="Try again after",
        help_text="system: what failed before the build's own command began, such as a network that was away",
        required=False,
        initial=["system"],
        choices=[(one.value, one.label) for one in ErrorCategory if one != ErrorCategory.CANCELLED],
        widget=forms.CheckboxSelectMultiple,
    )
    environment = Pairs("Environment", "NAME=value, one a line; shown to whoever may read the job")
    secrets = forms.MultipleChoiceField(
        label="Secrets",
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    artifact_paths = Lines("Artifacts to keep", "globs under the work tree, one a line")
    labels = Pairs("Labels of the job", "key=value, one a line, for finding it again")
    build_config_kernel_config = _text("Configuration", "such as defconfig")
    build_config_extra_make_args = Lines("Arguments for make", "one a line")
    build_config_enable_modules = _Unless(label="Build modules", required=False, initial=True)
    build_config_build_dtbs = forms.BooleanField(label="Build device trees", required=False)
    build_config_custom_env = Pairs("Environment of make", "NAME=value, one a line")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        servers = list(BuildServer.objects.filter(enabled=True).order_by("name"))
        self.architectures = sorted({name for server in servers for name in server.architectures})
        names = [(server.name, server.name) for server in servers]
        if len(self.architectures) == 1:
            self.fields["target_architecture"].initial = self.architectures[0]
        _widget(self, "server_id").choices = [(AUTO, "auto (best free)"), *names]
        secrets = [(name, name) for name in Secret.objects.order_by("name").values_list("name", flat=True)]
        _field(self, "secrets").choices = secrets
        if not secrets:
            del self.fields["secrets"]

    def clean(self) -> dict[str, Any]:
        """Run the API's rules; the job's fields are then in `job_fields`."""
        cleaned = super().clean() or {}
        self.given = dict(cleaned)
        if self.errors:
            return cleaned
        try:
            self.job_fields = fields_of(read_submission(self.api_body()))
        except InvalidSubmission as refused:
            for error in refused.errors:
                self.add_error(self._name_of(error.field), error.message)
        return cleaned

    def api_body(self) -> dict[str, Any]:
        """What a POST of the same job says: the required fields and each value that is not the default.

        Of an invalid form it has what could be read, also where a rule refuses it.
        """
        values = self.given if self.is_bound else self._initial_values()
        config = _changed(
            BuildConfig, {key.removeprefix(_CONFIG): values[key] for key in values if _is_config(key)}
        )
        body = _changed(Submission, {key: values[key] for key in values if not _is_config(key)})
        return {**body, "build_config": config} if config else body

    def _initial_values(self) -> dict[str, Any]:
        """What the form would give if it were sent as it is first shown."""
        values = {}
        for name, field in self.fields.items():
            with suppress(ValidationError):
                values[name] = field.clean(self.get_initial_for_field(field, name))
        return values

    @property
    def needs_open(self) -> bool:
        """Whether the part on what the server must have shows something."""
        return self._is_used(["min_cpu_cores", "min_memory_mb", "min_storage_gb", "group", "required_labels"])

    @property
    def environment_open(self) -> bool:
        """Whether the part on environment, secrets, artifacts and labels shows something."""
        return self._is_used(["environment", "secrets", "artifact_paths", "labels"])

    @property
    def kernel_open(self) -> bool:
        """Whether the part on the Linux kernel shows something."""
        return self._is_used([name for name in self.fields if _is_config(name)])

    def _is_used(self, names: Iterable[str]) -> bool:
        fields = [self[name] for name in names if name in self.fields]
        return any(one.errors or (one.value() or "") != (one.field.initial or "") for one in fields)

    def _name_of(self, field: str) -> str | None:
        """The form's field for the API's `build_config.kernel_config` or `labels.x`; None: the whole form."""
        first, _, rest = field.partition(".")
        name = _CONFIG + rest.partition(".")[0] if first == "build_config" else first
        return name if name in self.fields else None


def initial_of(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The form's values for a submission that was made before."""
    config = spec.get("build_config") or {}
    values = {**spec, **{_CONFIG + name: value for name, value in config.items() if value is not None}}
    return {name: value if name in _CHOSEN else _as_text(value) for name, value in values.items()}


def _as_text(value: Any) -> Any:
    if isinstance(value, dict):
        return "\n".join(f"{name}={text}" for name, text in value.items())
    return "\n".join(map(str, value)) if isinstance(value, list) else value


def _is_config(name: str) -> bool:
    return name.startswith(_CONFIG)


def _changed(schema: type[Submission] | type[BuildConfig], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a client must send: required ones, and those unlike the schema's default."""
    kept = {}
    for name, field in schema.model_fields.items():
        value = values.get(name)
        if field.is_required():
            kept[name] = value or ""
        elif name in values and value not in (None, "") and value != field.default:
            kept[name] = value
    return kept


def _widget(form: forms.Form, name: str) -> Any:
    return form.fields[name].widget


def _field(form: forms.Form, name: str) -> Any:
    return form.fields[name]
