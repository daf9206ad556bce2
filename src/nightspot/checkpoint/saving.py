"""Saves: begun at a step's end, carried out by a hand, reported once durable. Failures are counted, not hidden."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from nightspot.checkpoint import random_state
from nightspot.checkpoint.ahead.ahead import Ahead, Patched
from nightspot.checkpoint.background import Background
from nightspot.checkpoint.capture import Captured, capture
from nightspot.checkpoint.grace import Grace, Standing
from nightspot.checkpoint.hand import Answer, Committed, Failed, Hand, NoWriterError, Trouble
from nightspot.checkpoint.inline import Inline
from nightspot.checkpoint.manifest import Head
from nightspot.checkpoint.many.commit import abandon
from nightspot.checkpoint.many.names import Names
from nightspot.checkpoint.many.ranks import Alone, Ranks
from nightspot.checkpoint.many.shards import Sharing
from nightspot.checkpoint.opening import Opened
from nightspot.checkpoint.order import Order
from nightspot.checkpoint.pieces import Part, Piece
from nightspot.checkpoint.store_uploads import Done, Uploads
from nightspot.checkpoint.voice import Voice

MOST_FAILED_SAVES = 3
SILENCE_S = 120.0  # without a sign of life from the writer: then it does not get on


class Listener(Protocol):
    """Hears of saves. Times are of `time.monotonic()`."""

    def ahead(self, now_s: float, stall_s: float) -> None:
        """Tables of a save to come are copied ahead from now on; beginning that held training up for `stall_s`."""

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
    order: Order
    stall_s: float = 0.0
    ahead_s: float = 0.0  # for how long tables were copied ahead before

    def lasted_s(self, now_s: float) -> float:
        """Since its very beginning."""
        return now_s - self.began_s + self.ahead_s


@dataclass
class Saver:
    """All saves of one session, one at a time.

    head: what a checkpoint says about itself at given units done.
    durable: the newest checkpoint known to be whole; durable_s: when training was where it is.
    uploads: where there is a store; then only what is in it is durable.
    ranks: those that save together. failed_saves: in a row. ahead: copies tables ahead; None: all is copied at once.
    """

    states: Mapping[str, object]
    opened: Opened
    keeping: Keeping
    head: Callable[[float], Head]
    voice: Voice
    hand: Hand
    durable: str | None = None
    durable_s: float = field(default_factory=time.monotonic)
    ranks: Ranks = field(default_factory=Alone)
    listeners: list[Listener] = field(default_factory=list)
    failed_saves: int = 0
    flight: Flight | None = None
    ahead: Ahead | None = None
    uploads: Uploads | None = None
    _prepared: bool = False

    def __post_init__(self) -> None:
        self._sharing = Sharing(self.states, self.ranks)
        self._names = Names(self.opened.folder, self.ranks, 0 if self.uploads is None else self.uploads.store.highest)
        if self.uploads is not None:
            self.uploads.announce, self.uploads.durable = self._announce, self._was_durable

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
        began_s, captured = time.monotonic(), self._captured()
        patched = None if self.ahead is None else self.ahead.take(captured.tensors)
        self.flight = Flight(units_done, began_s, self._order(units_done, patched))
        self.flight.ahead_s = 0.0 if patched is None else patched.ahead_s
        try:
            self._hand_over(captured, self.flight, patched)
        except OSError as error:
            self._ended(Failed(str(error)))
            return
        except BaseException as error:
            self._let_go(self.flight, repr(error))
            raise
        now_s = time.monotonic()
        self.flight.stall_s = now_s - self.flight.began_s
        for listener in self.listeners:
            listener.snapshot(now_s, self.flight.stall_s)
        self.collect()

    def ready(self) -> bool:
        """Whether a save that is due should begin now, and not only when its tables have been copied ahead.

        At each step's end as long as it is due, after `collect`. Raises StateError.
        """
        if self.ahead is None or not isinstance(self.hand, Background):
            return True
        self.prepare()
        if self.ahead.idle and isinstance(self.hand, Background):
            self._start_ahead(self.ahead, self.hand)
        return self.ahead.ready(self.hand)

    def _start_ahead(self, ahead: Ahead, hand: Background) -> None:
        began_s = time.monotonic()
        ahead.start(hand, self._captured().tensors, self._order(0.0))
        now_s = time.monotonic()
        for listener in self.listeners:
            listener.ahead(now_s, now_s - began_s)

    def prepare(self) -> None:
        """After the first step: let the hand make ready what the first save will need. Only once."""
        if self._prepared:
            return
        self._prepared = True
        captured = self._captured()
        expected = (captured.tensors, ()) if self.ahead is None else self.ahead.expected(captured.tensors)
        cut = [*self._sharing.pieces(expected[0]), *expected[1]]
        try:
            self.hand.prepare(cut, self._sharing.texts(captured))
        except NoWriterError as error:
            self._do_without_writer(error)

    def collect(self) -> None:
        """Hear what became of the save in flight, and of uploads, without waiting. Raises ConfigError."""
        self._hear()
        if self.hand.silent_s() > SILENCE_S:  # or no checkpoint would ever be made again, and nobody told
            self.hand.give_up()
            self._hear()
        if self.uploads is not None:
            self.uploads.collect()

    def settle(self, grace: Grace | None) -> str | None:
        """Wait until what was committed is in the bucket, too; on notice, as long as there is time: what is durable then.

        Raises ConfigError.
        """
        if self.uploads is None:
            return self.durable
        self.uploads.finish(grace)
        if (late := self.uploads.waiting) is not None:
            where = f"it is only in {self.opened.folder}, and in the store is {self.durable}"
            self.voice.warn(f"{late.name} could not be uploaded in time: {where}")
        return self.durable

    def wait(self) -> bool:
        """Until no save is in flight. True: the last one is durable. A writer that does not get on is given up."""
        while self.busy:
            said = self.hand.answer(SILENCE_S)
            if said is None:
                self.hand.give_up()
                said = self.hand.answer(0.0) or Failed(f"nothing was heard of it for {SILENCE_S:.0f} s")
            self._ended(said)
        return self.failed_saves == 0

    def standing(self, saves_s: tuple[float, ...]) -> Standing:
        """How saving stands now, for `grace.decide`. saves_s: how long past saves took."""
        now_s, flight = time.monotonic(), self.flight
        name, flown_s = (None, None) if flight is None else (flight.order.name, flight.lasted_s(now_s))
        if flight is None and self.uploads is not None and (late := self.uploads.waiting) is not None:
            name, flown_s = late.name, now_s - late.began_s
        return Standing(saves_s, self.durable, now_s - self.durable_s, name, flown_s)

    def hurry(self) -> None:
        """This process leaves by an error, most likely because another rank is gone: do not wait long for one of which nobody knows."""
        if self.ranks.size > 1 and self.busy:
            self.hand.hurry()

    def close(self) -> None:
        """Wait for the save in flight, and let go of everything."""
        try:
            self.wait()
        finally:
            if self.ahead is not None:
                self.ahead.close()
            self.hand.close()
        self._hear()
        if self.uploads is not None:
            self.uploads.close()

    def _let_go(self, flight: Flight, why: str) -> None:
        """Nothing will come of a save that never left this process: nobody must wait for it."""
        self.flight = None
        if self.ranks.size > 1:
            abandon(flight.order, why)

    def _hear(self) -> None:
        while (said := self.hand.answer(0.0)) is not None:
            self._ended(said)

    def _hand_over(self, captured: Captured, flight: Flight, patched: Patched | None) -> None:
        cut, texts = self._cut(captured, patched), self._sharing.texts(captured)
        try:
            self.hand.begin(flight.order, cut, texts)
        except NoWriterError as error:
            self._do_without_writer(error)
            if patched is not None:
                cut, flight.order = self._cut(captured, None), self._order(flight.units_done)
            self.hand.begin(flight.order, cut, texts)

    def _cut(self, captured: Captured, patched: Patched | None) -> Sequence[Piece]:
        if patched is None:
            return self._sharing.pieces(captured.tensors)
        return [*self._sharing.pieces(patched.rest), *patched.patches]

    def _captured(self) -> Captured:
        return self._sharing.annotate(capture(self.states, random_state.capture()))

    def _order(self, units_done: float, patched: Patched | None = None) -> Order:
        if patched is not None:
            return replace(patched.order, head=self.head(units_done), base=True)
        folder, staging = str(self.opened.folder), str(self.opened.staging)
        kept, nothing = self.keeping, Part("", 0, 0)
        return Order(
            name=self._names.next(),
            token=self._names.token,
            folder=folder,
            staging=staging,
            head=self.head(units_done),
            parts=(),
            entries=nothing,
            keep=kept.keep,
            keep_every=kept.keep_every,
            bad=kept.bad,
            rank=self.ranks.rank,
            size=self.ranks.size,
            peers=self._names.peers,
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
            if flight is not None and self.ranks.size > 1:
                abandon(flight.order, said.why)  # or the others would wait for this rank
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
        save_s = flight.lasted_s(
            now_s if made.at_s is None else made.at_s
        )  # and not when a long step let us hear of it
        self.failed_saves = 0
        own = (made.name, made.digest, made.size_bytes, flight.units_done)
        done = Done(*own, flight.began_s, save_s, flight.stall_s)
        if self.uploads is None:
            self._announce(done)
        else:
            self.uploads.submit(done)

    def _announce(self, done: Done) -> None:
        """It is durable."""
        self.durable, self.durable_s = done.name, done.began_s
        told = {"name": done.name, "digest": done.digest, "size_bytes": done.size_bytes}
        times = {"save_s": round(done.save_s, 6), "stall_s": round(done.stall_s, 6)}
        self.voice.report("checkpoint", units_done=done.units_done, **told, **times)
        for listener in self.listeners:
            listener.saved(time.monotonic(), done.save_s, Committed(done.name, done.digest, done.size_bytes))

    def _was_durable(self, name: str) -> None:
        self.durable = name
