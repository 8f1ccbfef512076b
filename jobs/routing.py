"""The addresses of the board's sockets. The job's id is text here: a malformed one is an unknown job."""

from django.urls import path

from jobs.consumers import LogConsumer

websocket_urlpatterns = [
    path("ws/jobs/<str:job_id>/log", LogConsumer.as_asgi()),
]
