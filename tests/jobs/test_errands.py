"""Errands: what removing the runs of several providers comes to."""

from collections.abc import Sequence
from uuid import UUID

import pytest
from django.utils import timezone

from jobs.execution.errands import Forgotten, _forget
from jobs.models import Attempt
from jobs.providers.base import (
    ProviderError,
    ProviderGarbled,
    ProviderRefused,
    ProviderUnreachable,
)
from jobs.providers.fake import FakeProvider


class ForgetfulProvider(FakeProvider):
    """Keeps the first of what it is to remove, for this reason; or raises it."""

    def __init__(self, name: str, *, keeps: ProviderError | None = None, fails: bool = False) -> None:
        self.name = name
        self._keeps = keeps
        self._fails = fails

    def forget(self, build_ids: Sequence[str]) -> dict[str, ProviderError]:
        if self._keeps is None:
            return {}
        if self._fails:
            raise self._keeps
        return {build_ids[0]: self._keeps}


def forget(*asked: tuple[FakeProvider, Sequence[Attempt]]) -> tuple[Forgotten, list[BaseException]]:
    heard: list[BaseException] = []
    pairs = [(attempt, provider) for provider, attempts in asked for attempt in attempts]
    return _forget(pairs, hear=heard.append), heard


def sent(count: int) -> list[Attempt]:
    return [Attempt(submitted_at=timezone.now()) for _ in range(count)]


def ids(*attempts: Attempt) -> list[UUID]:
    return [attempt.pk for attempt in attempts]


def test_what_one_provider_keeps_says_nothing_of_the_next() -> None:
    refusal = ProviderRefused("it is kept")
    (first, second), others = sent(2), sent(2)

    done, heard = forget(
        (ForgetfulProvider("one", keeps=refusal), [first, second]), (ForgetfulProvider("two"), others)
    )

    assert done == Forgotten(attempts=ids(second, *others), left=ids(first))
    assert heard == [refusal]


@pytest.mark.parametrize(
    ("error", "is_away"), [(ProviderGarbled("nonsense"), False), (ProviderUnreachable("nobody"), True)]
)
def test_only_where_nobody_is_there_the_rest_is_not_tried(error: ProviderError, is_away: bool) -> None:
    attempts, others = sent(2), sent(1)

    done, heard = forget(
        (ForgetfulProvider("one", keeps=error, fails=True), attempts), (ForgetfulProvider("two"), others)
    )

    assert done == Forgotten(attempts=[] if is_away else ids(*others), left=ids(*attempts), is_away=is_away)
    assert heard == [error]


def test_what_never_was_sent_left_nothing() -> None:
    never = Attempt()

    done, heard = forget((ForgetfulProvider("one", keeps=ProviderRefused("x")), [never]))

    assert (done, heard) == (Forgotten(attempts=ids(never)), [])
