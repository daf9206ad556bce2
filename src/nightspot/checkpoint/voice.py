"""What a session says: to the user's terminal or log, and, as lines of progress, to whoever watches."""

from __future__ import annotations

import sys

from nightspot.checkpoint.progress import Progress


class Voice:
    """Says it on stderr; warnings and reports go to `progress`, too."""

    def __init__(self, progress: Progress, who: str = "") -> None:
        """who: "rank 3", where there are several."""
        self.progress, self._prefix = progress, f"nightspot: {who}: " if who else "nightspot: "

    def say(self, message: str) -> None:
        """On stderr."""
        print(f"{self._prefix}{message}", file=sys.stderr, flush=True)  # noqa: T201 - the user's terminal or log

    def warn(self, message: str) -> None:
        """What the user should hear of, wherever he looks."""
        self.say(f"warning: {message}")
        self.progress.report("warning", message=message)

    def report(self, kind: str, **fields: object) -> None:
        """A line of progress."""
        self.progress.report(kind, **fields)
