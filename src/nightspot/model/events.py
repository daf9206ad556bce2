"""Events: one change each, a fact in the Journal, with the time it happened (`at_utc`, market time).

The Journal adds `seq` and `seen_utc`, the time the controller learned of it. Polls that change nothing are not Events.
Fields may be added with a default; none is ever renamed or removed (an older Journal must stay readable).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Mapping, Union

from nightspot.model.attempt import AttemptOutcome, Phase, Role, RunOutcome
from nightspot.model.capacity import Bounds, Sight
from nightspot.model.decision import Want
from nightspot.model.job import Job


class RefusalReason(str, Enum):
    """Why a launch did not happen. ABSENT: its intent was recorded, and nothing of it can be found."""

    NO_CAPACITY = "no-capacity"
    QUOTA = "quota"
    INVALID = "invalid"
    INTERNAL = "internal"
    ABSENT = "absent"


class Limit(str, Enum):
    """What was reached. RISK is the warning before it is late; BOUND an overhead longer than planned with."""

    ATTEMPTS = "attempts"
    FAILURES = "failures"
    COST = "cost"
    NO_PROGRESS = "no-progress"
    RISK = "risk"
    BOUND = "bound"
    DEADLINE = "deadline"
    STRANGER = "stranger"
    SIGHT = "sight"


@dataclass(frozen=True, slots=True)
class RunOpened:
    """A night begins. The Job is stored whole, so that reports need nothing else.

    `anchor_real_utc` is the real time at which market time was `at_utc`: a restarted controller continues the same clock.
    """

    at_utc: float
    run_id: str
    nonce: str
    job: Job
    start_utc: float
    deadline_utc: float
    anchor_real_utc: float
    bounds: Mapping[str, Bounds]
    version: str = ""


@dataclass(frozen=True, slots=True)
class OfferChanged:
    """A Pool's capacity is seen differently than before."""

    at_utc: float
    pool_id: str
    seen: Sight


@dataclass(frozen=True, slots=True)
class DecisionChanged:
    """The desired holding changed."""

    at_utc: float
    wants: tuple[Want, ...]
    why: str
    by: str


@dataclass(frozen=True, slots=True)
class LaunchRequested:
    """The intent to launch: on disk before any paid call."""

    at_utc: float
    number: int
    token: str
    pool_id: str
    role: Role
    not_after_utc: float


@dataclass(frozen=True, slots=True)
class LaunchRefused:
    """The intent is closed: nothing runs under its token, and nothing will."""

    at_utc: float
    number: int
    reason: RefusalReason
    message: str = ""


@dataclass(frozen=True, slots=True)
class AttemptSeen:
    """The launch, or a later look, found the Attempt."""

    at_utc: float
    number: int
    handle: str


@dataclass(frozen=True, slots=True)
class PhaseChanged:
    """The Attempt moved on. A higher `incarnation` means that the backend restarted it."""

    at_utc: float
    number: int
    phase: Phase
    incarnation: int = 1
    units_done: float = 0.0


@dataclass(frozen=True, slots=True)
class InterruptionSeen:
    """Notice that capacity will be taken back, at `kill_utc` if that is known."""

    at_utc: float
    number: int
    kill_utc: float | None = None


@dataclass(frozen=True, slots=True)
class CheckpointSeen:
    """A Checkpoint is durable. `verified` is False for an unmodified script's file."""

    at_utc: float
    number: int
    units_done: float
    name: str = ""
    digest: str = ""
    save_s: float = 0.0
    verified: bool = True


@dataclass(frozen=True, slots=True)
class SightLost:
    """The backend cannot say how the Attempt is. It is held to be alive, and blocks launches."""

    at_utc: float
    number: int
    message: str = ""


@dataclass(frozen=True, slots=True)
class SightRegained:
    """It can be seen again."""

    at_utc: float
    number: int


@dataclass(frozen=True, slots=True)
class Told:
    """A word was said: to an Attempt (`stop`, `checkpoint`, `go`), or, with number 0, by a hook (`hook:risk`)."""

    at_utc: float
    number: int
    word: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Warned:
    """The training process or the backend warned of something the user should hear."""

    at_utc: float
    number: int
    message: str


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """The Attempt is confirmed over. `units_done` counts what it had done, durable or not.

    `final`: it failed in a way that another Attempt would repeat. `learned_utc`: when the loop saw that it had ended.
    """

    at_utc: float
    number: int
    outcome: AttemptOutcome
    units_done: float
    billable_s: float
    cost_usd: float
    exit_code: int | None = None
    artifact_sha256: str | None = None
    metrics: Mapping[str, float] | None = None
    facts: Mapping[str, str] | None = None
    detail: str = ""
    final: bool = False
    learned_utc: float = 0.0


@dataclass(frozen=True, slots=True)
class LimitHit:
    """A limit was reached, or a risk seen in time."""

    at_utc: float
    limit: Limit
    message: str
    number: int = 0


@dataclass(frozen=True, slots=True)
class UserAsked:
    """The user asked for something: `stop` ends the Run."""

    at_utc: float
    word: str


@dataclass(frozen=True, slots=True)
class RunClosed:
    """The night is over; nothing of it is ever changed again."""

    at_utc: float
    outcome: RunOutcome
    late: bool
    why: str


Event = Union[
    RunOpened,
    OfferChanged,
    DecisionChanged,
    LaunchRequested,
    LaunchRefused,
    AttemptSeen,
    PhaseChanged,
    InterruptionSeen,
    CheckpointSeen,
    SightLost,
    SightRegained,
    Told,
    Warned,
    AttemptEnded,
    LimitHit,
    UserAsked,
    RunClosed,
]


@dataclass(frozen=True, slots=True)
class Record:
    """An Event as the Journal keeps it: its place, and when the controller learned of it (real time)."""

    seq: int
    seen_utc: float
    event: Event
