"""The ports of the loop: what a backend and a clock must be. docs/backends.md is the guide; tests/contract/ the suite.

Every call has a time budget of the backend's own. Past it, or without a sensible answer, it raises `Unsure`, and never guesses.
All times are market time, seconds since the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Mapping, Protocol, Sequence, Union

from nightspot.model.attempt import Phase, Role
from nightspot.model.capacity import Abilities, Offer, Pool
from nightspot.model.events import RefusalReason
from nightspot.model.job import Job


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """All a backend needs to launch. The same token launches once, however often it is asked for.

    The Attempt ends itself at `not_after_utc`, with no help from us.
    """

    run_id: str
    number: int
    token: str
    pool: Pool
    role: Role
    not_after_utc: float
    job: Job
    units_start: float = 0.0


@dataclass(frozen=True, slots=True)
class Handle:
    """Where to find an Attempt again. `name` is the backend's own and goes into the Journal."""

    token: str
    pool_id: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """The launch did not happen, and will not under this token."""

    reason: RefusalReason
    message: str = ""


class EndKind(str, Enum):
    """How the backend says an Attempt ended; the loop makes the outcome of it."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TAKEN = "taken"
    STOPPED = "stopped"
    NO_CAPACITY = "no-capacity"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Ended:
    """The Attempt is confirmed over. `final` says that starting it again would not help."""

    kind: EndKind
    at_utc: float
    exit_code: int | None = None
    artifact_sha256: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    detail: str = ""
    final: bool = False


@dataclass(frozen=True, slots=True)
class SavedCheckpoint:
    """A durable Checkpoint, as reported."""

    at_utc: float
    units_done: float
    name: str = ""
    digest: str = ""
    save_s: float = 0.0
    verified: bool = True


@dataclass(frozen=True, slots=True)
class PhaseSeen:
    """The Attempt reached a phase."""

    at_utc: float
    phase: Phase
    incarnation: int = 1
    units_done: float = 0.0


@dataclass(frozen=True, slots=True)
class NoticeSeen:
    """Capacity will be taken back."""

    at_utc: float
    kill_utc: float | None = None


@dataclass(frozen=True, slots=True)
class WarningSeen:
    """Something the user should hear."""

    at_utc: float
    message: str


News = Union[PhaseSeen, SavedCheckpoint, NoticeSeen, WarningSeen]


@dataclass(frozen=True, slots=True)
class Report:
    """One look at an Attempt: what is new since `cursor`, in order, and how it stands. `units_done` counts what is not durable too."""

    cursor: int
    units_done: float
    news: Sequence[News] = ()
    ended: Ended | None = None


@dataclass(frozen=True, slots=True)
class Bill:
    """What the Attempt has cost so far. `billable_s` of the Pool's price."""

    billable_s: float
    cost_usd: float


@dataclass(frozen=True, slots=True)
class Quote:
    """What a Pool costs, USD for an hour of the whole Attempt, and who says so. `as_of_utc` (real time): None where that is not known."""

    usd_per_hour: float
    source: str
    as_of_utc: float | None = None


class Kind(str, Enum):
    """What a Finding is: wrong, fine, or not to be checked from here."""

    WRONG = "wrong"
    FINE = "fine"
    UNCHECKED = "unchecked"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a check of the surroundings found. `fatal`: the night cannot be run so. `remedy` is empty where all is well."""

    what: str
    remedy: str = ""
    fatal: bool = False
    kind: Kind = Kind.WRONG


class Backend(Protocol):
    """One kind of place to train. Implementations: local, simulated; found by name in backends/registry.py."""

    def abilities(self, pool: Pool, /) -> Abilities:
        """What can be done with that Pool."""
        ...

    def offers(self, pools: Sequence[Pool], now_utc: float, /) -> Sequence[Offer]:
        """What each Pool is seen to offer; Pools that cannot be seen are left out or UNKNOWN."""
        ...

    def launch(self, spec: LaunchSpec, now_utc: float, /) -> Handle | Refused:
        """Start it, once per token."""
        ...

    def find(self, token: str, /) -> Handle | None:
        """The Attempt of that token, running or ended. After None, that token can never start any more, or the backend has a lag."""
        ...

    def live(self, run_id: str, /) -> Sequence[Handle]:
        """All that still runs, or may, for that Run."""
        ...

    def poll(self, handle: Handle, cursor: int, now_utc: float, /) -> Report:
        """One look."""
        ...

    def tell(self, handle: Handle, word: str, now_utc: float, /) -> None:
        """Say `stop`, `checkpoint` or `go`. Saying it twice does no harm; `stop` to what has ended is ignored."""
        ...

    def bill(self, handle: Handle, now_utc: float, /) -> Bill | None:
        """What it has cost so far; None where that is not known yet."""
        ...

    def fetch_output(self, handle: Handle, to: Path, /) -> None:
        """Append to that file what the program has printed since it was last fetched there; make it where there is anything."""
        ...

    def check(self, job: Job, /) -> Sequence[Finding]:
        """What would go wrong tonight, the most expensive surprise first; what is fine, and what cannot be checked, too."""
        ...

    def quote(self, pool: Pool, job: Job, /) -> Quote | None:
        """What that Pool costs, where the job file does not say; None where nobody knows. Never raises: a price blocks nothing."""
        ...


class Backends(Protocol):
    """Backends by the name a Pool gives."""

    def __getitem__(self, name: str, /) -> Backend:
        """The backend of that name; UnknownBackendError where none is installed."""
        ...


class Clock(Protocol):
    """Market time."""

    def now_utc(self) -> float:
        """Market time now, seconds since the epoch."""
        ...

    def sleep_until(self, at_utc: float, /) -> None:
        """Return at `at_utc`, or earlier when there may be news."""
        ...
