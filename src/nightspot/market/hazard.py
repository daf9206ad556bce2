"""How likely capacity is to change: a rate that falls with the age of its present state.

rate(age) = shape / (age + scale), so survival(age) = (scale / (age + scale)) ** shape: a Lomax (Pareto II) law. Exponential runs are wrong:
on recorded Spot traces the rate falls by a factor of thirty within half a day, in both directions.
"""

from __future__ import annotations

from dataclasses import dataclass

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Hazard:
    """The rate at which a state ends. The defaults were fitted, pooled, on public traces of AWS Spot pools.

    `shape` has no unit, `scale_h` is in hours: at age 0 the rate is shape / scale_h per hour (2.25 by default).
    """

    shape: float = 0.9
    scale_h: float = 0.4

    def __post_init__(self) -> None:
        if not (0.0 < self.shape < float("inf") and 0.0 < self.scale_h < float("inf")):
            raise ValueError(f"a hazard needs a positive, finite shape and scale, not {self!r}")

    def per_hour(self, age_s: float) -> float:
        """Changes per hour at that age."""
        return self.shape / (age_s / HOUR_S + self.scale_h)

    def survival(self, age_s: float) -> float:
        """Probability that a state lasts at least that long."""
        return float((self.scale_h / (age_s / HOUR_S + self.scale_h)) ** self.shape)

    def age_s(self, survival: float) -> float:
        """The age that a share `survival` (0 < survival <= 1) of all states reaches: the inverse of `survival`."""
        try:
            return float(self.scale_h * (survival ** (-1.0 / self.shape) - 1.0) * HOUR_S)
        except (OverflowError, ZeroDivisionError):
            return float("inf")
