"""Reads MovieLens files that the user already has: `ratings.csv` (newer sets) and `u.data` (100K)."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data import DataError, Interactions, from_rows, sha256_of_file

CSV_HEADER = "userId,movieId,rating,timestamp"
FILE_NAMES = ("ratings.csv", "u.data")
FIELDS = 4
LARGEST_INTEGER = 2**63 - 1


def load(path: Path) -> Interactions:
    """Every rating in `path` (a file, or a folder that holds one) as one interaction, however high it was."""
    file = _find(path)
    try:
        rows = list(_rows(file))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read as UTF-8 text ({error})") from error
    if not rows:
        raise DataError(f"{file}: expected ratings, found none")
    return from_rows(np.array(rows, dtype=np.int64), sha256_of_file(file))


def _find(path: Path) -> Path:
    candidates = [path / name for name in FILE_NAMES] if path.is_dir() else [path]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    expected = f"{' or '.join(FILE_NAMES)} in this folder" if path.is_dir() else "a file"
    raise DataError(f"{path}: expected {expected}, found none")


def _rows(file: Path) -> Iterator[tuple[int, int, int]]:
    """(user id, item id, seconds) of each line; the first line tells which of the two formats it is."""
    with file.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if number == 1:
                separator = _separator(file, line.rstrip("\n"))
            if line.strip() and line.rstrip("\n") != CSV_HEADER:
                yield _row(file, number, line.rstrip("\n"), separator)


def _separator(file: Path, first: str) -> str:
    if first == CSV_HEADER:
        return ","
    if "\t" in first:
        return "\t"
    raise DataError(_wrong(file, 1, f"the header {CSV_HEADER}, or four numbers separated by tabs", first))


def _row(file: Path, number: int, line: str, separator: str) -> tuple[int, int, int]:
    parts = line.split(separator)
    if len(parts) != FIELDS:
        raise DataError(_wrong(file, number, f"{FIELDS} fields separated by {separator!r}", line))
    if not _is_finite(parts[2]):
        raise DataError(_wrong(file, number, "a rating (a finite number)", parts[2]))
    return (
        _whole(file, number, "a user id", parts[0]),
        _whole(file, number, "an item id", parts[1]),
        _whole(file, number, "a timestamp in seconds", parts[3]),
    )


def _is_finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _whole(file: Path, number: int, what: str, text: str) -> int:
    """A number from 0 to the largest that int64 holds."""
    plain = text.strip()
    if not (plain.isascii() and plain.isdecimal() and int(plain) <= LARGEST_INTEGER):
        raise DataError(_wrong(file, number, f"{what} (a whole number from 0 to 2^63 - 1)", text))
    return int(plain)


def _wrong(file: Path, number: int, expected: str, found: str) -> str:
    return f"{file}, line {number}: expected {expected}, found {found[:80]!r}"
