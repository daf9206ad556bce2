"""Saves: begun at a step's end, carried out by a hand, reported once durable. Failures are counted, not hidden."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from nightspot.checkpoint import manifest, pieces, random_state
from nightspot.checkpoint.capture import RANDOM, Captured, capture
from nightspot.checkpoint.hand import Answer, Committed, Failed, Hand, NoWriterError, Trouble
from nightspot.checkpoint.inline import Inline
from nightspot.checkpoint.manifest import STATE, Head, rank_file
from nightspot.checkpoint.opening import Opened
from nightspot.checkpoint.order import Order
from nightspot.checkpoint.pieces import Part, Piece
from nightspot.checkpoint.voice import Voice

MOST_FAILED_SAVES = 3
SILENCE_S = 120.0  # without a sign of life from the writer: then it does not get on


class Listener(Protocol):
    """Hears of saves. Times are of `time.monotonic()`."""

    def snapshot(self, now_s: float, stall_s: float) -> None:
        """Training goes on; a save held it up for `stall_s`."""

    def saved(self, now_s: float, save_s: float, made: Committed) -> None:
        """It is durable, `save_s` after it began."""

    def failed(self, now_s: float) -> None:
        """It came to nothing."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """What retention keeps: the newest `keep`, every `keep_every`-th, none of the `bad` among the newest."""

    keep: int
    keep_every: int | None = None
    bad: tuple[str, ...] = ()


@dataclass(slots=True)
class Flight:
    """A save that was begun and has not ended."""

    units_done: float
    began_s: float
    stall_s: float = 0.0


@dataclass
class Saver:
    """All saves of one session, one at a time.

    head: what a checkpoint says about itself at given units done. durable: the newest checkpoint known to be whole.
    planner: which tensors become which pieces. failed_saves: in a row.
    """

    states: Mapping[str, object]
    opened: Opened
    keeping: Keeping
    head: Callable[[float], Head]
    voice: Voice
    hand: Hand
    durable: str | None = None
    planner: Callable[[Mapping[str, Any]], Sequence[Piece]] = pieces.whole
    listeners: list[Listener] = field(default_factory=list)
    failed_saves: int = 0
    flight: Flight | None = None
    _number: int = 0
    _prepared: bool = False

    @property
    def busy(self) -> bool:
        """A save is in flight."""
        return self.flight is not None

    def begin(self, units_done: float) -> None:
        """Start a save; when this returns, training may go on. Waits for one that is in flight.

        An error of the disk is said and counted, not raised. Raises StateError.
        """
        self.wait()
        self._prepared = True
        self.flight = Flight(units_done, time.monotonic())
        try:
            self._hand_over(self._captured(), units_done)
        except OSError as error:
            self._ended(Failed(str(error)))
            return
        now_s = time.monotonic()
        self.flight.stall_s = now_s - self.flight.began_s
        for listener in self.listeners:
            listener.snapshot(now_s, self.flight.stall_s)
        self.collect()

    def prepare(self) -> None:
        """After the first step: let the hand make ready what the first save will need. Only once."""
        if self._prepared:
            return
        self._prepared = True
        captured = self._captured()
        try:
            self.hand.prepare(self.planner(captured.tensors), self._texts(captured))
        except NoWriterError as error:
            self._do_without_writer(error)

    def collect(self) -> None:
        """Hear what became of the save in flight, without waiting."""
        while (said := self.hand.answer(0.0)) is not None:
            self._ended(said)

    def wait(self) -> bool:
        """Until no save is in flight. True: the last one is durable. A writer that does not get on is given up."""
        while self.busy:
            said = self.hand.answer(SILENCE_S)
            if said is None:
                self.hand.give_up()
                said = self.hand.answer(0.0) or Failed(f"nothing was heard of it for {SILENCE_S:.0f} s")
            self._ended(said)
        return self.failed_saves == 0

    def close(self) -> None:
        """Wait for the save in flight, and let go of everything."""
        try:
            self.wait()
        finally:
            self.hand.close()
        self.collect()

    def _hand_over(self, captured: Captured, units_done: float) -> None:
        cut, texts = self.planner(captured.tensors), self._texts(captured)
        order = self._order(units_done)
        try:
            self.hand.begin(order, cut, texts)
        except NoWriterError as error:
            self._do_without_writer(error)
            self.hand.begin(order, cut, texts)

    def _captured(self) -> Captured:
        return capture(self.states, random_state.capture())

    def _texts(self, captured: Captured) -> dict[str, bytes]:
        shared, own = captured.split({RANDOM})
        return {STATE: shared, rank_file(0): own}

    def _order(self, units_done: float) -> Order:
        self._number = max(self._number + 1, manifest.number(manifest.next_name(self.opened.folder)))
        name, token = f"step-{self._number:09d}", os.urandom(6).hex()
        folder, staging = str(self.opened.folder), str(self.opened.staging)
        kept, nothing = self.keeping, Part("", 0, 0)
        return Order(
            name, token, folder, staging, self.head(units_done), (), nothing, kept.keep, kept.keep_every, kept.bad
        )

    def _do_without_writer(self, why: NoWriterError) -> None:
        self.voice.warn(f"{why}; each save now holds training up until it is durable")
        self.hand.close()
        self.hand = Inline()

    def _ended(self, said: Answer) -> None:
        if isinstance(said, Trouble):
            self.voice.warn(said.what)
            return
        flight, self.flight = self.flight, None
        if isinstance(said, Failed):
            self._failed(said)
        elif flight is not None:
            self._saved(said, flight)

    def _failed(self, said: Failed) -> None:
        self.failed_saves += 1
        self.voice.warn(f"a checkpoint could not be saved, the newest is {self.durable}: {said.why}")
        for listener in self.listeners:
            listener.failed(time.monotonic())

    def _saved(self, made: Committed, flight: Flight) -> None:
        now_s = time.monotonic()
        self.failed_saves, self.durable = 0, made.name
        told = {"name": made.name, "digest": made.digest, "size_bytes": made.size_bytes}
        times = {"save_s": round(now_s - flight.began_s, 6), "stall_s": round(flight.stall_s, 6)}
        self.voice.report("checkpoint", units_done=flight.units_done, **told, **times)
        for listener in self.listeners:
            listener.saved(now_s, now_s - flight.began_s, made)
