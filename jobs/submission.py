"""From what a client or a form gives to the fields of a job: every rule applied, every error named at once.

The form and the API both go through here, then call `lifecycle.submit_job`. It writes nothing.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from uuid import UUID

from django.conf import settings
from pydantic import ValidationError

from jobs import validation
from jobs.errors import FieldError, InvalidSubmission
from jobs.models import SUBMITTED_COLUMNS, BuildJob, Secret
from jobs.needs import key_of, needs_of
from jobs.repositories import check_repository
from jobs.schemas import Submission
from jobs.validation import Invalid
from servers.models import BuildServer
from servers.validation import check_group, check_labels

AUTO = "auto"
_LATER_PROVIDERS = ("orchestrator", "buildbot", "jenkins", "buildkite")

T = TypeVar("T")


def read_submission(data: Mapping[str, Any]) -> Submission:
    """Plain data as a submission. Raises InvalidSubmission for types, bounds and unknown fields."""
    try:
        return Submission.model_validate(dict(data))
    except ValidationError as error:
        details: Any = error.errors(include_url=False, include_input=False, include_context=False)
        raise InvalidSubmission(validation.field_errors(details)) from error


def fields_of(submission: Submission) -> dict[str, Any]:
    """The model fields of the job that a submission asks for, for `lifecycle.submit_job`.

    `spec` holds the whole submission, each value as it was checked. At most three queries. Raises
    InvalidSubmission with every field that does not fit.
    """
    checked = _Checker()
    spec = submission.model_dump(exclude={"callback_url", "callback_secret"})
    for name, rule in _RULES.items():
        spec[name] = checked(name, rule, spec[name])
    if spec["build_config"] is not None:
        for name, rule in _CONFIG_RULES.items():
            spec["build_config"][name] = checked(f"build_config.{name}", rule, spec["build_config"][name])
    checked("secrets", _refuse_names_twice, submission)
    for name in ("callback_url", "callback_secret"):
        checked(name, _refuse_notices, getattr(submission, name))
    server = checked("server_id", find_server, submission.server_id)
    checked.finish()
    fields = {
        **{name: spec[name] for name in SUBMITTED_COLUMNS},
        "priority": validation.priority_number(submission.priority),
        "requested_server": server,
        "spec": spec,
    }
    return {**fields, "needs_key": key_of(needs_of(BuildJob(**fields)))}


def find_server(word: str) -> BuildServer | None:
    """The server of an id or a name; None for `auto`. Raises Invalid when there is none such."""
    if word == AUTO:
        return None
    server = None
    if "\0" not in word:
        server = BuildServer.objects.filter(name=word).first()
    if server is None and (server_id := _uuid(word)):
        server = BuildServer.objects.filter(pk=server_id).first()
    if server is None:
        raise Invalid("There is no build server with this id or name; write auto to take any.")
    return server


class _Checker:
    """Runs rules, keeps their errors, and raises them all together."""

    def __init__(self) -> None:
        self.errors: list[FieldError] = []

    def __call__(self, field: str, rule: Callable[[Any], T], value: Any) -> T | None:
        try:
            return rule(value)
        except Invalid as error:
            self.errors.append(FieldError(field, str(error)))
            return None

    def finish(self) -> None:
        """Raises InvalidSubmission when a rule was not met."""
        if self.errors:
            raise InvalidSubmission(self.errors)


def _repository(value: str) -> str:
    return check_repository(value, local_roots=settings.LOCAL_REPOSITORIES)


def _known_secrets(given: list[str]) -> list[str]:
    names = [validation.check_secret_name(name) for name in dict.fromkeys(given)]
    known = set(Secret.objects.filter(name__in=names).values_list("name", flat=True)) if names else set()
    missing = [name for name in names if name not in known]
    if missing:
        raise Invalid(f"No secret is stored under {', '.join(missing)}; an operator stores secrets.")
    return names


def _refuse_names_twice(submission: Submission) -> None:
    config = submission.build_config
    taken = {*submission.environment, *(config.custom_env if config else ())}
    if any(name in taken for name in submission.secrets):
        raise Invalid("A name is given as a secret and as a variable; keep one of the two.")


def _refuse_notices(value: str | None) -> None:
    if value is not None:
        raise Invalid("Notifications come with a later release; leave it out and follow the job's status.")


def _provider(name: str) -> str:
    if name in _LATER_PROVIDERS:
        raise Invalid(f"The provider {name} comes with a later release; leave it out to use the fleet.")
    if name != "fleet":
        raise Invalid("There is no such provider; leave it out to use the fleet.")
    return name


def _job_type(name: str) -> str:
    if name != "build":
        raise Invalid("Job types other than build come with a later release; leave it out.")
    return name


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


_RULES: dict[str, Callable[[Any], Any]] = {
    "source_repository": _repository,
    "target_architecture": validation.check_architecture,
    "branch": validation.check_branch,
    "commit_hash": validation.check_commit,
    "build_command": validation.check_command,
    "required_toolchain": lambda value: validation.check_toolchain(value or ""),
    "required_labels": check_labels,
    "group": lambda value: check_group(value or ""),
    "artifact_paths": validation.check_artifact_paths,
    "retry_on": validation.check_retry_on,
    "environment": validation.check_environment,
    "secrets": _known_secrets,
    "labels": check_labels,
    "provider": _provider,
    "job_type": _job_type,
}
_CONFIG_RULES: dict[str, Callable[[Any], Any]] = {
    "kernel_config": validation.check_kernel_config,
    "extra_make_args": validation.check_make_arguments,
    "custom_env": validation.check_environment,
}
