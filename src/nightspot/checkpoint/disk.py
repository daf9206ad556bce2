"""Memory -> a file on disk, hashed on the way. Past the page cache where that goes: it costs training the least."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Generator, Iterable
from contextlib import closing, suppress
from pathlib import Path

from nightspot.checkpoint import _hashing
from nightspot.checkpoint.manifest import File
from nightspot.checkpoint.pieces import FILE_ALIGNMENT_BYTES

BLOCK_BYTES = 8 << 20
DIRECT_BYTES = 1 << 20  # smaller files go through the page cache


def write(path: Path, data: memoryview, algorithm: str, beat: Callable[[], None]) -> File:
    """A new file that holds `data`, on disk when this returns. beat: called after each block.

    Raises OSError (it exists, disk full, I/O error).
    """
    with data.cast("B") as flat, closing(_blocks(flat)) as blocks:
        return write_blocks(path, len(flat), blocks, algorithm, beat)


def write_blocks(
    path: Path, size_bytes: int, blocks: Iterable[memoryview], algorithm: str, beat: Callable[[], None]
) -> File:
    """The same of `size_bytes` that come one block after the other, each of BLOCK_BYTES but the last."""
    digest = _hashing.new(algorithm)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        target = _Target(descriptor, size_bytes)
        for number, block in enumerate(blocks):
            digest.update(block)
            target.write(block, number * BLOCK_BYTES)
            beat()
        os.fsync(descriptor)  # also after direct writes: the disk has a cache of its own, and the file a length
    finally:
        os.close(descriptor)
    return File(path.name, size_bytes, digest.hexdigest())


def publish(unfinished: Path, final: Path) -> None:
    """Give a folder that is on disk its name, for good.

    Raises OSError; it does not have that name then, as far as the disk still does what it is asked: what nobody knows to be
    durable must not stand among those that are, or retention would drop these in its favour.
    """
    unfinished.rename(final)
    try:
        sync_folder(final.parent)
    except OSError:
        with suppress(OSError):
            final.rename(unfinished)
        raise


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _blocks(data: memoryview) -> Generator[memoryview, None, None]:
    for start in range(0, len(data), BLOCK_BYTES):
        with data[start : start + BLOCK_BYTES] as block:
            yield block


class _Target:
    """An open file that is written directly as long as addresses, lengths and the file system allow it."""

    def __init__(self, descriptor: int, size_bytes: int) -> None:
        self._descriptor = descriptor
        self._flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        self._direct = size_bytes >= DIRECT_BYTES and self._set(self._flags | os.O_DIRECT)

    def write(self, block: memoryview, start: int) -> None:
        """All of `block` at `start`."""
        done = 0
        while done < len(block):
            if self._direct and (done or start) % FILE_ALIGNMENT_BYTES:
                self._buffered()
            direct_bytes = (len(block) - done) // FILE_ALIGNMENT_BYTES * FILE_ALIGNMENT_BYTES
            if self._direct and not direct_bytes:
                self._buffered()
            with block[done : done + direct_bytes if self._direct else len(block)] as rest:
                done += self._some(rest, start + done)

    def _some(self, data: memoryview, start: int) -> int:
        try:
            return os.pwrite(self._descriptor, data, start)
        except OSError as error:
            if not (self._direct and error.errno == 22):  # EINVAL: this file system wants another alignment
                raise
            self._buffered()
            return 0

    def _buffered(self) -> None:
        self._direct = False
        self._set(self._flags)

    def _set(self, flags: int) -> bool:
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_SETFL, flags)
        except OSError:
            return False
        return True
