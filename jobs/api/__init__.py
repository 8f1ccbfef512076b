"""The JSON API (contract section 3), mounted at `/api/`: its routers, its strict parser, its one error shape.

Operations are declared through operations.py. Each is a door: check who asks, read the shape, make one domain
call, answer.
"""

from ninja import NinjaAPI

from jobs.api import (
    artifacts,
    build_jobs,
    build_servers,
    explain,
    history,
    logs,
    secrets,
    server_outages,
    tokens,
    what_if,
)
from jobs.api.answers import answer_errors
from jobs.api.docs import DocsPage
from jobs.api.operations import BodyParser

api = NinjaAPI(
    title="Buildboard",
    version="1",
    description="Build jobs, their logs and history, build servers, tokens and secrets.",
    urls_namespace="api",
    docs=DocsPage(),
    parser=BodyParser(),
)
answer_errors(api)
api.add_router("/v1/infrastructure/build-jobs", build_jobs.router)
api.add_router("/v1/infrastructure/build-jobs", logs.router)
api.add_router("/v1/infrastructure/build-jobs", explain.router)
api.add_router("/v1/infrastructure/build-jobs", what_if.of_jobs)
api.add_router("/v1/infrastructure/build-jobs", history.router)
api.add_router("/v1/infrastructure/build-jobs", artifacts.of_jobs)
api.add_router("/v1/infrastructure/artifacts", artifacts.router)
api.add_router("/v1/infrastructure/build-servers", build_servers.router)
api.add_router("/v1/infrastructure/build-servers", server_outages.router)
api.add_router("/v1/infrastructure/build-servers", what_if.of_servers)
api.add_router("/v1/tokens", tokens.router)
api.add_router("/v1/secrets", secrets.router)
