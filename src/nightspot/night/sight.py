"""What a Pool was when it was last seen, where only a request can see it: facts from the state alone.

A request in a queue says that there is no capacity; one that was granted, that there is, until it is taken or let go.
"""

from __future__ import annotations

from typing import Iterator, NamedTuple

from nightspot.model.attempt import Attempt, AttemptOutcome, Phase
from nightspot.model.capacity import Sight
from nightspot.model.state import RunState

# Shorter than that, nothing is missed of what a Pool does.
NO_GAP_S = 900.0
# A request that was granted so soon has met capacity, not waited for it.
AT_ONCE_S = 60.0


class Seen(NamedTuple):
    """It was so from when it was first seen so, without a break, until then."""

    since_utc: float
    until_utc: float
    sight: Sight


def last_seen(state: RunState, pool_id: str, now_utc: float) -> Seen | None:
    """The last of what is known of that Pool; None where nothing ever was."""
    found = [seen for a in state.attempts if a.pool_id == pool_id for seen in _of(a, now_utc)]
    offer = state.offers.get(pool_id)
    if offer is not None and offer.last is not Sight.UNKNOWN:
        found.append(Seen(offer.last_since_utc, offer.last_utc, offer.last))
    last: Seen | None = None
    for seen in sorted(found):
        last = _joined(last, seen)
    return last


def _joined(before: Seen | None, seen: Seen) -> Seen:
    """What looks the same after a gap no longer than it had lasted is taken to have lasted through it: the older, the longer it stays.

    A quarter of an hour is no gap for anything: of new capacity, three of four last that long.
    """
    if before is None or before.sight is not seen.sight:
        return seen
    if seen.since_utc - before.until_utc > max(NO_GAP_S, before.until_utc - before.since_utc):
        return seen
    return Seen(before.since_utc, max(before.until_utc, seen.until_utc), seen.sight)


def _of(attempt: Attempt, now_utc: float) -> Iterator[Seen]:
    """What one Attempt showed: its latest wait, its latest hold, and how that ended."""
    queued_utc, granted_utc = attempt.queued_utc, attempt.granted_utc
    ended_utc, outcome = attempt.ended_utc, attempt.outcome
    if queued_utc is None and granted_utc is None:
        if outcome is AttemptOutcome.NO_CAPACITY and ended_utc is not None:
            yield Seen(ended_utc, ended_utc, Sight.DOWN)
        return
    until_utc = _until_utc(attempt, now_utc)
    waits = queued_utc is not None and (granted_utc is None or granted_utc < queued_utc)
    at_once = not waits and granted_utc is not None and granted_utc - (queued_utc or granted_utc) < AT_ONCE_S
    if queued_utc is not None and not at_once:
        yield Seen(
            queued_utc, _after(queued_utc, until_utc if waits or granted_utc is None else granted_utc), Sight.DOWN
        )
    if granted_utc is not None:
        yield Seen(
            granted_utc, _after(granted_utc, queued_utc if waits and queued_utc is not None else until_utc), Sight.UP
        )
    if outcome is AttemptOutcome.INTERRUPTED and not waits and ended_utc is not None:
        yield Seen(ended_utc, ended_utc, Sight.DOWN)


def _after(since_utc: float, until_utc: float) -> float:
    return max(since_utc, until_utc)


def _until_utc(attempt: Attempt, now_utc: float) -> float:
    """Until when it showed anything: a request that was told to leave its queue may have left, what is out of sight shows nothing."""
    if attempt.stopped_in_queue and attempt.stop_utc is not None:
        return attempt.stop_utc
    if attempt.phase is Phase.UNKNOWN or attempt.outcome is AttemptOutcome.LOST:
        return attempt.phase_utc if attempt.ended_utc is None else (attempt.granted_utc or attempt.queued_utc or 0.0)
    return attempt.ended_utc if attempt.ended_utc is not None else now_utc
