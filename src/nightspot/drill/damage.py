"""What a bad disk does to the newest checkpoint: its end is gone, or one bit is another. Drawn by seed; times stay as they were."""

from __future__ import annotations

import os
import random
import zipfile
from dataclasses import dataclass
from pathlib import Path

from nightspot.checkpoint.manifest import MANIFEST


@dataclass(frozen=True, slots=True)
class Damage:
    """What was done: to which file, in words."""

    file: Path
    detail: str


def truncate(checkpoint: Path, draw: random.Random) -> Damage:
    """Take the end off one of its files. OSError where it cannot be written."""
    file = _file_of(checkpoint, draw)
    size_bytes = file.stat().st_size
    kept = min(size_bytes - 1, int(size_bytes * draw.uniform(0.3, 0.95)))
    stamps = file.stat()
    os.truncate(file, kept)
    os.utime(file, ns=(stamps.st_atime_ns, stamps.st_mtime_ns))
    return Damage(file, f"{file.name} was cut to {kept} of {size_bytes} bytes")


def flip(checkpoint: Path, draw: random.Random) -> Damage:
    """Turn one bit of its data over. OSError where it cannot be written."""
    file = _file_of(checkpoint, draw)
    first, length = _data_of(file)
    offset, bit = first + draw.randrange(length), draw.randrange(8)
    stamps = file.stat()
    with file.open("r+b") as stream:
        stream.seek(offset)
        byte = stream.read(1)[0]
        stream.seek(offset)
        stream.write(bytes([byte ^ 1 << bit]))
    os.utime(file, ns=(stamps.st_atime_ns, stamps.st_mtime_ns))
    return Damage(file, f"bit {bit} of byte {offset} of {file.name} was flipped")


def _file_of(checkpoint: Path, draw: random.Random) -> Path:
    """Big ones are hit more often, as on a real disk. ValueError where there is nothing to hit."""
    files = sorted(p for p in ([checkpoint] if checkpoint.is_file() else checkpoint.rglob("*")) if p.is_file())
    sizes = [file.stat().st_size for file in files if file.name != MANIFEST or len(files) == 1]
    targets = [file for file in files if file.name != MANIFEST or len(files) == 1]
    if not any(sizes):
        raise ValueError(f"{checkpoint.name} is empty")
    return draw.choices(targets, sizes)[0]


def _data_of(file: Path) -> tuple[int, int]:
    """(offset, length) of what matters in it: the biggest part of an archive, all of another file. Padding would be no damage."""
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            biggest = max(archive.infolist(), key=lambda info: info.compress_size, default=None)
        if biggest is not None and biggest.compress_size > 0:
            return _start_of(file, biggest), biggest.compress_size
    size_bytes = file.stat().st_size
    return 0, size_bytes


def _start_of(file: Path, info: zipfile.ZipInfo) -> int:
    """Where its bytes begin: behind a head of 30 bytes, its name, and an extra field whose length stands in that head."""
    with file.open("rb") as stream:
        stream.seek(info.header_offset)
        head = stream.read(30)
    return info.header_offset + 30 + int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
