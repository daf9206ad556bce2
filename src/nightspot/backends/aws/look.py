"""What every look of the doctor is given, and how its findings are said."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterable
from urllib.parse import urlsplit

from nightspot.backends.aws.asked import Asked
from nightspot.backends.aws.clients import Clients
from nightspot.model.job import Job
from nightspot.night.ports import Finding, Kind


@dataclass(frozen=True, slots=True)
class Case:
    """The patient. `now_utc` reads this machine's real clock; `home` is where prices are kept."""

    job: Job
    asked: tuple[Asked, ...]
    clients: Clients
    home: Path
    now_utc: Callable[[], float]

    @property
    def regions(self) -> tuple[str, ...]:
        """Each once, in file order."""
        return tuple(dict.fromkeys(one.region for one in self.asked))

    def in_region(self, region: str) -> tuple[Asked, ...]:
        """The Pools there."""
        return tuple([one for one in self.asked if one.region == region])


Look = Callable[[Case], Iterable[Finding]]


def fine(what: str) -> Finding:
    """All is well with it."""
    return Finding(what, kind=Kind.FINE)


def unchecked(what: str, remedy: str = "") -> Finding:
    """It cannot be seen from here; `what` says why."""
    return Finding(what, remedy, kind=Kind.UNCHECKED)


def aws_itself(client: Any) -> bool:
    """Whether the client speaks to AWS. What another endpoint says of roles and images says nothing of AWS's."""
    host = urlsplit(client.meta.endpoint_url).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".on.aws"))


def on_this_machine(client: Any) -> bool:
    """Whether the client speaks to an emulator here: it takes any role, costs nothing, and has not all that AWS has."""
    host = urlsplit(client.meta.endpoint_url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def region_of(client: Any) -> str:
    """The region a client ended up with."""
    return str(client.meta.region_name)
