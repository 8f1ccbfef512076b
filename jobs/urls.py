"""The pages of jobs."""

from django.urls import path

from jobs.views import job, jobs, log, submit

app_name = "jobs"
urlpatterns = [
    path("", jobs.home, name="home"),
    path("jobs/", jobs.job_list, name="list"),
    path("jobs/new/", submit.new, name="new"),
    path("jobs/new/preview/", submit.preview, name="preview"),
    path("jobs/<uuid:job_id>/", job.detail, name="detail"),
    path("jobs/<uuid:job_id>/log/", log.log_page, name="log"),
    path("jobs/<uuid:job_id>/cancel/", job.cancel, name="cancel"),
    path("jobs/<uuid:job_id>/retry/", job.retry, name="retry"),
]
