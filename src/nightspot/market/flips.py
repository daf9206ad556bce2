"""How often capacity flips, by the age of its present state: counted, and turned into rates.

Ages fall into buckets (`AGES_H`). What was watched is an Exposure: flips and hours, by state and bucket; Exposures of several Traces or
nights add up. A rate is the mean of a Gamma posterior, (flips + PRIOR_FLIPS) / (hours + PRIOR_FLIPS / prior rate): with nothing
watched it is the prior's, the two-constant law of `hazard`, and what is watched soon outweighs that.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import Iterable, Iterator

from nightspot.market.hazard import HOUR_S, Hazard
from nightspot.market.trace import Trace
from nightspot.model.capacity import Flips

# Upper ends of all buckets but the last, which has none.
AGES_H = (1 / 6, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
BUCKETS = len(AGES_H) + 1
# What the prior weighs, in flips, for each bucket.
PRIOR_FLIPS = 0.5
# Where a bucket without an end is taken to have its middle.
OLDEST_H = 32.0

Span = tuple[float, float, bool, bool]  # from age, to age (hours), up?, did it end in a flip?


def bucket(age_s: float) -> int:
    """The bucket of that age; an age on an edge is in the younger one."""
    return bisect_left(AGES_H, age_s / HOUR_S)


def edges_h() -> tuple[tuple[float, float], ...]:
    """(from, to) of each bucket, hours; the last ends at infinity."""
    ends = (0.0, *AGES_H, math.inf)
    return tuple(itertools.pairwise(ends))


@dataclass(frozen=True, slots=True)
class Exposure:
    """What was watched, by bucket: how long, and how often it flipped; of spans without capacity (`down_*`) and with (`up_*`)."""

    down_h: tuple[float, ...] = (0.0,) * BUCKETS
    down_flips: tuple[float, ...] = (0.0,) * BUCKETS
    up_h: tuple[float, ...] = (0.0,) * BUCKETS
    up_flips: tuple[float, ...] = (0.0,) * BUCKETS

    def __add__(self, other: Exposure) -> Exposure:
        """Both together."""
        return Exposure(
            _sum(self.down_h, other.down_h),
            _sum(self.down_flips, other.down_flips),
            _sum(self.up_h, other.up_h),
            _sum(self.up_flips, other.up_flips),
        )

    @property
    def hours(self) -> float:
        """All that was watched."""
        return sum(self.down_h) + sum(self.up_h)

    @property
    def flips(self) -> float:
        """How often it flipped in all."""
        return sum(self.down_flips) + sum(self.up_flips)


NOTHING_WATCHED = Exposure()


def _sum(a: tuple[float, ...], b: tuple[float, ...]) -> tuple[float, ...]:
    return tuple([x + y for x, y in zip(a, b, strict=True)])


def watched(spans: Iterable[Span]) -> Exposure:
    """Count spans. One that was under way when the watching began counts from the age it had then, if that is known."""
    hours = {True: [0.0] * BUCKETS, False: [0.0] * BUCKETS}
    flips = {True: [0.0] * BUCKETS, False: [0.0] * BUCKETS}
    for from_h, to_h, up, flipped in spans:
        for index, (begin_h, end_h) in enumerate(edges_h()):
            hours[up][index] += max(0.0, min(to_h, end_h) - max(from_h, begin_h))
        if flipped:
            flips[up][bucket(to_h * HOUR_S)] += 1.0
    return Exposure(tuple(hours[False]), tuple(flips[False]), tuple(hours[True]), tuple(flips[True]))


def watched_trace(trace: Trace, from_fraction: float = 0.0, to_fraction: float = 1.0) -> Exposure:
    """All of a recorded Trace, or a part of it. Its first span is left out (nobody knows its age), its last did not end.

    One that never flips is all there is, and is at least as old as it was watched: it counts from age 0.
    """
    return watched(_spans(trace, from_fraction, to_fraction))


def _spans(trace: Trace, from_fraction: float, to_fraction: float) -> Iterator[Span]:
    begin_utc = trace.start_utc + trace.period_s * from_fraction
    end_utc = trace.start_utc + trace.period_s * to_fraction
    spans = list(trace.spans(begin_utc, end_utc))
    for index, (since_utc, until_utc, up) in enumerate(spans):
        if index or len(spans) == 1:
            yield 0.0, (until_utc - since_utc) / HOUR_S, up, index + 1 < len(spans)


def prior() -> Flips:
    """With nothing known: rate(age) = 0.9 / (age_h + 0.4) an hour in both directions, at each bucket's middle."""
    law = Hazard()
    rates = tuple([_mean_rate(law, begin_h, min(end_h, OLDEST_H)) for begin_h, end_h in edges_h()])
    return Flips(rates, rates, "nothing was watched: the usual rates of Spot capacity")


def _mean_rate(law: Hazard, begin_h: float, end_h: float) -> float:
    """Flips per hour over a bucket: what the integral of the rate comes to, by the bucket's width."""
    return math.log(law.survival(begin_h * HOUR_S) / law.survival(end_h * HOUR_S)) / (end_h - begin_h)


def fitted(exposure: Exposure, source: str, before: Flips | None = None, weight: float = PRIOR_FLIPS) -> Flips:
    """Rates from what was watched, drawn towards `before` (the prior) as if `weight` flips had been watched at its rates."""
    usual = before if before is not None else prior()
    return Flips(
        _rates(exposure.down_flips, exposure.down_h, usual.recovery_per_hour, weight),
        _rates(exposure.up_flips, exposure.up_h, usual.loss_per_hour, weight),
        source,
    )


def _rates(
    flips: tuple[float, ...], hours: tuple[float, ...], usual: tuple[float, ...], weight: float
) -> tuple[float, ...]:
    return tuple([(n + weight) / (h + weight / rate) for n, h, rate in zip(flips, hours, usual, strict=True)])


def rate_per_hour(flips: Flips, age_s: float, *, up: bool) -> float:
    """The rate at which capacity of that state and age flips."""
    return (flips.loss_per_hour if up else flips.recovery_per_hour)[bucket(age_s)]


def survival(flips: Flips, age_s: float, *, up: bool) -> float:
    """Probability that a state lasts at least that long."""
    rates, age_h = (flips.loss_per_hour if up else flips.recovery_per_hour), age_s / HOUR_S
    hazard = sum(
        [rate * max(0.0, min(age_h, end) - begin) for rate, (begin, end) in zip(rates, edges_h(), strict=True)]
    )
    return math.exp(-hazard)


def remaining_s(flips: Flips, age_s: float, horizon_s: float, *, up: bool) -> float:
    """Expected seconds for which the present state still lasts, at most `horizon_s`: the integral of survival from now on."""
    rates, age_h, horizon_h = (
        (flips.loss_per_hour if up else flips.recovery_per_hour),
        age_s / HOUR_S,
        horizon_s / HOUR_S,
    )
    lasts_h, alive = 0.0, 1.0
    for rate, (begin_h, end_h) in zip(rates, edges_h(), strict=True):
        width_h = min(end_h, age_h + horizon_h) - max(begin_h, age_h)
        if width_h > 0.0:
            lasts_h += alive * -math.expm1(-rate * width_h) / rate
            alive *= math.exp(-rate * width_h)
    return lasts_h * HOUR_S
