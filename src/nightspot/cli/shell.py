"""What every command has: the home folder, and where to print. Made once, from the options before the command."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from rich.console import Console, RenderableType

from nightspot.cli.home import Home
from nightspot.report.document import as_json

# How wide a table is where nobody says how wide the paper is.
WIDTH = 120


@dataclass(frozen=True, slots=True)
class Shell:
    """Facts go to `out`, all that is said beside them to `err`."""

    home: Home
    out: Console
    err: Console

    @classmethod
    def of(cls, home: Path | None) -> Shell:
        """For this process."""
        return cls(Home.of(home), _console(sys.stdout), _console(sys.stderr))

    def print(self, *what: RenderableType) -> None:
        """For people."""
        self.out.print(*what)

    def print_json(self, value: Any) -> None:
        """For programs: exactly one JSON value."""
        self.out.file.write(as_json(value) + "\n")
        self.out.file.flush()

    def say(self, sentence: str) -> None:
        """Beside the facts."""
        self.err.print(sentence, markup=False, soft_wrap=True)


def shell_of(context: typer.Context) -> Shell:
    """The one that the options before the command made."""
    shell = context.find_object(Shell)
    if shell is None:
        raise RuntimeError("a command was called without its shell")
    return shell


def _console(stream: Any) -> Console:
    width = None if stream.isatty() else int(os.environ.get("COLUMNS") or shutil.get_terminal_size((WIDTH, 25)).columns)
    return Console(file=stream, width=width, highlight=False)
