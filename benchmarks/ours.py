"""Our own ways to save, behind the calls of peers.Way. Used by saves.py and overhead.py."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from unittest import mock

from nightspot.checkpoint import Session, manifest
from state import Training

NEVER_S = 1e9


class Background:
    """A Session as most will use it; asked for each save as nightspot asks: by touching a file."""

    name = "ours"
    options: dict[str, object] = {}  # noqa: RUF012 - of Session, beside the folder

    def __init__(self, training: Training, folder: Path) -> None:
        self.training, self.folder = training, folder / type(self).__name__
        self.request = folder / f"{type(self).__name__}.request"
        self._before: list[str] = []
        with mock.patch.dict(os.environ, {"NIGHTSPOT_SAVE_REQUEST": str(self.request)}):
            self.session = Session(training.states, folder=self.folder, interval_s=NEVER_S, **self.options)  # type: ignore[arg-type]
            self.session.__enter__()
        self.session.restore()

    def ask(self) -> None:
        """Touch the file; a session looks at it ten times a second, and that wait is not ours to measure."""
        self._before = manifest.names(self.folder)
        self.request.touch()
        time.sleep(0.11)

    def boundary(self) -> None:
        """A step of the session."""
        self.session.step(float(self.training.steps["done"]))

    def committed(self) -> bool:
        """A checkpoint is there that was not there before."""
        return bool(set(manifest.names(self.folder)) - set(self._before))

    def close(self) -> None:
        """End the session, and its writer."""
        self.session.__exit__(None, None, None)
        shutil.rmtree(self.folder, ignore_errors=True)


class CopyAhead(Background):
    """Tables are written while training goes on; it stops for the rows touched since, and for all that is no table."""

    name = "ours, copy-ahead"
    options: dict[str, object] = {"copy_ahead": True}  # noqa: RUF012 - as above


OURS: tuple[type[Background], ...] = (Background, CopyAhead)
