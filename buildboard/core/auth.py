"""Who asks. (CORE replaces this first version.)"""

from collections.abc import Callable

from django.contrib.auth.backends import BaseBackend
from django.http import HttpRequest, HttpResponse


class AccessMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)


class RoleBackend(BaseBackend):
    pass
