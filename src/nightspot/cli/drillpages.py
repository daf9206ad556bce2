"""The files that `nightspot drill` leaves for people: a page, and a picture where one is asked for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Optional

import typer

from nightspot.cli.shell import Shell
from nightspot.drill import proof
from nightspot.drill.record import Report
from nightspot.report.drillhtml import page
from nightspot.report.drillpicture import INSTALL, picture

FORMS = (".svg", ".png", ".pdf")
HtmlOption = Annotated[
    Optional[Path],
    typer.Option(metavar="FILE", help="Where the page goes. Default: beside the result, in nightspot's home."),
]
PictureOption = Annotated[
    Optional[Path],
    typer.Option(metavar="FILE", help="Write the picture of the losses, too: .svg, .png or .pdf."),
]


@dataclass(frozen=True, slots=True)
class Pages:
    """Where they go. html: None for the place beside the result. picture: None for none."""

    html: Optional[Path]
    picture: Optional[Path]


def checked(html: Optional[Path], picture: Optional[Path]) -> Pages:
    """Both can be written, as far as can be told before. Raises typer.BadParameter."""
    for path, name in ((html, "--html"), (picture, "--picture")):
        if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise typer.BadParameter(f"{path} is no file in a folder that is there", param_hint=name)
    if picture is not None and picture.suffix.lower() not in FORMS:
        raise typer.BadParameter(f"{picture}: expected a name that ends in {', '.join(FORMS)}", param_hint="--picture")
    return Pages(html, picture)


def write_pages(shell: Shell, report: Report, pages: Pages) -> None:
    """Trouble with the disk is said, and changes no verdict."""
    html = pages.html or proof.file_of(shell.home.path, report.job).with_suffix(".html")
    try:
        _write(html, page(report).encode())
        shell.say(f"page: {html}")
        if pages.picture is not None:
            _draw(shell, report, pages.picture)
    except OSError as error:
        shell.say(f"{error.filename or html} could not be written: {error.strerror}")


def _draw(shell: Shell, report: Report, path: Path) -> None:
    drawn = picture(report, path.suffix.lower().lstrip("."))
    if drawn is None:
        shell.say(f"no picture: no losses were seen, or matplotlib is missing ({INSTALL})")
        return
    _write(path, drawn)
    shell.say(f"picture: {path}")


def _write(path: Path, content: bytes) -> None:
    """Whole, or as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
