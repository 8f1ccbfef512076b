"""One attempt that is followed: what it holds in memory is never ahead of what the database has."""

import pytest
from django.conf import LazySettings

from jobs.execution.followed import Followed
from jobs.models import Attempt
from jobs.providers.base import BuildStatus, Report
from jobs.providers.fake import FakeProvider
from tests.factories import make_attempt, make_job
from tests.jobs.board import log_of
from tests.jobs.log_writing import append_log

pytestmark = pytest.mark.django_db(transaction=True)
SOURCE = b"".join(b"%07d\n" % number for number in range(20_000))


@pytest.fixture(autouse=True)
def _limit(settings: LazySettings) -> None:
    settings.MAX_LOG_BYTES = 1000


def make_followed() -> Followed:
    return Followed(make_attempt(job=make_job("running", provider="fake")), FakeProvider())


def as_read_now(one: Followed) -> None:
    one.renew(Attempt.objects.select_related("job").get(pk=one.attempt.pk), one.provider)


def report(*, offset: int, end: int | None = None) -> Report:
    status = BuildStatus.SUCCEEDED if end is None else BuildStatus.RUNNING
    return Report("fake://x", status, offset=offset, data=SOURCE[offset:end], size=len(SOURCE[:end]))


def assert_kept_as_by_one_alone(one: Followed) -> None:
    """Read to the end from where it says: the head, the marker and the tail, as when nothing had happened."""
    for _ in range(4):
        one.keep(report(offset=one.offset))
        as_read_now(one)
    marker = (
        b"\n[buildboard] %d bytes were left out here: the log is over its limit. Its last 65536 follow.\n"
    )
    omitted = len(SOURCE) - 1000 - 65536
    assert log_of(one.attempt) == SOURCE[:1000] + marker % omitted + SOURCE[-65536:]


def test_log_that_another_follower_moved_is_not_taken_for_full() -> None:
    one = make_followed()
    append_log(Attempt.objects.get(pk=one.attempt.pk), SOURCE[:500])

    assert not one.keep(report(offset=0, end=2000))
    as_read_now(one)

    assert one.offset == 500
    assert_kept_as_by_one_alone(one)


@pytest.mark.parametrize("end", [500, 2000], ids=["under the limit", "over it"])
def test_what_a_failed_transaction_took_back_is_read_again(end: int) -> None:
    one = make_followed()

    with pytest.raises(RuntimeError, match="in the middle"), one.one_transaction():
        assert one.keep(report(offset=0, end=end))
        raise RuntimeError("in the middle")

    assert (one.offset, one.attempt.log_size, log_of(one.attempt)) == (0, 0, b"")
    assert_kept_as_by_one_alone(one)


def test_full_log_is_read_near_its_end_alone() -> None:
    one = make_followed()

    assert one.keep(report(offset=0, end=2000))

    assert one.offset == 1000
    assert not one.keep(report(offset=1000, end=100_000))
    assert_kept_as_by_one_alone(one)
