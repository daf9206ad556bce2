"""The home folder: the Journal, the Attempts' folders, a folder and a lock for each Run.

journal.sqlite          everything that happened
attempts/TOKEN/         one Attempt: the backend's; output.log is what it printed
runs/RUN_ID/            the Run's own folder: checkpoints, unless the job file says otherwise
runs/RUN_ID.lock        held by its controller; says who tries, not who may: the Journal does
runs/RUN_ID.stop        the user asks its controller to stop
market.json             what `nightspot market fit` learned of Spot capacity
faults/                 tracebacks of faults in nightspot itself
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping

from nightspot.errors import ExitCode, NightspotError
from nightspot.night.journal import Journal, MemoryJournal
from nightspot.night.sqlite import SqliteJournal

EMULATED = "emulated"


class HomeError(NightspotError):
    """The home folder cannot be used."""

    exit_code = ExitCode.JOURNAL


@dataclass(frozen=True, slots=True)
class Home:
    """Where nightspot keeps what it must not forget."""

    path: Path

    @classmethod
    def of(cls, given: Path | None, environ: Mapping[str, str] = os.environ) -> Home:
        """As given, else $NIGHTSPOT_HOME, else under the user's state folder."""
        if given is not None:
            return cls(given.expanduser().absolute())
        if environ.get("NIGHTSPOT_HOME"):
            return cls(Path(environ["NIGHTSPOT_HOME"]).expanduser().absolute())
        state = environ.get("XDG_STATE_HOME")
        folder = Path(state) if state else Path("~/.local/state")
        return cls(folder.expanduser().absolute() / "nightspot")

    def command(self, words: str) -> str:
        """A command of nightspot as somebody has to type it, so that it finds this home."""
        usual = Home.of(None).path == self.path
        return f"`nightspot {words}`" if usual else f"`nightspot {words} --home {shlex.quote(str(self.path))}`"

    @property
    def emulated(self) -> bool:
        """Whether it is the home of emulated nights, which `nightspot run --emulate` finds in the one around it."""
        return self.path.name == EMULATED

    @property
    def journal_file(self) -> Path:
        """The Journal."""
        return self.path / "journal.sqlite"

    @property
    def market_file(self) -> Path:
        """What was learned of Spot capacity from recorded traces."""
        return self.path / "market.json"

    @property
    def attempts(self) -> Path:
        """The Attempts' folders."""
        return self.path / "attempts"

    @property
    def faults(self) -> Path:
        """Tracebacks of faults in nightspot itself."""
        return self.path / "faults"

    def run_folder(self, run_id: str) -> Path:
        """A Run's own folder."""
        return self.path / "runs" / run_id

    def lock_file(self, run_id: str) -> Path:
        """Who tries to be its controller."""
        return self.path / "runs" / f"{run_id}.lock"

    def stop_file(self, run_id: str) -> Path:
        """The user's wish that it stop."""
        return self.path / "runs" / f"{run_id}.stop"

    def make(self) -> None:
        """Make the folders. HomeError where that cannot be done: then nothing can be kept, and nothing is started."""
        for folder in (self.path, self.path / "runs", self.attempts):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise self.unusable(error) from error

    def unusable(self, error: OSError) -> HomeError:
        """Why it cannot be used, and what to do."""
        return HomeError(
            f"the home folder {self.path} cannot be used ({error.strerror or error}). "
            "Choose another: --home FOLDER, or $NIGHTSPOT_HOME. Nothing was started"
        )

    def open_journal(self) -> SqliteJournal:
        """The Journal, made where there is none."""
        self.make()
        return SqliteJournal(self.journal_file)

    def read_journal(self) -> Journal:
        """The Journal for a command that only reads: an empty one where there is none, and nothing is made."""
        try:
            there = self.journal_file.exists()
        except OSError as error:
            raise self.unusable(error) from error
        return SqliteJournal(self.journal_file) if there else MemoryJournal()
