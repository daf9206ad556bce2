"""The state folder: what lies where, and whose it is while an emulator is at work."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

from nightspot.emulator.errors import EmulatorError


@dataclass(frozen=True, slots=True)
class StateFolder:
    """Names in it are ours: nothing that a request says becomes part of a path."""

    path: Path

    @property
    def book(self) -> Path:
        """Jobs, transitions, tags, anchors."""
        return self.path / "emulator.sqlite"

    @property
    def objects(self) -> Path:
        """S3's objects."""
        return self.path / "s3"

    @property
    def scratch(self) -> Path:
        """The disks of the instances that are held; empty while no emulator is at work."""
        return self.path / "instances"

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Nobody else works in it meanwhile; the kernel ends that, however we end. EmulatorError where somebody does already."""
        descriptor = self._locked()
        try:
            # Of an emulator that was killed, disks may be left.
            shutil.rmtree(self.scratch, ignore_errors=True)
            self.scratch.mkdir(parents=True, exist_ok=True)
            yield
        finally:
            shutil.rmtree(self.scratch, ignore_errors=True)
            os.close(descriptor)

    def _locked(self) -> int:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise EmulatorError(f"the state folder {self.path} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise EmulatorError(
                f"another emulator is at work in {self.path}. Stop it, or choose another --state folder"
            ) from None
        return descriptor
