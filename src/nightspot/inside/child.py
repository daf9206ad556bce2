"""The script's process: in a group of its own, and never without us."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Callable, Mapping, Sequence

PR_SET_PDEATHSIG = 1
# What the script left running may still have to print, a `tee` for one.
LEFTOVERS_S, LOOK_S = 2.0, 0.02


class Child:
    """The leader of its own session and process group. Output and input are ours, untouched."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        """Start it. Raises OSError where that cannot be done."""
        self._process = subprocess.Popen(
            command, cwd=folder, env=dict(environment), start_new_session=True, preexec_fn=_dies_with_us()
        )

    def terminate(self) -> None:
        """SIGTERM to all of it."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to all of it."""
        self._signal(signal.SIGKILL)

    def wait(self) -> int:
        """Its exit code as a shell would have it: 128 + N for signal N. Returns when nothing of its group runs any more."""
        code = self._process.wait()
        give_up_s = time.monotonic() + LEFTOVERS_S
        while self._signal(0) and time.monotonic() < give_up_s:
            time.sleep(LOOK_S)
        self._signal(signal.SIGKILL)
        return code if code >= 0 else 128 - code

    def _signal(self, number: int) -> bool:
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True


def _dies_with_us() -> Callable[[], None]:
    """For the child, before it becomes the script: it is killed when this process dies, however that happens. Linux only."""
    libc, parent = _libc(), os.getpid()

    def prepare() -> None:
        if libc is not None:
            libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
            if os.getppid() != parent:  # we died before the line above
                os._exit(1)

    return prepare


def _libc() -> ctypes.CDLL | None:
    library = ctypes.CDLL(None)
    return library if hasattr(library, "prctl") else None
