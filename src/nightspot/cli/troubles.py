"""What the loop does when a step fails in a way nobody foresaw: say so, keep the traceback, and go on from the Journal.

A controller that dies of a passing fault at three in the morning would break the promise that the guard keeps.
"""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from nightspot.errors import Fenced, JournalVersionError, NightspotError, UnknownBackendError

# A fault that is nightspot's own and comes back so often will not go away.
FAULTS_IN_A_ROW = 10
PAUSE_S = 1.0
PAUSE_LONGEST_S = 60.0
# Trying again would not help: another controller acts, or what is installed cannot play this night.
FINAL = (Fenced, JournalVersionError, UnknownBackendError)


@dataclass(slots=True)
class Troubles:
    """Counts failed steps in a row. `say` tells the user."""

    faults: Path
    say: Callable[[str], None]
    in_a_row: int = 0

    def over(self) -> None:
        """A step went well."""
        self.in_a_row = 0

    def happened(self, error: Exception, *, in_vain: bool) -> float:
        """How long to wait before the next try, in real seconds. Raises the error where there should be none, or it would be in vain."""
        self.in_a_row += 1
        ours = isinstance(error, NightspotError)
        if in_vain or isinstance(error, FINAL) or (not ours and self.in_a_row > FAULTS_IN_A_ROW):
            raise error
        kept = "" if ours else f"; {keep_traceback(self.faults, error)}"
        self.say(f"WARNING: a step failed ({describe(error)}){kept}; going on from the journal")
        return min(PAUSE_S * 2.0 ** min(self.in_a_row - 1, 10), PAUSE_LONGEST_S)


def describe(error: BaseException) -> str:
    """One line: our own errors say all there is to say, others their kind too."""
    words = " ".join(str(error).split())
    return words if isinstance(error, NightspotError) else f"{type(error).__name__}: {words}".removesuffix(": ")


def keep_traceback(folder: Path, error: BaseException) -> str:
    """Write the traceback to a file, and say where it is, or that it could not be kept."""
    path = folder / time.strftime("%Y%m%dT%H%M%S.txt", time.gmtime())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(traceback.format_exception(error)), "utf-8")
    except OSError as trouble:
        return f"its traceback could not be kept ({trouble.strerror})"
    return f"the traceback is in {path}"
