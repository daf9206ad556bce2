"""Asking again, later and later, with jitter, while a bucket is busy; and bounded bandwidth."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from nightspot.checkpoint.store_errors import AbsentError, BusyError, DeniedError, StoppedError, StoreError, TakenError

FIRST_S, LONGEST_S, DENIED_S = 0.05, 30.0, 30.0
SITTING_S = 15.0
LAG_TRIES = 4  # tries of one request in vain, about a second: more than one of a bucket's bad moments

Answer = TypeVar("Answer")


@dataclass(slots=True)
class Patience:
    """Repeats a request until it is answered.

    stop: given up once it is set. lags: told of a request that failed `lag_tries` times in a row. give_up_s: on the monotonic
    clock, when BusyError is passed on; within_s: once one request has failed for so long; None: never. denied_too: also
    repeats what is not allowed: somebody may mend it.
    """

    stop: threading.Event = field(default_factory=threading.Event)
    lags: Callable[[str], None] = lambda _reason: None
    give_up_s: float | None = None
    denied_too: bool = False
    longest_s: float = LONGEST_S
    within_s: float | None = None
    lag_tries: int = LAG_TRIES

    @classmethod
    def for_a_minute(cls) -> Patience:
        """For something that does not go on for ever."""
        return cls(within_s=60.0, longest_s=5.0)

    @classmethod
    def for_somebody(cls, lags: Callable[[str], None]) -> Patience:
        """For somebody who sits there and waits, and hears at once why."""
        return cls(lags=lags, within_s=SITTING_S, longest_s=2.0, lag_tries=1)

    def __call__(self, ask: Callable[[], Answer]) -> Answer:
        """The answer. Raises AbsentError, TakenError, StoreError and, see above, DeniedError and BusyError; StoppedError."""
        tries, began_s = 0, time.monotonic()
        while True:
            if self.stop.is_set():
                raise StoppedError("the upload was given up")
            try:
                return ask()
            except (AbsentError, TakenError):
                raise
            except StoreError as error:
                tries += 1
                self._wait(error, tries, began_s)

    def _wait(self, error: StoreError, tries: int, began_s: float) -> None:
        busy = isinstance(error, BusyError)
        if not busy and not (self.denied_too and isinstance(error, DeniedError)):
            raise error
        over_s = min(
            math.inf if self.give_up_s is None else self.give_up_s,
            math.inf if self.within_s is None else began_s + self.within_s,
        )
        if time.monotonic() >= over_s:
            raise error
        if not busy or tries >= self.lag_tries:
            self.lags(str(error))
        self.stop.wait(pause_s(tries, self.longest_s) if busy else min(DENIED_S, self.longest_s))


def pause_s(tries: int, longest_s: float = LONGEST_S) -> float:
    """Seconds until the next try: doubled each time, and anything between half of it and all, so that many do not come at once."""
    whole_s = min(FIRST_S * 2.0 ** min(tries, 20), longest_s)
    return whole_s * random.uniform(0.5, 1.0)  # noqa: S311 - not a secret


class Throttle:
    """Lets through so many bytes a second, over all threads; None: any number."""

    def __init__(self, bytes_per_s: float | None) -> None:
        self._bytes_per_s = bytes_per_s
        self._lock = threading.Lock()
        self._free_s = 0.0  # on the monotonic clock: when all that was let through will have been sent

    def wait(self, size_bytes: int, stop: threading.Event) -> None:
        """Return when so many more bytes may be sent, or when `stop` is set."""
        if self._bytes_per_s is None:
            return
        with self._lock:
            now_s = time.monotonic()
            begin_s = max(self._free_s, now_s)
            self._free_s = begin_s + size_bytes / self._bytes_per_s
        stop.wait(begin_s - now_s)
