"""Memory of another process, read block by block into a buffer of our own. Standard library only.

process_vm_readv copies once, and asks for the right to trace the other process. A descriptor of /proc/self/mem that the
other process opened itself needs no right, and copies twice. What changes while it is read may come torn.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterator

from nightspot.checkpoint.ahead.base import BaseFile
from nightspot.checkpoint.disk import BLOCK_BYTES


class _Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]


class Memory:
    """Of the process `pid`. descriptor: of its /proc/self/mem, opened by itself for reading; it is closed with this object."""

    def __init__(self, pid: int, descriptor: int) -> None:
        self._pid, self._descriptor = pid, descriptor
        self._buffer = mmap.mmap(-1, BLOCK_BYTES)
        self._start = ctypes.addressof(ctypes.c_char.from_buffer(self._buffer))
        libc = ctypes.CDLL(None, use_errno=True)
        self._readv = getattr(libc, "process_vm_readv", None)
        if self._readv is not None:
            number, vectors = ctypes.c_ulong, ctypes.POINTER(_Iovec)
            self._readv.argtypes = [ctypes.c_int, vectors, number, vectors, number, number]
            self._readv.restype = ctypes.c_ssize_t

    def blocks(self, file: BaseFile) -> Iterator[memoryview]:
        """The content of a file to be, with zeros between stretches; each block is valid until the next one.

        Raises OSError where the memory cannot be read: the process is gone.
        """
        view = memoryview(self._buffer)
        for start in range(0, file.size_bytes, BLOCK_BYTES):
            end = min(start + BLOCK_BYTES, file.size_bytes)
            filled = start
            for stretch in file.stretches:
                first, last = max(start, stretch.offset_bytes), min(end, stretch.offset_bytes + stretch.size_bytes)
                if first >= last:
                    continue
                view[filled - start : first - start] = bytes(first - filled)
                self._read(stretch.address + first - stretch.offset_bytes, first - start, last - first)
                filled = last
            view[filled - start : end - start] = bytes(end - filled)
            yield view[: end - start]

    def close(self) -> None:
        """Let go."""
        os.close(self._descriptor)

    def _read(self, address: int, at: int, size_bytes: int) -> None:
        done = 0
        while done < size_bytes:
            count = self._some(address + done, at + done, size_bytes - done)
            if count <= 0:
                raise OSError(f"{size_bytes} bytes of memory of process {self._pid} could not be read")
            done += count

    def _some(self, address: int, at: int, size_bytes: int) -> int:
        if self._readv is not None:
            here, there = _Iovec(self._start + at, size_bytes), _Iovec(address, size_bytes)
            count = self._readv(self._pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
            if count > 0:
                return int(count)
            self._readv = None  # forbidden here, most likely
        return os.preadv(self._descriptor, [memoryview(self._buffer)[at : at + size_bytes]], address)
