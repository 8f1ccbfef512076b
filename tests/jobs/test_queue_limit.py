"""The queue is bounded also when many submit at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.conf import LazySettings
from django.db import connection

from buildboard.core.audit import BOARD
from jobs.errors import QueueFull
from jobs.lifecycle import submit_job
from jobs.models import BuildJob

AT_ONCE, EACH, LIMIT = 6, 4, 10


def submitting(start: Barrier) -> Callable[[], int]:
    def submit() -> int:
        start.wait()
        made = 0
        try:
            for _ in range(EACH):
                try:
                    fields = {
                        "source_repository": "https://git.example/demo.git",
                        "target_architecture": "x86_64",
                    }
                    submit_job(fields, actor=BOARD, user=None)
                    made += 1
                except QueueFull:
                    pass
        finally:
            connection.close()
        return made

    return submit


@pytest.mark.django_db(transaction=True)
def test_many_at_once_fill_the_queue_to_its_limit_and_no_further(settings: LazySettings) -> None:
    settings.MAX_QUEUE_SIZE = LIMIT
    submit = submitting(Barrier(AT_ONCE))

    with ThreadPoolExecutor(AT_ONCE) as threads:
        made = [one.result() for one in [threads.submit(submit) for _ in range(AT_ONCE)]]

    assert sum(made) == LIMIT
    assert BuildJob.objects.queued().count() == LIMIT
