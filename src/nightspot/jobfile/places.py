"""Paths of a job file: absolute, from a folder of its own."""

from __future__ import annotations

from pathlib import Path

from nightspot.errors import JobFileError


def absolute(text: str, base: Path, file: str, field: str) -> str:
    """Absolute, from that folder; addresses such as s3://bucket/key stay as they are. JobFileError for a home that nobody has."""
    if "://" in text:
        return text
    try:
        return str(base / Path(text).expanduser())
    except RuntimeError:
        raise JobFileError(file, field, text, "there is no such home folder", "Write the path out.") from None
