"""Bells over Redis pub/sub: for any number of machines, when there is a REDIS_URL."""

import socket
import time
from functools import lru_cache
from typing import Any

import redis

CHANNEL = "buildboard:bells"
QUIET_SECONDS = 5.0


class RedisCarrier:
    """Publishes to one channel. While Redis is away rings are dropped at once instead of each timing out."""

    errors: tuple[type[Exception], ...] = (redis.RedisError, OSError)
    _quiet_until = 0.0

    def __init__(self, url: str) -> None:
        self._url = url
        self._subscription: Any = None

    def ring(self, bell: str) -> None:
        if time.monotonic() < RedisCarrier._quiet_until:
            return
        try:
            _client(self._url).publish(CHANNEL, bell)
        except self.errors:
            RedisCarrier._quiet_until = time.monotonic() + QUIET_SECONDS
            raise

    def open(self) -> None:
        self._subscription = _client(self._url).pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]  # as the library has it
        self._subscription.subscribe(CHANNEL)

    def receive(self, wake: socket.socket, *, timeout_seconds: float) -> list[str]:
        if self._subscription is None:
            raise redis.ConnectionError("not open")
        # The library owns its socket, so `wake` is not waited for: shorter turns instead.
        message = self._subscription.get_message(timeout=min(timeout_seconds, 0.5))
        return [message["data"].decode(errors="replace")] if message else []

    def close(self) -> None:
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None


@lru_cache(maxsize=4)
def _client(url: str) -> "redis.Redis":
    return redis.Redis.from_url(url, socket_connect_timeout=1, socket_timeout=1)
