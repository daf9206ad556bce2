"""When an Attempt ends, and why: taken by the market, stopped by us, or at its limit. Arithmetic on market time only."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from nightspot.process.spec import AttemptSpec

# Compressed or not, a process gets so many real seconds to save.
GRACE_REAL_S = 2.0


@dataclass(frozen=True, slots=True)
class Ending:
    """One way to end. `notice_utc` is inf where the kill comes without one."""

    reason: str
    notice_utc: float
    kill_utc: float


def grace_s(spec: AttemptSpec) -> float:
    """From our own notice to the kill, in market seconds."""
    return max(spec.grace_s, GRACE_REAL_S * spec.time_scale)


@dataclass(slots=True)
class Endings:
    """All ways it may end. `given`: those whose notice is past, in that order; the first one's reason counts, whoever kills later."""

    ways: list[Ending]
    given: list[Ending] = field(default_factory=list)

    @classmethod
    def of(cls, spec: AttemptSpec) -> Endings:
        """The market's, and its own limit."""
        notice_utc = spec.taken_utc - spec.notice_s if spec.notice_s > 0 else math.inf
        taken = Ending("interruption", notice_utc, spec.taken_utc)
        return cls([taken, Ending("limit", spec.not_after_utc - grace_s(spec), spec.not_after_utc)])

    def stop(self, now_utc: float, grace_s: float) -> None:
        """We want it to end. Said again, nothing changes."""
        if all(way.reason != "stop" for way in self.ways):
            self.ways.append(Ending("stop", now_utc, now_utc + grace_s))

    def notice(self, now_utc: float) -> Ending | None:
        """The notice to be given now, once: the first, or one that kills earlier than was said."""
        new = sorted([w for w in self.ways if w.notice_utc <= now_utc and w not in self.given], key=_kill_utc)
        sooner = [w for w in new if all(w.kill_utc < before.kill_utc for before in self.given)]
        self.given.extend(new)
        return sooner[0] if sooner else None

    def killer(self, now_utc: float) -> Ending | None:
        """Whose time to kill has come; None while nobody's has."""
        return min((w for w in self.ways if w.kill_utc <= now_utc), key=_kill_utc, default=None)

    def next_utc(self, now_utc: float) -> float:
        """When something of this is due next; inf for never."""
        times = [t for way in self.ways for t in (way.notice_utc, way.kill_utc)]
        return min([t for t in times if t > now_utc], default=math.inf)


def _kill_utc(way: Ending) -> float:
    return way.kill_utc
