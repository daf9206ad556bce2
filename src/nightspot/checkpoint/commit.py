"""Blobs -> a folder that is either wholly there after a power cut, or not there.

Files are hashed as they are written and flushed to disk, then the manifest, then the folder; a rename makes
it exist, and flushing the parent makes the rename last. Only after that may anybody be told.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import IO, cast

from nightspot.checkpoint import _hashing
from nightspot.checkpoint.capture import Blob
from nightspot.checkpoint.manifest import MANIFEST, File, Head, Manifest, next_name

BUFFER_BYTES = 1 << 20


def commit(folder: Path, blobs: Iterable[Blob], head: Head, staging: Path | None = None) -> Manifest:
    """Write a new checkpoint; when this returns it is durable.

    staging: where it is written, on the same file system; None: in `folder` itself.
    Raises OSError (disk full, I/O error); what was written until then is removed.
    """
    name = next_name(folder)
    unfinished = (staging or folder) / f"{name}.tmp-{os.urandom(6).hex()}"
    unfinished.mkdir()
    try:
        manifest = _write_all(unfinished, name, blobs, head)
        unfinished.rename(folder / name)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    sync_folder(folder)
    return manifest


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(folder: Path, name: str, blobs: Iterable[Blob], head: Head) -> Manifest:
    algorithm = _hashing.preferred()
    files = tuple(_write(folder, blob, algorithm) for blob in blobs)
    manifest = Manifest(name, head, algorithm, files)
    content = manifest.to_bytes()
    _write(folder, Blob(MANIFEST, lambda file: file.write(content)), algorithm)
    sync_folder(folder)
    return manifest


def _write(folder: Path, blob: Blob, algorithm: str) -> File:
    with (folder / blob.name).open("xb", buffering=BUFFER_BYTES) as file:
        hashed = _HashedFile(file, algorithm)
        try:
            blob.write(cast("IO[bytes]", hashed))
        except Exception as error:
            # torch hides the disk's error behind one of its own.
            raise hashed.error or error from error
        file.flush()
        os.fsync(file.fileno())
    return File(blob.name, hashed.size_bytes, hashed.hexdigest())


class _HashedFile:
    """Writes on, counting and hashing; keeps the OSError that a library above may swallow."""

    def __init__(self, file: IO[bytes], algorithm: str) -> None:
        self._file, self._hash = file, _hashing.new(algorithm)
        self.size_bytes = 0
        self.error: OSError | None = None
        self.hexdigest = self._hash.hexdigest

    def write(self, data: bytes | memoryview) -> int:
        view = memoryview(data).cast("B")
        self._hash.update(view)
        self.size_bytes += len(view)
        try:
            return self._file.write(view)
        except OSError as error:
            self.error = self.error or error
            raise

    def flush(self) -> None:
        self._file.flush()
