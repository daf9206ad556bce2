"""JSON lines to the drill: one write each, appended, so that nothing of one is lost when the process is killed at the next."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from typing import Any, Mapping, Optional

MOST_KEPT = 500  # lines that a child process keeps until it is known to train


class Lines:
    """The file that the drill reads.

    Ranks other than 0 say nothing. Child processes of multiprocessing (a loader's workers, most often) keep their lines to themselves
    until they make an optimizer step, as a training started by `torch.multiprocessing.spawn` does.
    """

    def __init__(self, path: str, environment: Mapping[str, str]) -> None:
        self.path = path
        self.pid = os.getpid()
        self.mute = environment.get("RANK", "0") not in ("", "0")
        self.kept: Optional[list[dict[str, Any]]] = [] if _is_child() else None

    def say(self, kind: str, **fields: Any) -> None:
        """Append one line."""
        self._after_fork()
        if self.mute:
            return
        line = {"kind": kind, **fields}
        if self.kept is None:
            self._write([line])
        elif kind == "step":
            kept, self.kept = self.kept, None
            self._write([*kept, line])
        elif len(self.kept) < MOST_KEPT:
            self.kept.append(line)

    def _after_fork(self) -> None:
        if self.pid != os.getpid():
            self.pid, self.kept = os.getpid(), []

    def _write(self, lines: list[dict[str, Any]]) -> None:
        """Opened each time: a training may close every descriptor it did not open itself."""
        text = "".join(json.dumps(line) + "\n" for line in lines)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)


def _is_child() -> bool:
    """Whether multiprocessing started this process, by any of its ways."""
    started = getattr(sys, "orig_argv", [])
    asked = any("--multiprocessing-fork" in word or "multiprocessing.forkserver" in word for word in started)
    return asked or multiprocessing.parent_process() is not None
