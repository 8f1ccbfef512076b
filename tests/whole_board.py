"""A whole board for tests and benchmarks: the real `up`, and a client of its API. It asserts nothing."""

import json
import os
import re
import urllib.error
import urllib.request
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.boards import RunningBoard
from tests.services import free_port

_PASSWORD = re.compile(r"^ *Password +(\S+)$", re.MULTILINE)
_TOKEN = re.compile(r"bb_[0-9a-f]{32}_[A-Za-z0-9_-]+")


class WholeBoard(RunningBoard):
    """One board in `folder`, whose repositories it may build, on one port over all its starts."""

    def __init__(
        self, folder: Path, *arguments: str, database_url: str = "", extra: dict[str, str] | None = None
    ) -> None:
        own = {"BUILDBOARD_LOCAL_REPOSITORIES": str(folder), "DATABASE_URL": database_url}
        super().__init__(folder, *arguments, port=free_port(), extra={**own, **(extra or {})})

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @cached_property
    def token(self) -> str:
        """The token that the first start printed."""
        found = _TOKEN.search(self._print.read_text())
        assert found is not None, "no token was printed"
        return found.group()

    @cached_property
    def password(self) -> str:
        """The administrator's, which the first start printed."""
        found = _PASSWORD.search(self._print.read_text())
        assert found is not None, "no password was printed"
        return found.group(1)

    def call(self, method: str, path: str, body: object = None) -> Any:
        """One call of the JSON API with the first token: what it answers, bytes if it is no JSON. Raises HTTPError."""
        content, kind = self._send(method, path, body)
        return json.loads(content) if content and "json" in kind else content

    def read(self, path: str) -> bytes:
        """The very bytes that a GET answers. Raises HTTPError."""
        return self._send("GET", path, None)[0]

    def _send(self, method: str, path: str, body: object) -> tuple[bytes, str]:
        request = urllib.request.Request(  # noqa: S310  # loopback
            f"{self.url}/api/v1{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  # loopback
            return answer.read(), answer.headers["Content-Type"] or ""

    def submit(self, repository: Path, **fields: object) -> str:
        """Submit a build for this machine; the job's id."""
        given = {"source_repository": str(repository), "target_architecture": os.uname().machine, **fields}
        return str(self.call("POST", "/infrastructure/build-jobs", given)["id"])

    def job(self, job_id: str) -> Any:
        """The job as the API shows it."""
        return self.call("GET", f"/infrastructure/build-jobs/{job_id}")

    def log(self, job_id: str) -> bytes:
        """The exact bytes of the log of the last attempt."""
        return bytes(self.call("GET", f"/infrastructure/build-jobs/{job_id}/logs/raw"))

    def wait_until_finished(self, job_id: str, *, seconds: float = 120.0) -> Any:
        """The finished job; the board may be away meanwhile."""

        def is_finished() -> bool:
            try:
                return self.job(job_id)["status"] in {"completed", "failed", "cancelled"}
            except (OSError, urllib.error.HTTPError):
                return False

        self.wait_for(is_finished, what=f"job {job_id} finished", seconds=seconds)
        return self.job(job_id)
