"""An Attempt's folder: the one place where controller, supervisor and training process meet.

spec.json        what to run; written once, before anything starts
lock             held by the supervisor for its whole life
supervisor.json  its identity: the Attempt has begun, and will not begin again
child.json       identity of the training process, leader of its own session
given-up         the Attempt never began, and never will
news.jsonl       what happened, in order, with market times; only ever appended to
state.json       units done, and that the supervisor is well; written over and over
exit.json        how it ended; written once, last, when nothing of the Attempt runs any more
progress.jsonl, notice.json, save-request    see docs/training-protocol.md
stop, go         words of the controller
output.log       what the training process prints
ml/              what a script written for SageMaker finds as /opt/ml
"""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


@dataclass(frozen=True, slots=True)
class AttemptFolder:
    """The paths, and the lock."""

    path: Path

    def __post_init__(self) -> None:
        if not TOKEN.fullmatch(self.path.name):
            raise ValueError(f"{self.path.name!r} is no token: letters, digits, dots, dashes, at most 200")

    @property
    def token(self) -> str:
        """The Attempt's token: the folder's name."""
        return self.path.name

    @property
    def spec(self) -> Path:
        """What to run."""
        return self.path / "spec.json"

    @property
    def supervisor(self) -> Path:
        """Once it is there, the Attempt has begun."""
        return self.path / "supervisor.json"

    @property
    def child(self) -> Path:
        """Who trains."""
        return self.path / "child.json"

    @property
    def given_up(self) -> Path:
        """Once it is there, the Attempt will never begin."""
        return self.path / "given-up"

    @property
    def news(self) -> Path:
        """What happened."""
        return self.path / "news.jsonl"

    @property
    def state(self) -> Path:
        """How it stands."""
        return self.path / "state.json"

    @property
    def exit(self) -> Path:
        """How it ended."""
        return self.path / "exit.json"

    @property
    def progress(self) -> Path:
        """What the training process says."""
        return self.path / "progress.jsonl"

    @property
    def notice(self) -> Path:
        """Tells the training process that it is about to end."""
        return self.path / "notice.json"

    @property
    def save_request(self) -> Path:
        """Asks the training process for a Checkpoint."""
        return self.path / "save-request"

    @property
    def output(self) -> Path:
        """What the training process prints."""
        return self.path / "output.log"

    @property
    def log(self) -> Path:
        """What the supervisor prints: nothing, unless it has a fault."""
        return self.path / "supervisor.log"

    @property
    def machine_learning(self) -> Path:
        """What stands at /opt/ml on SageMaker."""
        return self.path / "ml"

    def word(self, word: str) -> Path:
        """The file that stands for a word of the controller."""
        return self.path / word

    def make(self) -> bool:
        """Make it, for us alone. False where it exists."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.path.mkdir(mode=0o700)
        except FileExistsError:
            return False
        return True

    def try_lock(self) -> int | None:
        """The lock, as a file descriptor to close; None where somebody holds it. The kernel frees it when its holder dies.

        OSError where there is no such folder.
        """
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Hold the lock, if it is free: says whether it was."""
        descriptor = self.try_lock()
        try:
            yield descriptor is not None
        finally:
            if descriptor is not None:
                os.close(descriptor)
