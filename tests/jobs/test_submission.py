"""Reading and checking a submission as the form does it: plain data in, model fields or named errors out."""

from typing import Any

import pytest

from jobs.errors import FieldError, InvalidSubmission
from jobs.schemas import Submission
from jobs.submission import fields_of, find_server, read_submission
from jobs.validation import Invalid
from tests.api import submission
from tests.factories import make_server


def test_plain_data_becomes_a_submission() -> None:
    read = read_submission(submission(timeout_seconds=60))

    assert isinstance(read, Submission)
    assert (read.timeout_seconds, read.branch, read.retry_on) == (60, "main", ["system"])


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"branch": 1}, "branch"),
        ({"timeout_seconds": "60"}, "timeout_seconds"),
        ({"unknown": 1}, "unknown"),
        ({"build_config": {"unknown": 1}}, "build_config.unknown"),
        ({"labels": {"a": 1}}, "labels.a"),
        ({"artifact_paths": ["x", 1]}, "artifact_paths.1"),
    ],
)
def test_misfit_is_named_without_its_value(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidSubmission) as refused:
        read_submission(submission(**fields))

    assert [error.field for error in refused.value.errors] == [named]
    assert all(error.message.endswith(".") for error in refused.value.errors)


@pytest.mark.django_db
def test_fields_are_those_of_the_model() -> None:
    fields = fields_of(read_submission(submission(required_toolchain=None, group=None)))

    assert set(fields) == {
        *("source_repository", "branch", "commit_hash", "target_architecture", "required_toolchain"),
        *("required_labels", "group", "labels", "provider", "job_type", "max_attempts"),
        *("priority", "requested_server", "spec", "needs_key", "queue_timeout_seconds"),
    }
    assert (fields["required_toolchain"], fields["group"], fields["requested_server"]) == ("", "", None)
    assert "callback_url" not in fields["spec"]


@pytest.mark.django_db
def test_every_rule_that_is_not_met_is_reported_together() -> None:
    wrong = read_submission(submission(branch="-x", group="-x", build_config={"kernel_config": "-x"}))

    with pytest.raises(InvalidSubmission) as refused:
        fields_of(wrong)

    assert [error.field for error in refused.value.errors] == [
        "branch",
        "group",
        "build_config.kernel_config",
    ]
    assert refused.value.errors[0] == FieldError("branch", "A branch may not begin with a dash.")


@pytest.mark.django_db
def test_server_is_found_by_name_or_id() -> None:
    server = make_server("alpha")

    assert find_server("auto") is None
    assert find_server("alpha") == server
    assert find_server(str(server.pk)) == server
    assert find_server(server.pk.hex) == server
    for word in ("beta", "\0", "", "alpha\n"):
        with pytest.raises(Invalid):
            find_server(word)
