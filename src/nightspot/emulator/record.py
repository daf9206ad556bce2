"""A training job as the emulator keeps it. All times are market time, seconds since the epoch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Mapping

from nightspot.emulator.settings import ACCOUNT

ENDED = ("Completed", "Failed", "Stopped")
LONGEST_REASON = 1024


@dataclass(slots=True)
class Transition:
    """One secondary status: since when, until when (None: it is the present one), and in which words."""

    status: str
    start_utc: float
    end_utc: float | None = None
    message: str = ""


@dataclass(slots=True)
class JobRecord:
    """Changed by the job's own thread, and by a request to stop it, always under the lock of the book.

    `held_s`: how long instances were held so far, by incarnations that are over; `held_since_utc`: since when one is held now.
    `ran_s`, `ran_since_utc`: the same for what MaxRuntime counts, which ends where uploading begins. `stopped_by` is the secondary
    status in which a job that is told to stop will end.
    """

    region: str
    name: str
    request: Mapping[str, Any]
    created_utc: float
    modified_utc: float
    status: str = "InProgress"
    secondary: str = "Starting"
    transitions: list[Transition] = field(default_factory=list)
    incarnation: int = 0
    retries: int = 0
    selected_type: str | None = None
    training_start_utc: float | None = None
    training_end_utc: float | None = None
    held_s: float = 0.0
    held_since_utc: float | None = None
    ran_s: float = 0.0
    ran_since_utc: float | None = None
    waited_since_utc: float | None = None
    stopped_by: str | None = None
    failure_reason: str | None = None
    model_uri: str | None = None
    metrics: list[dict[str, Any]] = field(default_factory=list)

    @property
    def arn(self) -> str:
        """Its Amazon Resource Name."""
        return f"arn:aws:sagemaker:{self.region}:{ACCOUNT}:training-job/{self.name}"

    @property
    def ended(self) -> bool:
        """Whether nothing of it will change any more."""
        return self.status in ENDED

    def enter(self, secondary: str, message: str, now_utc: float, status: str | None = None) -> None:
        """Go over to that secondary status; in the same one, only the words change."""
        if self.transitions and self.transitions[-1].status == secondary and self.transitions[-1].end_utc is None:
            self.transitions[-1].message = message
        else:
            if self.transitions:
                self.transitions[-1].end_utc = now_utc
            self.transitions.append(Transition(secondary, now_utc, None, message))
        self.secondary, self.modified_utc = secondary, now_utc
        self.status = self.status if status is None else status
        if self.ended:
            self.transitions[-1].end_utc = now_utc

    def hold(self, instance_type: str, now_utc: float) -> None:
        """An instance was got: from now on it is paid for."""
        self.incarnation += 1
        self.selected_type = instance_type
        self.held_since_utc = self.ran_since_utc = now_utc
        if self.training_start_utc is None:
            self.training_start_utc = now_utc

    def stop_running(self, now_utc: float) -> None:
        """What MaxRuntime counts is over for this incarnation."""
        if self.ran_since_utc is not None:
            self.ran_s += max(0.0, now_utc - self.ran_since_utc)
            self.ran_since_utc = None

    def let_go(self, now_utc: float) -> None:
        """The instance is gone."""
        self.stop_running(now_utc)
        if self.held_since_utc is not None:
            self.held_s += max(0.0, now_utc - self.held_since_utc)
            self.held_since_utc = None

    def as_document(self) -> dict[str, Any]:
        """For the state file."""
        return asdict(self)


def from_document(document: Mapping[str, Any], transitions: list[Transition]) -> JobRecord:
    """The opposite of `as_document`, with the transitions that are kept beside it."""
    return JobRecord(**{**document, "transitions": transitions})
