"""A board without a worker, filled by demo_rows.py, and the address of every page that it has.

Nothing changes there by itself, so that pictures and checks of pages find the same each time. For
`test_every_page.py` and for `make screenshots`. What has no address of its own is demo_states.py's.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from socket import socket

from tests.boards import START_SECONDS, RunningBoard
from tests.browsers import PASSWORD
from tests.migrated import give_tables

_FILL = "import json\nfrom tests.demo_rows import fill_board\nprint(json.dumps(fill_board(password={!r})))"

# By the name of its picture. `{failed}` and so on are ids that demo_rows.py gives.
PAGES: Mapping[str, str] = {
    "overview": "/",
    "jobs": "/jobs/",
    "jobs-failed": "/jobs/?status=failed",
    "jobs-hostile": "/jobs/?q=onerror",
    "jobs-nothing": "/jobs/?q=nothing-is-called-so",
    "job-failed": "/jobs/{failed}/",
    "job-running": "/jobs/{running}/",
    "job-queued": "/jobs/{queued}/",
    "job-cancelled": "/jobs/{cancelled}/",
    "job-completed": "/jobs/{completed}/",
    "job-blocked": "/jobs/{blocked}/",
    "job-hostile": "/jobs/{hostile}/",
    "job-hostile-artifacts": "/jobs/{hostile}/?view=artifacts",
    "job-hostile-events": "/jobs/{hostile}/?view=events",
    "job-hostile-spec": "/jobs/{hostile}/?view=spec",
    "job-artifacts": "/jobs/{completed}/?view=artifacts",
    "job-resources": "/jobs/{completed}/?view=resources",
    "job-events": "/jobs/{failed}/?view=events",
    "job-spec": "/jobs/{failed}/?view=spec",
    "job-log": "/jobs/{failed}/log/?from=4300",
    "job-cancel": "/jobs/{running}/cancel/",
    "job-retry": "/jobs/{failed}/retry/",
    "job-priority": "/jobs/{queued}/priority/",
    "submit": "/jobs/new/",
    "submit-from": "/jobs/new/?from={failed}",
    "servers": "/servers/",
    "server": "/servers/{server}/",
    "server-offline": "/servers/{offline}/",
    "server-drained": "/servers/{drained}/",
    "server-degraded": "/servers/{degraded}/?span=week",
    "server-quarantined": "/servers/{quarantined}/",
    "server-other-key": "/servers/{impostor}/",
    "server-leaving": "/servers/{leaving}/",
    "server-enrolling": "/servers/{newcomer}/",
    "server-new": "/servers/new/",
    "server-edit": "/servers/{server}/edit/",
    "server-drain": "/servers/{server}/drain/",
    "server-maintenance": "/servers/{server}/maintenance/",
    "server-quarantine": "/servers/{server}/quarantine/",
    "server-disable": "/servers/{server}/disable/",
    "server-delete": "/servers/{server}/delete/",
    "server-host-key": "/servers/{impostor}/host-key/",
    "settings": "/settings/",
    "tokens": "/tokens/",
    "token-revoke": "/tokens/{token}/revoke/",
    "keys": "/keys/",
    "api-docs": "/api/docs",
    "not-found": "/nowhere/",
}
# Seen by somebody who is not signed in.
OUTSIDE: Mapping[str, str] = {"sign-in": "/login/"}
# On a board with no rows but people.
EMPTY: Mapping[str, str] = {
    "empty-overview": "/",
    "empty-jobs": "/jobs/",
    "empty-servers": "/servers/",
    "empty-submit": "/jobs/new/",
    "empty-tokens": "/tokens/",
}
# On the same board when `wait_for_a_server` gave it its one job.
SERVERLESS: Mapping[str, str] = {
    "serverless-overview": "/",
    "serverless-job": "/jobs/{waiting}/",
}


@contextmanager
def demo_board() -> Iterator[tuple[RunningBoard, Mapping[str, str]]]:
    """A full board that answers, and the ids for PAGES. Its people's password is `browsers.PASSWORD`."""
    with _web() as board:
        ids = json.loads(board.run(_FILL.format(PASSWORD)))
        _answer(board)
        yield board, ids


@contextmanager
def empty_board(*, database_url: str = "") -> Iterator[RunningBoard]:
    """A board as it is before the first server and the first job, with `admin` on it; SQLite is its default."""
    person = f"make_user('admin', username='admin', password={PASSWORD!r})"
    with _web(database_url=database_url) as board:
        _answer(board)
        board.run(f"from tests.factories import make_user\n{person}")
        yield board


def wait_for_a_server(board: RunningBoard) -> Mapping[str, str]:
    """Have a job wait on an empty board, which has no server for it; the ids for SERVERLESS."""
    made = board.run("from tests.factories import make_job\nprint(make_job().pk)")
    return {"waiting": made.strip()}


@contextmanager
def _web(*, database_url: str = "") -> Iterator[RunningBoard]:
    """A web process that is still to be launched, with its tables on SQLite."""
    with socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="bb-demo-") as folder:
        board = RunningBoard(Path(folder), verb="web", port=port, extra={"DATABASE_URL": database_url})
        try:
            if not database_url:
                give_tables(board.data_dir)
            yield board
        finally:
            board.end()


def _answer(board: RunningBoard) -> None:
    """Launch it and wait for its pages; it is never ready, since it has no worker."""
    board.launch()
    board.wait_for(lambda: board.status("/login/") == HTTPStatus.OK, what="pages", seconds=START_SECONDS)
