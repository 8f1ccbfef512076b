"""The states of a build server, without the ORM (contract section 1)."""

from django.db.models import TextChoices


class ServerStatus(TextChoices):
    """Whether a server is well enough to take jobs."""

    ONLINE = "online", "Online"
    OFFLINE = "offline", "Offline"
    DEGRADED = "degraded", "Degraded"
    MAINTENANCE = "maintenance", "Maintenance"
    UNKNOWN = "unknown", "Unknown"


class TransportKind(TextChoices):
    """How a server is reached."""

    SSH = "ssh", "SSH"
    LOCAL = "local", "This machine"
