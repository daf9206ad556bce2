"""Ending everything a test has started, however the test ended."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from nightspot.process.files import read_json
from nightspot.process.folder import AttemptFolder
from nightspot.process.loss import identity_in, remains
from nightspot.process.tree import kill_until_none


def end_everything_in(home: Path) -> None:
    attempts = home / "attempts"
    for path in attempts.iterdir() if attempts.is_dir() else []:
        end(AttemptFolder(path))


def end(folder: AttemptFolder) -> None:
    """The supervisor first: it shall not write what the test did not ask for."""
    supervisor = identity_in(read_json(folder.supervisor))
    if supervisor is not None:
        supervisor.send(signal.SIGKILL)
    assert kill_until_none(lambda: remains(folder) - {os.getpid()}, lambda: None, 5.0)
