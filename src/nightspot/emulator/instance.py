"""What the life of a job needs of a machine, and what may cut the life short."""

from __future__ import annotations

from enum import Enum
from typing import Any, Callable, Protocol

from nightspot.emulator.record import JobRecord


class Instance(Protocol):
    """One instance, for one incarnation of one job. Only the job's own thread calls it."""

    def download(self) -> None:
        """Data, code and checkpoints. DataError where they cannot be had."""

    def start(self) -> None:
        """The container, the checkpoint agent, the log pump."""

    def exit_code(self) -> int | None:
        """None while it runs."""

    def terminate(self) -> None:
        """SIGTERM to the program."""

    def kill(self) -> None:
        """All of it is dead when this returns, and nothing more was synced."""

    def close(self) -> None:
        """After the program's end: the last checkpoints and the last logs."""

    def upload(self) -> str:
        """The model's S3 URI."""

    def failure(self) -> str:
        """Why the program failed."""

    def metrics(self) -> list[dict[str, Any]]:
        """The last value of each metric."""

    def discard(self) -> None:
        """Leave nothing on the disk."""


MakeInstance = Callable[[JobRecord], Instance]


class Why(Enum):
    """What ends a phase before its time."""

    STOP = "told to stop"
    MAX_PENDING = "MaxPendingTimeInSeconds"
    MAX_WAIT = "MaxWaitTimeInSeconds"
    MAX_RUNTIME = "MaxRuntimeInSeconds"
    INTERRUPTED = "interrupted"
    INTERNAL = "internal error"


class Cut(Exception):  # noqa: N818 - an event, not a fault
    """A phase of a job's life is over, for that reason."""

    def __init__(self, why: Why) -> None:
        super().__init__(why.value)
        self.why = why


class Closing(Exception):  # noqa: N818 - an event, not a fault
    """The emulator itself is about to end: jobs stay as they are."""


class DataError(Exception):
    """Input or output that the job was given cannot be used: the job fails for that reason, and not for its program's."""
