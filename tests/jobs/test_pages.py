"""The orders of the list of jobs and its pages: without gaps or repeats, each read by an index."""

from datetime import timedelta

import pytest
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from jobs.models import BuildJob
from jobs.views.pages import ORDERS, PAGE_SIZE, Order, read_page
from tests.jobs.pages import Page, client_of, names_in

pytestmark = pytest.mark.django_db


def make_many(total: int) -> None:
    """Jobs of which several have the same age, status, server or duration, and some no server or duration."""
    at = timezone.now()
    statuses = ("queued", "completed", "failed", "completed", "cancelled")
    for index in range(total):
        status = statuses[index % 5]
        ended = at + timedelta(seconds=index % 4) if status != "queued" else None
        BuildJob.objects.create(
            source_repository=f"https://git.example/{index:03}",
            target_architecture="x86_64",
            status=status,
            created_at=at - timedelta(seconds=index // 7),
            server_name="" if index % 3 == 0 else f"n-{index % 4}",
            started_at=at if status in ("completed", "failed") else None,
            completed_at=ended,
        )


def in_order(order: Order) -> list[str]:
    """What a list that is sorted in Python shows."""
    jobs = sorted(
        BuildJob.objects.all(), key=lambda job: (job.created_at, job.pk.hex), reverse=order.age_down
    )
    if order.column:
        value = {job.pk: getattr(job, order.column) for job in jobs}
        having = [job for job in jobs if value[job.pk] not in (None, "")]
        having.sort(key=lambda job: value[job.pk], reverse=order.value_down)
        jobs = having + [job for job in jobs if value[job.pk] in (None, "")]
    return [job.repository_name for job in jobs]


def link(html: str, rel: str) -> str:
    return next((one["href"] for one in Page(html).find("a", rel=rel)), "")


@pytest.mark.parametrize("sort", ORDERS)
def test_pages_follow_each_other_without_gaps_or_repeats_in_both_directions(sort: str) -> None:
    make_many(3 * PAGE_SIZE + 3)
    client = client_of()

    forward, address, seen = [], f"?sort={sort}", []
    while address:
        html = client.get(f"/jobs/{address}").content.decode()
        forward.append(names_in(html))
        seen.append(html)
        address = link(html, "next")
    back, address = [], link(seen[-1], "prev")
    while address:
        html = client.get(f"/jobs/{address}").content.decode()
        back.append(names_in(html))
        address = link(html, "prev")

    assert [name for page in forward for name in page] == in_order(ORDERS[sort])
    assert [len(page) for page in forward] == [PAGE_SIZE, PAGE_SIZE, PAGE_SIZE, 3]
    assert back == forward[-2::-1]


@pytest.mark.parametrize(
    ("sort", "index"),
    [
        ("-created", "job_newest"),
        ("created", "job_newest"),
        ("-status", "job_by_status"),
        ("status", "job_by_status"),
        ("server", "job_by_server"),
        ("-server", "job_by_server"),
        ("duration", "job_by_duration"),
        ("-duration", "job_by_duration"),
    ],
)
def test_each_order_is_read_by_its_index_and_not_sorted(sort: str, index: str) -> None:
    make_many(2 * PAGE_SIZE + 20)
    order, client = ORDERS[sort], client_of()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE jobs_buildjob")
            # So few rows are rather read through and sorted.
            for shorter in ("seqscan", "bitmapscan", "sort"):
                cursor.execute(f"SET LOCAL enable_{shorter} = off")

    queries = []
    for address in (f"?sort={sort}", link(client.get(f"/jobs/?sort={sort}").content.decode(), "next")):
        with CaptureQueriesContext(connection) as captured:
            read_page(BuildJob.objects.all(), order=order, query=QueryDict(address[1:]))
        queries += [query["sql"] for query in captured]

    for sql in queries:
        plan = explain(sql)
        assert "TEMP B-TREE" not in plan, plan
        assert "Sort" not in plan, plan
        assert index in plan or "job_newest" in plan or "job_by_status" in plan, plan
    assert any(index in explain(sql) for sql in queries)


def explain(sql: str) -> str:
    verb = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
    with connection.cursor() as cursor:
        cursor.execute(f"{verb} {sql.replace('%', '%%')}")
        return "\n".join(str(row) for row in cursor.fetchall())
