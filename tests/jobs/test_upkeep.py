"""What finished builds left on their server is removed, whatever of it cannot be."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from jobs.execution import upkeep
from jobs.execution.errands import Errands
from jobs.execution.upkeep import Upkeep
from jobs.models import Attempt
from jobs.providers.base import ProviderError, ProviderRefused, identifier_of
from jobs.providers.fake import FakeProvider
from jobs.states import AttemptStatus
from servers.models import BuildServer
from tests.factories import make_attempt, make_job, make_server
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


class KeepingProvider(FakeProvider):
    """Removes all but `kept`, and notes what it was asked for."""

    def __init__(self, kept: set[UUID]) -> None:
        self.kept = kept
        self.asked: list[UUID] = []

    def forget(self, build_ids: Sequence[str]) -> dict[str, ProviderError]:
        self.asked += [UUID(identifier_of(build_id)) for build_id in build_ids]
        refused = [build_id for build_id in build_ids if UUID(identifier_of(build_id)) in self.kept]
        return {build_id: ProviderRefused("it is kept") for build_id in refused}


def finished(server: BuildServer, *, seconds_ago: float) -> Attempt:
    return make_attempt(
        job=make_job("failed", provider="fake"),
        server=server,
        status=AttemptStatus.FAILED,
        submitted_at=timezone.now(),
        completed_at=timezone.now() - timedelta(seconds=seconds_ago),
    )


def left() -> list[UUID]:
    return list(Attempt.objects.filter(cleaned_at=None).order_by("completed_at").values_list("pk", flat=True))


def test_what_cannot_be_removed_holds_up_nothing_and_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upkeep, "FORGET_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(upkeep, "FORGET_AT_ONCE", 2)
    server = make_server()
    attempts = [finished(server, seconds_ago=60 - number) for number in range(5)]
    stuck = [attempt.pk for attempt in attempts[:3]]
    provider = KeepingProvider(set(stuck))
    errands = Errands("test", wake=lambda: None, hear=lambda _: None)
    one = Upkeep(server.pk, errands)

    def round_until(condition: Callable[[], bool]) -> None:
        def round_() -> bool:
            one.forget(lambda name, attempt: provider)
            return condition()

        wait_for(round_)

    round_until(lambda: left() == stuck)
    later = finished(server, seconds_ago=1)
    round_until(lambda: left() == stuck)
    asked = [*provider.asked]
    provider.kept.clear()
    one.hurry()
    round_until(lambda: left() == [])
    errands.close(wait=True)

    assert sorted(asked) == sorted([*(attempt.pk for attempt in attempts), later.pk])
    assert provider.asked[len(asked) :] == stuck
