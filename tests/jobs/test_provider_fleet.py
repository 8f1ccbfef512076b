"""The provider of own servers: what a server keeps of a build is told, whoever asked for its removal."""

from pathlib import Path
from uuid import uuid4

import pytest

from jobs.providers.base import ProviderRefused, build_id_of
from jobs.providers.registry import connect
from tests.jobs.board import make_local_server

pytestmark = pytest.mark.django_db


def test_build_that_never_started_and_cannot_be_moved_away_is_kept(tmp_path: Path) -> None:
    provider = connect("fleet", server=make_local_server(tmp_path / "work"))
    identifier = str(uuid4())
    build_id = build_id_of("fleet", identifier=identifier)
    (tmp_path / "work" / "jobs" / identifier / "ws").mkdir(parents=True)
    (tmp_path / "work" / "trash").write_text("no folder\n")

    kept = provider.forget([build_id])

    assert list(kept) == [build_id]
    assert isinstance(kept[build_id], ProviderRefused)
    assert str(kept[build_id]) == "local could not remove the build; is its disk full?"
    (tmp_path / "work" / "trash").unlink()
    assert provider.forget([build_id]) == {}
    assert not (tmp_path / "work" / "jobs" / identifier).exists()
    assert provider.forget([build_id]) == {}
