"""How soon an interruption is to be expected: as the controller knows it, else as Spot capacity of that age usually is."""

from __future__ import annotations

from dataclasses import dataclass

HOUR_S = 3600.0
# Fitted, pooled, on public traces of AWS Spot pools; the same law as `market.hazard`, which a training image does not have.
SHAPE, SCALE_S = 0.9, 0.4 * HOUR_S


@dataclass(frozen=True, slots=True)
class Hazard:
    """The rate of interruptions, all of it in this process's own clock.

    every_s: the mean time between two, inf for never; None where nobody knows. time_scale: market seconds in a second.
    """

    every_s: float | None = None
    time_scale: float = 1.0

    def mean_s(self, age_s: float) -> float:
        """The mean time to the next interruption if the rate stayed what it is at that age; inf for never.

        Where nobody knows, the rate is shape / (age + scale): capacity that has lasted for eight hours is lost twenty times less
        often than what is new. A process knows how long it has run itself, which is never longer than its capacity has been
        there: it saves rather too often.
        """
        if self.every_s is not None:
            return self.every_s
        return (age_s * self.time_scale + SCALE_S) / SHAPE / self.time_scale

    @property
    def source(self) -> str:
        """Where the figure comes from, in words."""
        return "usual for Spot capacity of this age" if self.every_s is None else "as the controller knows this pool"
