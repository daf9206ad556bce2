"""The files that `nightspot drill` leaves for people: a page, and a picture where one is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Optional

import typer

from nightspot.cli.pictures import drawable, writable, write_whole
from nightspot.cli.shell import Shell
from nightspot.drill import proof
from nightspot.drill.record import Report
from nightspot.report.drillhtml import page
from nightspot.report.drillpicture import picture
from nightspot.report.figure import INSTALL

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
    writable(html, "--html")
    return Pages(html, drawable(picture))


def write_pages(shell: Shell, report: Report, pages: Pages) -> None:
    """Trouble with the disk is said, and changes no verdict."""
    html = pages.html or proof.file_of(shell.home.path, report.job).with_suffix(".html")
    try:
        write_whole(html, page(report).encode())
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
    write_whole(path, drawn)
    shell.say(f"picture: {path}")
