"""The pages of jobs, and of the servers that they run on."""

from django.urls import path

from jobs.views import (
    job,
    job_actions,
    jobs,
    log,
    log_windows,
    overview,
    server,
    server_actions,
    server_editing,
    servers,
    submit,
)

app_name = "jobs"
urlpatterns = [
    path("", overview.overview, name="overview"),
    path("jobs/", jobs.job_list, name="list"),
    path("jobs/new/", submit.new, name="new"),
    path("jobs/new/preview/", submit.preview, name="preview"),
    path("jobs/<uuid:job_id>/", job.detail, name="detail"),
    path("jobs/<uuid:job_id>/log/", log.log_page, name="log"),
    path("jobs/<uuid:job_id>/log/lines", log_windows.log_lines, name="log-lines"),
    path("jobs/<uuid:job_id>/log/search", log_windows.log_search, name="log-search"),
    path("jobs/<uuid:job_id>/log/outline", log_windows.log_outline, name="log-outline"),
    path("jobs/<uuid:job_id>/cancel/", job_actions.cancel, name="cancel"),
    path("jobs/<uuid:job_id>/retry/", job_actions.retry, name="retry"),
    path("jobs/<uuid:job_id>/priority/", job_actions.priority, name="priority"),
    path("servers/", servers.server_list, name="servers"),
    path("servers/new/", server_editing.new, name="server-new"),
    path("servers/<uuid:server_id>/", server.detail, name="server"),
    path("servers/<uuid:server_id>/edit/", server_editing.edit, name="server-edit"),
    path("servers/<uuid:server_id>/test/", server_actions.test_connection, name="server-test"),
    path("servers/<uuid:server_id>/host-key/", server_actions.accept_key, name="server-host-key"),
    path("servers/<uuid:server_id>/<slug:action>/", server_actions.act, name="server-act"),
]
