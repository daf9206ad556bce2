"""A Trace: when a Pool has capacity and when it has none, over market time.

Instants lie on a grid of 1/1024 s, so that sums of offset, start and repetition are exact in a float: `up(next_flip(t))` is always the
other state, however far out. A recorded Trace repeats, in both directions; any other goes on as it ends.
"""

from __future__ import annotations

import itertools
import json
import math
from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import Any, Iterable, Iterator, Sequence

from nightspot.errors import JobFileError

GRID_PER_S = 1024.0
NEVER_AGAIN_UTC = math.inf
FORMAT = 'A trace is {"metadata": {"gap_seconds": 600}, "data": [0, 1, 1]}'


def on_grid(seconds: float) -> float:
    """The nearest instant that sums exactly."""
    return round(seconds * GRID_PER_S) / GRID_PER_S


@dataclass(frozen=True, slots=True)
class Trace:
    """Alternating spans of capacity and none.

    `first_up` is the state before the first flip, `flips_s` are the flips, strictly increasing, in seconds after `start_utc`.
    A Trace of finite `period_s` repeats: it has an even number of flips, all in [0, period_s). Build it with the class methods.
    """

    first_up: bool
    flips_s: tuple[float, ...] = ()
    start_utc: float = 0.0
    period_s: float = math.inf

    @classmethod
    def from_flips(cls, flips_utc: Iterable[float], *, first_up: bool, start_utc: float = 0.0) -> Trace:
        """A Trace that flips at those times and then stays. ValueError unless they increase and come after the start."""
        start_utc = on_grid(start_utc)
        flips_s = tuple([on_grid(flip - start_utc) for flip in flips_utc])
        if any(b <= a for a, b in zip((0.0, *flips_s), flips_s, strict=False)):
            raise ValueError("flips must increase strictly, by a millisecond at least, from the start on")
        return cls(first_up, flips_s, start_utc)

    @classmethod
    def from_ticks(
        cls, data: Sequence[object], tick_s: float, start_utc: float = 0.0, *, repeats: bool = True
    ) -> Trace:
        """Tick i says what there is in [start + i * tick, start + (i + 1) * tick). ValueError if there are none."""
        if not data or not (1 / GRID_PER_S <= tick_s < math.inf):
            raise ValueError("a trace needs at least one tick, and ticks of a millisecond at least")
        states = [bool(tick) for tick in data]
        first_up = states[-1] if repeats else states[0]
        before = (first_up, *states)
        flips_s = [on_grid(i * tick_s) for i, state in enumerate(states) if state != before[i]]
        period_s = on_grid(len(states) * tick_s) if repeats else math.inf
        return cls(first_up, tuple(flips_s), on_grid(start_utc), period_s)

    @classmethod
    def from_changes(cls, changes_utc: Sequence[tuple[float, bool]], end_utc: float, *, repeats: bool = True) -> Trace:
        """A recorded Trace from (time, state from then on), in order, watched until `end_utc`. ValueError where they do not increase."""
        times = [on_grid(utc) for utc, _ in changes_utc] + [on_grid(end_utc)]
        if not changes_utc or any(b <= a for a, b in itertools.pairwise(times)):
            raise ValueError(
                "a trace needs at least one time, each later than the one before, and an end after the last"
            )
        states = [state for _, state in changes_utc]
        first_up = states[-1] if repeats else states[0]
        before = (first_up, *states)
        flips_s = [utc - times[0] for i, utc in enumerate(times[:-1]) if states[i] != before[i]]
        return cls(first_up, tuple(flips_s), times[0], times[-1] - times[0] if repeats else math.inf)

    @property
    def flips_utc(self) -> tuple[float, ...]:
        """The flips (of one repetition, the one that begins at `start_utc`) in market time."""
        return tuple([self.start_utc + flip for flip in self.flips_s])

    def up(self, utc: float) -> bool:
        """Whether there is capacity at that time."""
        at_s = utc - self.start_utc
        if self.period_s != math.inf:
            at_s %= self.period_s
        return self.first_up if bisect_right(self.flips_s, at_s) % 2 == 0 else not self.first_up

    def since(self, utc: float) -> float:
        """The last flip at or before that time; `start_utc` where there is none."""
        at_s = utc - self.start_utc
        base_utc = self.start_utc
        if self.period_s != math.inf:
            base_utc = utc - at_s % self.period_s
            at_s = utc - base_utc
        index = bisect_right(self.flips_s, at_s)
        if index:
            return base_utc + self.flips_s[index - 1]
        if self.flips_s and self.period_s != math.inf:
            return base_utc - self.period_s + self.flips_s[-1]
        return self.start_utc

    def next_flip(self, utc: float) -> float:
        """The first flip after that time; inf where there is none."""
        at_s = utc - self.start_utc
        base_utc = self.start_utc
        if self.period_s != math.inf:
            base_utc = utc - at_s % self.period_s
            at_s = utc - base_utc
        index = bisect_right(self.flips_s, at_s)
        if index < len(self.flips_s):
            return base_utc + self.flips_s[index]
        if self.flips_s and self.period_s != math.inf:
            return base_utc + self.period_s + self.flips_s[0]
        return NEVER_AGAIN_UTC

    @property
    def mean_up_s(self) -> float | None:
        """How long capacity lasts on average, inf where it is never lost; None of a Trace that does not repeat: none was recorded."""
        if self.period_s == math.inf:
            return None
        if not self.flips_s:
            return math.inf if self.first_up else None
        edges_s = [0.0, *self.flips_s, self.period_s]
        spans_s = [end - begin for begin, end in itertools.pairwise(edges_s)]
        up_s = sum(spans_s[0 if self.first_up else 1 :: 2])
        return up_s / (len(self.flips_s) // 2)

    def shifted(self, by_s: float) -> Trace:
        """The same, so much later. Costs nothing, however long the Trace."""
        return replace(self, start_utc=on_grid(self.start_utc + by_s))

    def starting_at(self, utc: float, *, offset_s: float = 0.0, fraction: float = 0.0) -> Trace:
        """The same, so that `utc` is `offset_s`, or that fraction of its length, into it. Only a Trace that repeats has a length."""
        if fraction and self.period_s == math.inf:
            raise ValueError("a fraction of an endless trace is nowhere: give offset_s")
        into_s = offset_s + (fraction * self.period_s if fraction else 0.0)
        return replace(self, start_utc=on_grid(utc - into_s))

    def spans(self, from_utc: float, to_utc: float) -> Iterator[tuple[float, float, bool]]:
        """(begin, end, up), in order and without gaps, between those times."""
        begin_utc = from_utc
        while begin_utc < to_utc:
            end_utc = min(self.next_flip(begin_utc), to_utc)
            yield begin_utc, end_utc, self.up(begin_utc)
            begin_utc = end_utc


ALWAYS = Trace(first_up=True)
NEVER = Trace(first_up=False)


def parse_trace(text: str, name: str, start_utc: float = 0.0, need: int | None = None) -> Trace:
    """A recorded Trace from JSON text. After its end it begins again. JobFileError, naming the file `name` and the field, if it is none.

    With `need`, ticks may be counts of instances: capacity is there where there are so many. Other formats: `market.formats`.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise JobFileError(name, "", _short(text), f"this is not JSON ({error})", f"{FORMAT}.") from None
    if not isinstance(document, dict):
        raise _wrong(name, "", document, "this is not an object")
    metadata = document.get("metadata")
    gap_s = metadata.get("gap_seconds") if isinstance(metadata, dict) else None
    if isinstance(gap_s, bool) or not isinstance(gap_s, (int, float)) or not (0.001 <= gap_s <= 1e9):
        raise _wrong(name, "metadata.gap_seconds", gap_s, "expected the seconds from one tick to the next")
    return Trace.from_ticks(_ticks(document.get("data"), name, need), float(gap_s), start_utc)


def _ticks(data: Any, name: str, need: int | None) -> list[bool]:
    if not isinstance(data, list) or not data:
        raise _wrong(name, "data", data, "expected a list with one 0 or 1 for each tick")
    for index, tick in enumerate(data):
        if not isinstance(tick, (int, float)) or (tick not in (0, 1) if need is None else not 0 <= tick < math.inf):
            wanted = "0 (no capacity) or 1 (capacity)" if need is None else "how many instances there were"
            raise _wrong(name, f"data[{index}]", tick, f"expected {wanted}")
    return [tick >= (need or 1) for tick in data]


def _wrong(name: str, field: str, value: object, expected: str) -> JobFileError:
    shown = value if value is None or isinstance(value, (int, float)) else _short(value)
    return JobFileError(name, field, shown, expected, f"{FORMAT}.")


def _short(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
