"""Where checkpoints are, seen from outside the training: a folder or a bucket, by one set of questions."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Iterator, Protocol
from urllib.parse import unquote, urlsplit

from nightspot.checkpoint import _hashing, bucket_look, manifest
from nightspot.checkpoint.bucket_objects import Bucket
from nightspot.checkpoint.errors import ConfigError, DamagedError
from nightspot.checkpoint.lock import FolderLock
from nightspot.checkpoint.manifest import MANIFEST, File, Manifest
from nightspot.checkpoint.store_errors import AbsentError as AbsentError
from nightspot.checkpoint.store_errors import DeniedError as DeniedError
from nightspot.checkpoint.store_errors import StoreError as StoreError
from nightspot.checkpoint.store_patience import SITTING_S as SITTING_S
from nightspot.checkpoint.store_patience import Patience
from nightspot.checkpoint.store_retention import Retention
from nightspot.checkpoint.store_retention import chosen as chosen

BLOCK_BYTES = 1 << 20
THREADS = 8
SITTING_TIMEOUTS_S = 3.0, 10.0  # to connect, and to hear, for somebody who sits there


class Place(Protocol):
    """A place for checkpoints. Methods raise StoreError (a bucket's) or OSError (a folder's) where it does not answer."""

    @property
    def uri(self) -> str:
        """As it is written: a path, or s3://bucket/prefix."""

    def names(self) -> list[str]:
        """Names of checkpoints, newest first; they may be damaged, in a bucket unfinished."""

    def manifest(self, name: str) -> Manifest:
        """Raises AbsentError: no such checkpoint. DamagedError, ConfigError (another format)."""

    def when_utc(self, name: str) -> float | None:
        """When its manifest was written, by the clock of the place; None: there is none."""

    def faults(self, found: Manifest) -> list[str]:
        """What is wrong with its files as far as can be seen without reading them."""

    def hash_faults(self, found: Manifest) -> list[str]:
        """The same from every byte. Raises UnverifiableError where the package of the hash is missing."""

    def read(self, found: Manifest, file: str, limit_bytes: int) -> bytes:
        """The beginning of one file. Raises AbsentError."""

    def drop(self, name: str) -> None:
        """Remove a checkpoint; it does not exist from the first moment on."""

    def alone(self) -> AbstractContextManager[None]:
        """While no training writes here, as far as that can be known. Raises FolderInUseError."""


def place(uri: str, waiting: Callable[[str], None] | None = None) -> Place:
    """uri: a path, file:// or s3://bucket/prefix. waiting: somebody sits there, and is told why a bucket does not answer.

    Raises ConfigError for another one, and where boto3 is missing.
    """
    scheme = urlsplit(uri).scheme if "://" in uri else ""
    if scheme == "s3":
        if waiting is None:
            return Remote(Bucket(uri))
        return Remote(Bucket(uri, timeouts_s=SITTING_TIMEOUTS_S), Patience.for_somebody(waiting))
    if scheme == "file":
        parts = urlsplit(uri)
        if parts.netloc not in ("", "localhost"):
            raise ConfigError(f"{uri}: expected file:///path, of this machine")
        return Folder(Path(unquote(parts.path)))
    if scheme or not uri:
        raise ConfigError(f"{uri!r}: expected a path, file:///path or s3://bucket/prefix")
    return Folder(Path(uri))


class Folder:
    """A folder of this machine; see Place."""

    def __init__(self, path: Path) -> None:
        self.path, self.uri = path, str(path)

    def names(self) -> list[str]:
        """See Place. Raises AbsentError where there is no such folder."""
        if not self.path.is_dir():
            raise AbsentError(f"{self.path}: there is no such folder")
        return manifest.names(self.path)

    def manifest(self, name: str) -> Manifest:
        """See Place."""
        if not (self.path / name).is_dir():
            raise AbsentError(f"{self.path} has no {name}")
        return manifest.read(self.path / name)

    def when_utc(self, name: str) -> float | None:
        """See Place."""
        try:
            return (self.path / name / MANIFEST).lstat().st_mtime
        except OSError:
            return None

    def faults(self, found: Manifest) -> list[str]:
        """See Place."""
        return [fault for file in found.files if (fault := self._size_fault(found.name, file)) is not None]

    def hash_faults(self, found: Manifest) -> list[str]:
        """See Place."""
        with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
            looked = pool.map(lambda file: self._fault(found, file), found.files)
            return [fault for fault in looked if fault is not None]

    def read(self, found: Manifest, file: str, limit_bytes: int) -> bytes:
        """See Place."""
        try:
            with (self.path / found.name / file).open("rb") as opened:
                return opened.read(limit_bytes)
        except FileNotFoundError as error:
            raise AbsentError(f"{found.name} has no {file}") from error

    def drop(self, name: str) -> None:
        """See Place."""
        leaving = self.path / f"{name}.tmp-{os.urandom(6).hex()}"
        (self.path / name).rename(leaving)
        shutil.rmtree(leaving)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """See Place."""
        lock = FolderLock(self.path)
        try:
            lock.acquire(patience_s=0.0)
            yield
        finally:
            lock.release()

    def _size_fault(self, name: str, file: File) -> str | None:
        try:
            status = (self.path / name / file.name).lstat()
        except FileNotFoundError:
            return f"{file.name} is missing"
        if not stat.S_ISREG(status.st_mode):
            return f"{file.name} is not a plain file"
        if status.st_size == file.size_bytes:
            return None
        return f"{file.name} has {status.st_size} bytes, not {file.size_bytes}"

    def _fault(self, found: Manifest, file: File) -> str | None:
        if (fault := self._size_fault(found.name, file)) is not None:
            return fault
        digest = _hashing.new(found.algorithm)
        with (self.path / found.name / file.name).open("rb", buffering=0) as opened:
            while block := opened.read(BLOCK_BYTES):
                digest.update(block)
        return None if digest.hexdigest() == file.hash else bucket_look.altered(file)


class Remote:
    """A bucket; see Place."""

    def __init__(self, bucket: Bucket, ask: Patience | None = None) -> None:
        self.bucket, self.uri = bucket, bucket.uri
        self._ask = ask or Patience.for_a_minute()

    def names(self) -> list[str]:
        """See Place."""
        return bucket_look.names(self.bucket, self._ask)

    def manifest(self, name: str) -> Manifest:
        """See Place."""
        return bucket_look.read(self.bucket, name, self._ask)

    def when_utc(self, name: str) -> float | None:
        """See Place."""
        try:
            return self._ask(lambda: self.bucket.head(f"{name}/{MANIFEST}")).changed_utc
        except AbsentError:
            return None

    def faults(self, found: Manifest) -> list[str]:
        """See Place."""
        return bucket_look.faults(self.bucket, found, self._ask)

    def hash_faults(self, found: Manifest) -> list[str]:
        """See Place."""
        return bucket_look.hash_faults(self.bucket, found, self._ask)

    def read(self, found: Manifest, file: str, limit_bytes: int) -> bytes:
        """See Place."""
        where = bucket_look.folder(self.bucket, found, self._ask)
        return self._ask(lambda: self.bucket.read(f"{where}/{file}", limit_bytes))[:limit_bytes]

    def drop(self, name: str) -> None:
        """See Place."""
        Retention(self.bucket, self._ask).drop(name)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """See Place: a bucket has no lock."""
        yield


__all__ = [
    "SITTING_S",
    "AbsentError",
    "DamagedError",
    "DeniedError",
    "Folder",
    "Place",
    "Remote",
    "StoreError",
    "chosen",
    "place",
]
