"""The dead-man's stop: at a time that was fixed when the job was asked for, the script is told to end, and is ended.

SageMaker's own limit counts from the grant of the instances: a request that waited in a queue would run on for as long as it waited.
"""

from __future__ import annotations

import threading
import time
from typing import Callable

# A machine's clock may be set meanwhile: it is read again after so long (seconds).
LOOK_S = 10.0


class Limit:
    """Tells at `at_utc`, this machine's clock; kills `grace_s` later. Without a time it does nothing."""

    def __init__(
        self, at_utc: float | None, grace_s: float, tell: Callable[[], None], kill: Callable[[], None]
    ) -> None:
        """tell, kill: called in a thread of its own."""
        self._at_utc, self._grace_s = at_utc, grace_s
        self._tell, self._kill = tell, kill

    def begin(self) -> None:
        """From now on. A time that has passed is told before this returns: nothing begins that would have to end."""
        if self._at_utc is None:
            return
        if time.time() >= self._at_utc:
            self._tell()
        threading.Thread(target=self._run, args=(self._at_utc,), name="nightspot-limit", daemon=True).start()

    def _run(self, at_utc: float) -> None:
        while (left_s := at_utc - time.time()) > 0:
            time.sleep(min(left_s, LOOK_S))
        self._tell()
        time.sleep(self._grace_s)
        self._kill()
