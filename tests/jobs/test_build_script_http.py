"""The checkout over git's smart HTTP, by both protocols, from a real `git http-backend`."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from jobs.execution.script import CHECKOUT_STATUS, BuildSpec, read_failure
from tests.git_http import GitHttpServer
from tests.jobs.script_runs import Ended, Server, Upstream, make_spec
from tests.requirements import require

pytestmark = pytest.mark.slow


class Served:
    """A repository with a branch `other`, whose last commit but one no branch ends at, and a build server."""

    def __init__(self, folder: Path, http: GitHttpServer, server: Server) -> None:
        self.http = http
        self._server = server
        self._upstream = Upstream(folder / "demo")
        self.old = self._upstream.commit({"file": "old\n"})
        self.tip = self._upstream.commit({"file": "new\n"})
        self._upstream.git("checkout", "-q", "-b", "other")
        self.hidden = self._upstream.commit({"file": "hidden\n"})
        self._upstream.commit()

    @property
    def url(self) -> str:
        return f"{self.http.url}/demo/.git"

    def spec(self, **values: object) -> BuildSpec:
        given = {"repository": self.url, "build_command": "cat file", "local_repositories": False}
        return make_spec(self._upstream, **{**given, **values})

    def build(self, **values: object) -> Ended:
        return self._server.run(self.spec(**values))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


def serve(
    stack: ExitStack, folder: Path, server: Server, *, knows_v2: bool = True, locked: bool = False
) -> Served:
    require("git")
    require("git http-backend")
    folder = folder / "served"
    folder.mkdir()
    http = stack.enter_context(GitHttpServer(folder, knows_v2=knows_v2, locked=locked))
    return Served(folder, http, server)


@pytest.mark.parametrize("knows_v2", [True, False])
def test_branch_and_commit_of_a_branch_are_built(
    knows_v2: bool, one_server: Server, tmp_path: Path, stack: ExitStack
) -> None:
    served = serve(stack, tmp_path, one_server, knows_v2=knows_v2)

    head = served.build()
    old = served.build(commit=served.old)

    assert (head.code, head.commit) == (0, served.tip), head.log
    assert "new" in head.log.splitlines()
    assert (old.code, old.commit) == (0, served.old), old.log
    assert "old" in old.log.splitlines()
    assert served.http.protocols == ({"version=2"} if knows_v2 else set())


def test_id_that_no_branch_ends_at_comes_by_protocol_2_at_once(
    one_server: Server, tmp_path: Path, stack: ExitStack
) -> None:
    served = serve(stack, tmp_path, one_server)

    ended = served.build(commit=served.hidden)

    assert (ended.code, ended.commit) == (0, served.hidden), ended.log
    assert "the id alone could not be fetched" not in ended.log


def test_by_protocol_0_an_id_is_found_inside_its_branch_and_not_elsewhere(
    one_server: Server, tmp_path: Path, stack: ExitStack
) -> None:
    served = serve(stack, tmp_path, one_server, knows_v2=False)

    inside = served.build(commit=served.hidden, branch="other")
    fresh = served.build(commit=served.old)
    elsewhere = Server(tmp_path / "another").run(served.spec(commit=served.hidden))

    assert (inside.code, inside.commit) == (0, served.hidden), inside.log
    assert "--- the id alone could not be fetched: looking for it in other" in inside.log
    assert (fresh.code, fresh.commit) == (0, served.old), fresh.log
    assert elsewhere.code == CHECKOUT_STATUS
    assert (
        read_failure(elsewhere.log) == f"Commit {served.hidden} was not found in branch main of {served.url}."
    )


def test_repository_that_asks_for_a_password_waits_for_nobody(
    one_server: Server, tmp_path: Path, stack: ExitStack
) -> None:
    served = serve(stack, tmp_path, one_server, locked=True)

    ended = served.build()

    assert ended.code != 0
    assert ended.phases == ["checkout"]
    assert read_failure(ended.log).startswith(f"The repository {served.url} could not be read: fatal: ")
    assert "terminal prompts disabled" in read_failure(ended.log)


def test_path_that_is_no_repository_is_told(one_server: Server, tmp_path: Path, stack: ExitStack) -> None:
    served = serve(stack, tmp_path, one_server)

    ended = served.build(repository=f"{served.http.url}/nothing.git")

    assert ended.code != 0
    assert read_failure(ended.log).startswith(
        f"The repository {served.http.url}/nothing.git could not be read"
    )
