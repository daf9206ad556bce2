"""One file of a checkpoint -> memory, by as many threads as come: blocks are read in any order, and hashed in theirs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from errno import EIO
from pathlib import Path
from threading import Lock
from typing import IO, Optional

from nightspot.checkpoint import _hashing
from nightspot.checkpoint.errors import DamagedError
from nightspot.checkpoint.layout import Span
from nightspot.checkpoint.manifest import File, open_plain

BLOCK_BYTES = 1 << 20  # stays in the cache between being read and being hashed: half the CPU time of 8 MiB
MOST_BUFFERS = 512  # in one call; the system's own limit is 1024

Segment = tuple[int, memoryview]  # where it begins in the file, and what it fills


class Spare:
    """Memory for bytes that are hashed and not kept, used again and again: new memory costs more than reading into it."""

    def __init__(self) -> None:
        self._free: list[memoryview] = []
        self._blocks: dict[int, memoryview] = {}  # all of them by `id`, kept alive so that none is given twice

    def take(self, size_bytes: int) -> memoryview:
        """Some of it; small gaps between tensors have their own."""
        if size_bytes < BLOCK_BYTES:
            return memoryview(bytearray(size_bytes))
        with suppress(IndexError):
            return self._free.pop()
        memory = memoryview(bytearray(size_bytes))
        self._blocks[id(memory)] = memory
        return memory

    def give_back(self, memory: memoryview) -> None:
        """Once it is hashed; what is not a block of ours is left alone."""
        if id(memory) in self._blocks:
            self._free.append(memory)


class Filling:
    """Fills the spans' memory from a file. What is hashed is that memory, not the file: it is what will be loaded.

    Spans must not overlap in the file. Raises UnverifiableError for an algorithm that this process cannot use.
    """

    def __init__(
        self, checkpoint: Path, file: File, algorithm: str, spans: Iterable[Span], spare: Optional[Spare] = None
    ) -> None:
        self._checkpoint, self._file = checkpoint, file
        self._spare = Spare() if spare is None else spare
        self._name = f"{checkpoint.name}: {file.name}"
        self._digest = _hashing.new(algorithm)
        self._batches = enumerate(_batches(_segments(spans, file.size_bytes, self._spare)))
        self._ready: dict[int, list[Segment]] = {}  # read, not yet hashed
        self._taking, self._hashing = Lock(), Lock()
        self._hashed = self._reading = 0
        self._taken_all = False
        self._opened: Optional[IO[bytes]] = None

    def turn(self) -> bool:
        """Read the next block, and hash what is there to be hashed, unless another thread does; False: none is left.

        Raises DamagedError, OSError.
        """
        taken = self._take()
        if taken is None:
            return False
        number, batch, descriptor = taken
        with self._explained():
            _fill(descriptor, batch, self._name)
        self._give_back()
        self._ready[number] = batch
        self._hash_ready()
        return True

    def check(self) -> None:
        """After the last turn of all threads. Raises DamagedError where a byte is not what was written."""
        if self._digest.hexdigest() != self._file.hash:
            raise DamagedError(f"{self._name} does not have the hash it was written with")

    def close(self) -> None:
        """No thread is within a turn any more."""
        if self._opened is not None:
            self._opened.close()
        self._opened, self._taken_all = None, True

    def _take(self) -> Optional[tuple[int, list[Segment], int]]:
        with self._taking:
            if self._taken_all:
                return None
            if self._opened is None:  # late: there may be more files than a process may have open
                self._opened = self._open()
            numbered = next(self._batches, None)
            if numbered is None:
                self._taken_all = True
                self._close_if_idle()
                return None
            self._reading += 1
            return (*numbered, self._opened.fileno())

    def _give_back(self) -> None:
        with self._taking:
            self._reading -= 1
            self._close_if_idle()

    def _close_if_idle(self) -> None:
        if self._taken_all and not self._reading:
            self.close()

    def _open(self) -> IO[bytes]:
        with self._explained():
            opened = open_plain(self._checkpoint / self._file.name)
        try:
            check_size(self._checkpoint, self._file, os.fstat(opened.fileno()).st_size)
        except DamagedError:
            opened.close()
            raise
        return opened

    def _hash_ready(self) -> None:
        """Looks again after letting go: a thread that found us hashing has left its block to us."""
        while self._hashed in self._ready and self._hashing.acquire(blocking=False):
            try:
                while (batch := self._ready.pop(self._hashed, None)) is not None:
                    for _, memory in batch:
                        self._digest.update(memory)
                        self._spare.give_back(memory)
                    self._hashed += 1
            finally:
                self._hashing.release()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise DamagedError(f"{self._name} is missing") from error
        except OSError as error:
            if error.errno != EIO:
                raise
            raise DamagedError(f"{self._name} cannot be read: {error}") from error


def check_size(checkpoint: Path, file: File, size_bytes: int) -> None:
    """Raises DamagedError where a file has another size than was written."""
    if size_bytes != file.size_bytes:
        raise DamagedError(f"{checkpoint.name}: {file.name} has {size_bytes} bytes, not {file.size_bytes}")


def _segments(spans: Iterable[Span], size_bytes: int, spare: Spare) -> Iterator[Segment]:
    """The whole file in its order: the spans' memory, and spare memory for what nobody wants. In blocks."""
    at = 0
    for span in [*sorted(spans, key=lambda span: span.offset_bytes), Span("", size_bytes, memoryview(b""))]:
        for start in range(at, span.offset_bytes, BLOCK_BYTES):
            yield start, spare.take(min(BLOCK_BYTES, span.offset_bytes - start))
        for start in range(0, len(span.memory), BLOCK_BYTES):
            yield span.offset_bytes + start, span.memory[start : start + BLOCK_BYTES]
        at = span.offset_bytes + len(span.memory)


def _batches(segments: Iterable[Segment]) -> Iterator[list[Segment]]:
    """Neighbours that are read by one call: about a block."""
    batch: list[Segment] = []
    size_bytes = 0
    for segment in segments:
        if batch and (size_bytes + len(segment[1]) > BLOCK_BYTES or len(batch) == MOST_BUFFERS):
            yield batch
            batch, size_bytes = [], 0
        batch.append(segment)
        size_bytes += len(segment[1])
    if batch:
        yield batch


def _fill(descriptor: int, batch: Sequence[Segment], name: str) -> None:
    missing = sum(len(memory) for _, memory in batch)
    if os.preadv(descriptor, [memory for _, memory in batch], batch[0][0]) == missing:
        return
    for start, memory in batch:  # it came in part: now piece by piece
        done = 0
        while done < len(memory):
            read_bytes = os.preadv(descriptor, [memory[done:]], start + done)
            if read_bytes == 0:
                raise DamagedError(f"{name} became shorter while it was read")
            done += read_bytes
