"""The files that builds made over HTTP: always as an attachment, never shown, never unpacked."""

from collections.abc import Iterator
from functools import partial
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.http import content_disposition_header
from ninja import Router

from buildboard.core.auth import principal_of
from buildboard.core.permissions import Right
from jobs.api.answers import not_found
from jobs.api.byte_answers import answer_bytes, bytes_openapi
from jobs.api.found import find_job
from jobs.api.operations import operation
from jobs.api.paging import NEWEST_FIRST, PageQuery, read_page
from jobs.artifacts import ArtifactError, read_artifact
from jobs.models import Artifact
from jobs.schemas import ArtifactShape

_TYPE = "application/octet-stream"

of_jobs = Router(tags=["build jobs"])
router = Router(tags=["build jobs"])


@operation(
    of_jobs,
    "GET",
    "/{uuid:job_id}/artifacts",
    right=Right.READ,
    name="list_artifacts",
    answers={200: list[ArtifactShape]},
)
def list_artifacts(
    request: HttpRequest, response: HttpResponse, job_id: UUID, filters: PageQuery
) -> list[ArtifactShape]:
    """List the files that a job's attempts left, newest first."""
    rows = Artifact.objects.filter(attempt__job=find_job(request, job_id))
    page = read_page(rows, keyset=NEWEST_FIRST, page=filters, request=request, response=response)
    return [ArtifactShape.of(artifact, url=_download_address(artifact)) for artifact in page]


@operation(
    router,
    "GET",
    "/{uuid:artifact_id}/download",
    right=Right.READ,
    name="download_artifact",
    answers={200: None, 206: None},
    errors=(416,),
    openapi=bytes_openapi(_TYPE),
)
def download_artifact(request: HttpRequest, artifact_id: UUID) -> HttpResponseBase:
    """Get the bytes of an artifact, exactly, whole or a range of them."""
    artifact = Artifact.objects.visible_to(principal_of(request)).filter(pk=artifact_id).first()
    if artifact is None:
        raise not_found("artifact")
    disposition = content_disposition_header(True, artifact.filename) or "attachment"
    try:
        return answer_bytes(
            request,
            size=artifact.size,
            read=partial(_read, artifact),
            content_type=_TYPE,
            headers={"Content-Disposition": disposition},
        )
    except ArtifactError as error:
        raise not_found("artifact any more") from error


def _read(artifact: Artifact, start: int, end: int) -> Iterator[bytes]:
    return read_artifact(artifact, start=start, end=end)


def _download_address(artifact: Artifact) -> str:
    return reverse("api:download-artifact", args=[artifact.pk])
