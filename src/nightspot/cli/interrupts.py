"""Ctrl-C and SIGTERM during a night: ask what becomes of the Attempt, or do as the flag says. The night goes on while we ask."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from enum import Enum
from types import FrameType
from typing import Callable, Iterator

QUESTION = "Ctrl-C: [s]top the attempt and end the run, [l]eave it running, or [g]o on? A letter, then Enter (Ctrl-C again: leave) "
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class OnInterrupt(str, Enum):
    """What an interrupted `run` does."""

    ASK = "ask"
    STOP = "stop"
    LEAVE = "leave"


class LeaveNow(BaseException):
    """The second Ctrl-C: whatever is going on here, the Attempt is left alone. No Exception: nothing may swallow it."""


class Interrupts:
    """Hears the signals. `wake` ends the loop's sleep; `read` waits for a line of the user's."""

    def __init__(self, choice: OnInterrupt, wake: Callable[[], None], read: Callable[[], str] | None = None) -> None:
        self.choice, self._wake = choice, wake
        self._read = read if read is not None else _line
        self._answer: OnInterrupt | None = None
        self.heard = False
        self.asking = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hear the signals until the end of the block; but for those that somebody wants ignored (nohup, a shell's background job)."""
        wanted = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._hear) for number in wanted}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        if self.heard and number == signal.SIGINT:
            raise LeaveNow
        if number == signal.SIGINT or self.choice is not OnInterrupt.ASK:
            self.heard = True
        else:  # nobody sits at a terminal that hangs up, or behind a kill
            self.heard, self._answer = True, OnInterrupt.LEAVE
        self._wake()

    def verdict(self) -> OnInterrupt | None:
        """STOP or LEAVE once that is known; ASK once, when the question is to be shown; None where there is nothing to do."""
        if not self.heard:
            return None
        if self.choice is not OnInterrupt.ASK:
            return self.choice
        if self._answer is None and not self.asking:
            self.asking = True
            threading.Thread(target=self._listen, daemon=True).start()
            return OnInterrupt.ASK
        answer, self._answer = self._answer, None
        return answer

    def _listen(self) -> None:
        """Wait for an answer. Nobody there to give one: leave."""
        answers = {"s": OnInterrupt.STOP, "l": OnInterrupt.LEAVE, "": OnInterrupt.LEAVE}
        word = self._read().strip().lower()[:1]
        self.asking = False
        if word in answers:
            self._answer = answers[word]
        else:
            self.heard = False
        self._wake()


def _line() -> str:
    try:
        return sys.stdin.readline()
    except (OSError, ValueError):
        return ""
