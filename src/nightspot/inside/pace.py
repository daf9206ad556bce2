"""How often the bucket is asked and told, in real seconds; and how patiently after trouble."""

from __future__ import annotations

import time
from dataclasses import dataclass

LOOK_S, REPORT_S, TROUBLE_S = 3.0, 15.0, 60.0
LOOK_LEAST_S, REPORT_LEAST_S, TROUBLE_LEAST_S = 0.25, 0.5, 2.0


@dataclass(frozen=True, slots=True)
class Pace:
    """look_s: between two looks at the control objects. report_s: between two reports. trouble_s: the longest wait after trouble."""

    look_s: float
    report_s: float
    trouble_s: float


def pace(time_scale: float) -> Pace:
    """As fast as market time passes, within reason."""
    return Pace(
        max(LOOK_LEAST_S, LOOK_S / time_scale),
        max(REPORT_LEAST_S, REPORT_S / time_scale),
        max(TROUBLE_LEAST_S, TROUBLE_S / time_scale),
    )


class Turn:
    """When something may be done next: `every_s` after it went well, ever later after trouble."""

    def __init__(self, every_s: float, trouble_s: float) -> None:
        self._every_s, self._trouble_s = every_s, trouble_s
        self._next_s, self._wait_s = 0.0, every_s

    def due(self) -> bool:
        """Whether it is time."""
        return time.monotonic() >= self._next_s

    @property
    def troubled(self) -> bool:
        """Whether it went wrong the last time."""
        return self._wait_s > self._every_s

    def well(self) -> None:
        """It went well."""
        self._wait_s = self._every_s
        self._next_s = time.monotonic() + self._every_s

    def badly(self) -> None:
        """It did not."""
        self._wait_s = min(2 * self._wait_s, max(self._trouble_s, 2 * self._every_s))
        self._next_s = time.monotonic() + self._wait_s
