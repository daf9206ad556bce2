"""On notice: whether one more save can still be finished before the kill. Pure: all it knows are arguments.

A save cut short leaves no checkpoint, and harms none: so one is tried wherever it may fit, and where nobody said when the
kill comes. (What sends SIGTERM alone mostly waits: 30 seconds in Kubernetes, torchrun and Slurm, 10 in Docker. None of it can
be seen from inside.) Only where not even the quickest save on record would fit, the time is better spent on what is in flight,
or on leaving in good order.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from nightspot.checkpoint.cost import quantile
from nightspot.checkpoint.schedule import short

LEAVING_S = 0.5  # a process needs some time to end, after its last checkpoint


class Action(str, Enum):
    """SAVE: finish what is in flight, then save once more. WAIT_FOR_FLIGHT: finish it, and leave. LEAVE: now."""

    SAVE = "save"
    WAIT_FOR_FLIGHT = "wait"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class Grace:
    """kill_in_s: real seconds between the notice and the kill, None where nobody said. passed_s: of these, so far."""

    kill_in_s: float | None
    passed_s: float = 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds until the kill; None where nobody said, or where it should have come by now, so that nothing said holds."""
        if self.kill_in_s is None or self.passed_s > self.kill_in_s:
            return None
        return self.kill_in_s - self.passed_s


@dataclass(frozen=True, slots=True)
class Standing:
    """How saving stands at the notice, in seconds.

    saves_s: how long past saves took until they were durable (in the bucket, where only that survives).
    durable: the newest durable checkpoint; unsaved_s: training since its snapshot.
    flying: the one in flight; flown_s: since its beginning. Both None where there is none.
    """

    saves_s: tuple[float, ...]
    durable: str | None
    unsaved_s: float
    flying: str | None = None
    flown_s: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do, and why, for the user."""

    action: Action
    why: str


def decide(grace: Grace, now: Standing) -> Verdict:
    """See Action. A flight that has to be waited for counts for both what is left of it and the save after it."""
    left_s = grace.left_s
    if left_s is None:
        return Verdict(Action.SAVE, "when the kill comes is not known: saving once more")
    if not now.saves_s:
        return Verdict(Action.SAVE, f"{short(left_s)} are left, and no save was measured yet: trying one")
    room_s = left_s - LEAVING_S
    longest_s, quickest_s = quantile(now.saves_s, 0.95), min(now.saves_s)
    facts = f"{short(left_s)} are left and a save takes {short(longest_s)}"
    if _after_flight_s(now, longest_s) <= room_s:
        return Verdict(Action.SAVE, f"{facts}: saving once more")
    if _after_flight_s(now, quickest_s) <= room_s:
        return Verdict(Action.SAVE, f"{facts}, the quickest {short(quickest_s)}: trying one")
    if now.flying is not None and now.flown_s is not None:
        late = "" if longest_s - now.flown_s <= room_s else ", if there is time for it"
        return Verdict(
            Action.WAIT_FOR_FLIGHT, f"{facts}: {now.flying}, {short(now.flown_s)} old, is finished instead{late}"
        )
    if now.durable is None:
        return Verdict(Action.SAVE, f"{facts}: trying all the same, for nothing is durable yet")
    return Verdict(Action.LEAVE, f"{facts}: {now.durable} is durable, {short(now.unsaved_s)} of work are lost")


def _after_flight_s(now: Standing, save_s: float) -> float:
    """Until a save that takes so long would be durable, if the one in flight takes as long."""
    flight_s = 0.0 if now.flown_s is None else max(0.0, save_s - now.flown_s)
    return flight_s + save_s
