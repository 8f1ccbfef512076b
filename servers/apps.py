"""Build servers: reaching them, knowing them, their slots and leases."""

from django.apps import AppConfig


class ServersConfig(AppConfig):
    name = "servers"
    verbose_name = "Build servers"
