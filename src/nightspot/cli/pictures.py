"""Files that a command leaves for people: checked before it works, written whole after it has."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

import typer

from nightspot.cli.shell import Shell
from nightspot.report.figure import INSTALL

FORMS = (".svg", ".png", ".pdf")


def writable(path: Optional[Path], name: str) -> Optional[Path]:
    """A file can be written there, as far as can be told before. Raises typer.BadParameter."""
    if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise typer.BadParameter(f"{path} is no file in a folder that is there", param_hint=name)
    return path


def drawable(path: Optional[Path], name: str = "--picture") -> Optional[Path]:
    """The same, and its name ends as a picture's does."""
    if path is not None and path.suffix.lower() not in FORMS:
        raise typer.BadParameter(f"{path}: expected a name that ends in {', '.join(FORMS)}", param_hint=name)
    return writable(path, name)


def form_of(path: Path) -> str:
    """svg, png or pdf."""
    return path.suffix.lower().lstrip(".")


def keep_picture(shell: Shell, drawn: bytes | None, path: Path) -> None:
    """Write it and say so; or say why there is none. Trouble with the disk is said, too."""
    if drawn is None:
        shell.say(f"no picture: matplotlib is missing ({INSTALL})")
        return
    try:
        write_whole(path, drawn)
        shell.say(f"picture: {path}")
    except OSError as error:
        shell.say(f"{error.filename or path} could not be written: {error.strerror}")


def write_whole(path: Path, content: bytes) -> None:
    """Whole, or as it was. OSError where that cannot be done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
