"""What every door says of a log whose bytes are gone: a sentence, never a failure of the board."""

import pytest
from django.urls import reverse

from jobs.logs.seal import seal_log
from jobs.models import Attempt, SealedLog
from tests.jobs.log_forms import ended_with, remove_objects
from tests.jobs.pages import client_of

pytestmark = pytest.mark.django_db
SENTENCE = "The log of attempt {} has no {} any more. {}"
ADVICE = "The board's storage may be damaged: ask an operator to restore it."


@pytest.fixture
def attempt() -> Attempt:
    attempt = ended_with([b"one\n" * 200_000])
    assert seal_log(attempt.pk)
    remove_objects()
    assert SealedLog.objects.count() == 1
    return attempt


@pytest.mark.parametrize(
    ("address", "missing"),
    [
        ("/api/v1/infrastructure/build-jobs/{}/logs", "byte 786432"),
        ("/api/v1/infrastructure/build-jobs/{}/logs/raw", "byte 0"),
        ("/jobs/{}/log/lines", "byte 0"),
        ("/jobs/{}/log/search?q=one", "byte 0"),
    ],
)
def test_programs_get_a_sentence(attempt: Attempt, address: str, missing: str) -> None:
    response = client_of().get(address.format(attempt.job_id))

    assert response.status_code == 410
    assert response.json() == {"detail": SENTENCE.format(attempt.pk, missing, ADVICE), "code": "log_gap"}


def test_the_outline_needs_no_object(attempt: Attempt) -> None:
    assert client_of().get(f"/jobs/{attempt.job_id}/log/outline").status_code == 200


def test_the_paged_log_says_it_on_a_page(attempt: Attempt) -> None:
    response = client_of().get(reverse("jobs:log", args=[attempt.job_id]))

    assert response.status_code == 410
    assert "ask an operator to restore it" in response.content.decode()


def test_the_page_of_the_job_says_it_and_shows_the_rest(attempt: Attempt) -> None:
    response = client_of().get(reverse("jobs:detail", args=[attempt.job_id]))

    assert response.status_code == 200
    assert "ask an operator to restore it" in response.content.decode()
