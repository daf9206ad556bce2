"""Memory that a snapshot is copied into, reused from save to save, and shared with the writer process."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Callable

from nightspot.checkpoint.pieces import aligned

POPULATE_WRITE = 23  # MADV_POPULATE_WRITE, Linux 5.14
CHUNK_BYTES = 64 << 20
SPARE = 16  # a sixteenth of it stays free, so that a state that grows a little needs no new one


class Arena:
    """A mapping of zeros. descriptor: of the memory file behind it, None for memory of this process alone."""

    def __init__(self, size_bytes: int, descriptor: int | None) -> None:
        self.size_bytes, self.descriptor = size_bytes, descriptor
        self.memory = mmap.mmap(-1 if descriptor is None else descriptor, size_bytes)
        self.unpin: Callable[[], object] | None = None  # how to let go of a lock on the memory, if somebody has one

    @classmethod
    def shared(cls, wanted_bytes: int) -> Arena:
        """At least so large, for two processes. Raises OSError or AttributeError where the system has none."""
        size_bytes = aligned(wanted_bytes + wanted_bytes // SPARE + 1, 1 << 20)
        descriptor = os.memfd_create("nightspot-checkpoint", os.MFD_CLOEXEC)
        try:
            os.ftruncate(descriptor, size_bytes)
            made = cls(size_bytes, descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        # Forked loader workers have no use for it, and would keep it alive.
        made.memory.madvise(mmap.MADV_DONTFORK)
        return made

    @classmethod
    def private(cls, wanted_bytes: int) -> Arena:
        """At least so large, for this process alone."""
        return cls(aligned(max(wanted_bytes, 1), mmap.PAGESIZE), None)

    def populate(self) -> None:
        """Map every page now, so that the first copy need not. Slow; may run in a thread: it holds no lock of python's.

        Where the kernel cannot, the first copy is slower, nothing else.
        """
        libc = ctypes.CDLL(None, use_errno=True)
        madvise = libc.madvise
        madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        for offset in range(0, self.size_bytes, CHUNK_BYTES):
            if madvise(start + offset, min(CHUNK_BYTES, self.size_bytes - offset), POPULATE_WRITE) != 0:
                return

    def close(self) -> None:
        """Let go. The memory itself goes with the last view of it."""
        if self.unpin is not None:
            self.unpin()
            self.unpin = None
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


def allocate(descriptor: int, size_bytes: int) -> None:
    """Give a memory file all its pages. Slow: 0.25 s a GB. Raises OSError where there is not so much memory."""
    for offset in range(0, size_bytes, CHUNK_BYTES):
        os.posix_fallocate(descriptor, offset, min(CHUNK_BYTES, size_bytes - offset))
