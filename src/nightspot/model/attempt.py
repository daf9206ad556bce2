"""An Attempt: one launch within a Run, on one Pool, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Phase(str, Enum):
    """Where an Attempt stands. UNKNOWN is out of sight, not dead."""

    REQUESTED = "requested"
    QUEUED = "queued"
    BOOTING = "booting"
    READY = "ready"
    TRAINING = "training"
    STOPPING = "stopping"
    UNKNOWN = "unknown"
    ENDED = "ended"


class Role(str, Enum):
    """One Attempt trains. A PROBE holds a place and waits for `go`."""

    TRAIN = "train"
    PROBE = "probe"


class AttemptOutcome(str, Enum):
    """How an Attempt ended. RELEASED: we let it go. CANCELLED: the user did. LOST: nobody can say."""

    COMPLETED = "completed"
    INTERRUPTED = "interrupted"
    NO_CAPACITY = "no-capacity"
    FAILED = "failed"
    RELEASED = "released"
    CANCELLED = "cancelled"
    LOST = "lost"


class RunOutcome(str, Enum):
    """How a Run ended. Late is a flag beside it."""

    COMPLETED = "completed"
    FAILED = "failed"
    NO_CAPACITY = "no-capacity"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


@dataclass(frozen=True)  # no slots: see `change`
class Attempt:
    """What the Journal knows of one Attempt.

    `seen` is False while the launch is only an intent. `units_start`: units durable when it was launched.
    `queued_s`: how long it has waited in a queue, the present wait not counted. `trained_from_utc` is when the first unit of work of its
    latest incarnation began, `first_saved_utc` when that incarnation's first Checkpoint was seen;
    `stop_utc` when it was first told to stop. A live Attempt has no outcome. Its latest wait in a queue began at `queued_utc`, its capacity
    was there at `granted_utc`, whichever is later. A PROBE that was told `go`, at `gone_utc`, trains from then on: its role is TRAIN, and
    `units_start` what was durable then; `probed_s` of that time it had waited in a queue.
    """

    number: int
    token: str
    pool_id: str
    role: Role
    requested_utc: float
    not_after_utc: float
    units_start: float
    seen: bool = False
    handle: str = ""
    phase: Phase = Phase.REQUESTED
    phase_utc: float = 0.0
    phase_before_unknown: Phase | None = None
    incarnation: int = 1
    queued_s: float = 0.0
    queued_utc: float | None = None
    granted_utc: float | None = None
    gone_utc: float | None = None
    probed_s: float = 0.0
    trained_from_utc: float | None = None
    trained_from_units: float = 0.0
    first_saved_utc: float | None = None
    first_saved_units: float = 0.0
    notice_utc: float | None = None
    told: str | None = None
    told_utc: float = 0.0
    stop_utc: float | None = None
    stopped_in_queue: bool = False
    save_asked_utc: float | None = None
    outcome: AttemptOutcome | None = None
    ended_utc: float | None = None
    units_done: float = 0.0
    billable_s: float = 0.0
    cost_usd: float = 0.0
    artifact_sha256: str | None = None
    exit_code: int | None = None
    detail: str = ""

    @property
    def shown(self) -> Phase:
        """Its phase; while it is out of sight, the one before."""
        if self.phase is Phase.UNKNOWN and self.phase_before_unknown is not None:
            return self.phase_before_unknown
        return self.phase

    def waited_s(self, until_utc: float) -> float:
        """Seconds in a queue, up to that time: nothing is held then, and nothing billed."""
        return self.queued_s + (max(0.0, until_utc - self.phase_utc) if self.shown is Phase.QUEUED else 0.0)

    def waits_for_capacity(self, incarnation: int) -> bool:
        """Whether it had none yet, as far as was seen, before that incarnation's next phase."""
        if self.granted_utc is None or incarnation > self.incarnation:
            return True
        return self.queued_utc is not None and self.granted_utc < self.queued_utc

    @property
    def launched(self) -> bool:
        """Whether it was launched, or may have been: neither refused, nor ended in a queue."""
        refused = self.outcome is AttemptOutcome.FAILED and not self.seen
        return self.outcome is not AttemptOutcome.NO_CAPACITY and not refused

    @property
    def live(self) -> bool:
        """Whether it may still bill: launched or about to be, and not known to have ended."""
        return self.outcome is None
