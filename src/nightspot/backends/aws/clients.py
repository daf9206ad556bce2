"""Whoever makes boto3 clients for the doctor and the price look-up. The backend gives its own; a test gives some with stubs."""

from __future__ import annotations

from threading import Lock
from typing import Any, Protocol


class Clients(Protocol):
    """Makes, or remembers, one client for each service and region."""

    def __call__(self, service: str, region: str, /) -> Any:
        """A boto3 client; "" is the region that boto3 finds by itself. botocore's NoRegionError where it finds none."""
        ...


class OneAtATime:
    """The same clients for many threads: a client may be shared, but not the making of two at once."""

    def __init__(self, clients: Clients) -> None:
        self._clients, self._lock = clients, Lock()
        self._made: dict[tuple[str, str], Any] = {}

    def __call__(self, service: str, region: str, /) -> Any:
        """See Clients."""
        with self._lock:
            if (service, region) not in self._made:
                self._made[service, region] = self._clients(service, region)
            return self._made[service, region]
