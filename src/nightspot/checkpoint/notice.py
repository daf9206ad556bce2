"""What the outside asks for: "you are about to end", by signal or file, and "save now", by file."""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from nightspot.checkpoint.grace import Grace

POLL_INTERVAL_S = 0.1  # at most ten looks a second: the path may lie on a slow disk


class Notice:
    """Whether this process was told that it is about to end. The signal handler only sets a flag, and lets `told` know."""

    def __init__(self, path: Path | None) -> None:
        self._path, self._watched = path, Watched(path)
        self._given = False
        self._previous: Any = None
        self._installed = False
        self.told: Callable[[], object] = lambda: None  # called by the signal's handler, in the main thread

    def install(self) -> None:
        """Listen for SIGTERM; outside the main thread python cannot, and only the file counts."""
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGTERM, self._on_signal)
            self._installed = True

    def remove(self) -> None:
        """Back to the handler of before. Not after a notice: the next SIGTERM would kill us while leaving."""
        if self._installed and not self._given:
            # None: a handler that python did not set, and cannot put back
            signal.signal(signal.SIGTERM, signal.SIG_DFL if self._previous is None else self._previous)
            self._installed = False

    def given(self) -> bool:
        """Cheap: a flag, and a look at the file a few times a second."""
        if not self._given and self._watched.stamp() is not None:
            self._given = True
        return self._given

    def heed(self) -> None:
        """Another rank was told: this one ends with it, and a signal that comes now is no news."""
        self._given = True

    def grace(self, now_utc: Callable[[], float] = time.time) -> Grace:
        """How long until the kill, as the notice file says it. A signal alone says nothing of it, nor does a file that makes no sense."""
        if self._path is None:
            return Grace(None)
        try:
            written_utc, said = self._path.stat().st_mtime, json.loads(self._path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return Grace(None)
        kill_in_s = said.get("kill_in_s") if isinstance(said, dict) else None
        if isinstance(kill_in_s, bool) or not isinstance(kill_in_s, (int, float)) or not 0 <= kill_in_s < math.inf:
            return Grace(None)
        return Grace(float(kill_in_s), max(0.0, now_utc() - written_utc))

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._given = True
        self.told()


class SaveRequest:
    """Whether somebody wants a checkpoint now: the file has come to exist, or was touched since."""

    def __init__(self, path: Path | None) -> None:
        self._watched = Watched(path)
        self._seen: object = None

    def wanted(self) -> bool:
        """True once for each touch."""
        stamp = self._watched.stamp()
        wanted = stamp is not None and stamp != self._seen
        self._seen = stamp or self._seen
        return wanted

    def look_again(self) -> None:
        """The next `wanted` looks at once."""
        self._watched.expire()


class Watched:
    """Looks at a path, at most once in POLL_INTERVAL_S."""

    def __init__(self, path: Path | None, now_s: Callable[[], float] = time.monotonic) -> None:
        self._path, self._now_s = path, now_s
        self._next_look_s = -1.0
        self._stamp: tuple[int, int] | None = None

    def stamp(self) -> tuple[int, int] | None:
        """Changes when the file is touched or replaced; None while it does not exist."""
        if self._path is not None and (now_s := self._now_s()) >= self._next_look_s:
            self._next_look_s = now_s + POLL_INTERVAL_S
            self._stamp = _stamp(self._path)
        return self._stamp

    def expire(self) -> None:
        """Look at once the next time."""
        self._next_look_s = -1.0


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino
