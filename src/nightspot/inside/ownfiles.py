"""An unmodified script's own files, as the bucket gave them back: torn ones are moved away before the script begins.

SageMaker copies a file while it is being written; the script would start from half of it, and fail.
"""

from __future__ import annotations

import os
import re
import shutil
import zipfile
from pathlib import Path
from typing import Callable

ARCHIVE = b"PK\x03\x04"
MARK = ".sagemaker-uploading"


def quarantine_torn(folder: Path, pattern: str, most: float, to: Path, warn: Callable[[str], None]) -> None:
    """Move files away, the highest number first, until one is whole. Numbers above `most` count something else than units.

    pattern: a shell pattern of file names. to: a folder that is not copied to the bucket. warn: told of each file. Never raises OSError.
    """
    for file in _newest_first(folder, pattern, most):
        if whole(file):
            return
        try:
            to.mkdir(parents=True, exist_ok=True)
            shutil.move(file, to / f"{len(os.listdir(to))}-{file.name}")  # noqa: PTH208 - names are all it takes
            warn(f"{file.name} is torn: moved out of the checkpoint folder before the start")
        except OSError as error:
            warn(f"{file.name} is torn, and cannot be moved out of the checkpoint folder: {error}")


def whole(path: Path) -> bool:
    """Whether an archive, as torch saves them, has its end and all its directory names. Of another file: that it is not empty.

    What was fetched is part of a file from its beginning, so its checksums need not be counted: that would take long.
    """
    try:
        with path.open("rb") as file:
            head = file.read(len(ARCHIVE))
        if not head or not ARCHIVE.startswith(head):
            return bool(head)
        with zipfile.ZipFile(path) as archive:
            return min((member.header_offset for member in archive.infolist()), default=-1) == 0
    except (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile):
        return False


def _newest_first(folder: Path, pattern: str, most: float) -> list[Path]:
    names, found = _numbering(pattern), []
    for place, _, files in os.walk(folder):
        for name in files:
            match = names.fullmatch(name)
            numbers = [float(n) for group in match.groups() for n in re.findall(r"[0-9]+", group)] if match else []
            counted = [n for n in numbers if n <= most]
            path = Path(place) / name
            if counted and not name.endswith(MARK) and path.is_file() and not path.is_symlink():
                found.append((max(counted), path))
    return [path for _, path in sorted(found, reverse=True)]


def _numbering(pattern: str) -> re.Pattern[str]:
    """As the controller reads it: the groups hold what the wildcards stand for."""
    pieces = re.split(r"((?:[*?]|\[[^]]+\])+)", pattern)
    return re.compile("".join(f"({_wild(p)})" if i % 2 else re.escape(p) for i, p in enumerate(pieces)), re.DOTALL)


def _wild(piece: str) -> str:
    tokens = re.findall(r"[*?]|\[[^]]+\]", piece)
    return "".join({"*": ".*", "?": "."}.get(token, token.replace("[!", "[^")) for token in tokens)
