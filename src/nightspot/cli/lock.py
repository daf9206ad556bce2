"""A Run's lock file: it decides which controller tries. Who may act is decided by the Journal's compare-and-append."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import Iterator

from nightspot.cli.home import Home
from nightspot.errors import ExitCode, NightspotError

# A probe (`status`) holds the lock for an instant: whoever is refused by it tries again.
PATIENCE_S = 0.5
PAUSE_S = 0.02


class OtherControllerError(NightspotError):
    """Another controller is at work on this Run."""

    exit_code = ExitCode.OTHER_CONTROLLER


@contextmanager
def controlling(home: Home, run_id: str, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Be the controller of that Run. OtherControllerError, with its pid, where somebody is; the kernel frees it if we die."""
    descriptor = _take(home, run_id, patience_s)
    if descriptor is None:
        pid = controller_pid(home, run_id)
        raise OtherControllerError(
            f"another controller (pid {pid or 'unknown'}) is at work on {run_id}. "
            f"{home.command(f'status {run_id}')} shows it, {home.command(f'stop {run_id}')} ends the run"
        )
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def controller_pid(home: Home, run_id: str) -> int | None:
    """The controller at work on that Run; 0 where there is one that has not said who it is; None where there is none."""
    try:
        descriptor = os.open(home.lock_file(run_id), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(descriptor, 20, 0).strip()
        return int(text) if text.isdigit() else 0
    else:
        return None
    finally:
        os.close(descriptor)


def _take(home: Home, run_id: str, patience_s: float) -> int | None:
    try:
        descriptor = os.open(home.lock_file(run_id), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise home.unusable(error) from error
    until_s = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until_s:
                os.close(descriptor)
                return None
            time.sleep(PAUSE_S)
        else:
            return descriptor
