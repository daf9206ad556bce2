"""Who carries a save out: the writer process, or this one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from nightspot.checkpoint.order import Order
from nightspot.checkpoint.pieces import Piece


@dataclass(frozen=True, slots=True)
class Committed:
    """The save in flight is durable. at_s: since when, by `time.monotonic()`; None: since just now."""

    name: str
    digest: str
    size_bytes: int
    at_s: float | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The save in flight came to nothing. Nothing of it is left."""

    why: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something beside the save that the user should hear of."""

    what: str


Answer = Committed | Failed | Trouble


class NoWriterError(OSError):
    """A writer process is not to be had here: not the disk's fault, and no reason to lose a save."""


class Hand(Protocol):
    """One save in flight at most."""

    def prepare(self, pieces: Sequence[Piece], texts: Mapping[str, bytes]) -> None:
        """Make ready what the first save will need, in the background. Raises NoWriterError."""

    def begin(self, order: Order, pieces: Sequence[Piece], texts: Mapping[str, bytes]) -> None:
        """Start a save; when this returns, training may go on and change its tensors.

        order: without its parts. Raises NoWriterError; OSError if it failed at once.
        """

    def answer(self, patience_s: float) -> Answer | None:
        """The next thing to know; None if nothing was heard for `patience_s`. 0: look, do not wait."""

    def silent_s(self) -> float:
        """For how long nothing was heard of what is under way; 0 where nothing is."""

    def give_up(self) -> None:
        """The save in flight does not get on: end it by force."""

    def hurry(self) -> None:
        """The training leaves by an error: the save in flight need not wait long for ranks that show no sign of life."""

    def close(self) -> None:
        """No more saves. What was begun is done."""
