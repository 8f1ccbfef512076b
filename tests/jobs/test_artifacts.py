"""How files are kept, and how they lie in the storage."""

import hashlib
from pathlib import Path

import pytest
from django.conf import LazySettings

from jobs.artifacts import ArtifactError, keep_file, read_artifact
from jobs.models import Artifact
from tests.factories import make_attempt


@pytest.mark.django_db
def test_kept_file_reads_back_and_lies_under_its_hash(tmp_path: Path, settings: LazySettings) -> None:
    settings.STORAGE_URL = (tmp_path / "storage").as_uri()
    attempt = make_attempt()
    content = b"x" * 300_000 + b"end"

    artifact = keep_file(
        attempt, path="../../etc/passwd", chunks=[content[:7], content[7:]], limit_bytes=1 << 20
    )
    again = keep_file(attempt, path="../../etc/passwd", chunks=[b"other"], limit_bytes=1 << 20)

    digest = hashlib.sha256(content).hexdigest()
    assert again == artifact
    assert (artifact.size, artifact.sha256) == (len(content), digest)
    assert b"".join(read_artifact(artifact, start=2, end=artifact.size)) == content[2:]
    files = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert files == [Path("storage/artifacts") / digest[:2] / digest]


@pytest.mark.django_db
def test_file_past_the_limit_is_not_kept(tmp_path: Path, settings: LazySettings) -> None:
    settings.STORAGE_URL = (tmp_path / "storage").as_uri()

    with pytest.raises(ArtifactError):
        keep_file(make_attempt(), path="big", chunks=[b"12345", b"67890"], limit_bytes=7)

    assert not Artifact.objects.exists()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
