"""A bucket -> the local folder: the newest checkpoint that is whole, verified as it comes, committed by a rename as ever."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nightspot.checkpoint import _hashing, bucket_look, manifest
from nightspot.checkpoint.bucket_objects import Bucket
from nightspot.checkpoint.errors import DamagedError
from nightspot.checkpoint.manifest import MANIFEST, File, Manifest
from nightspot.checkpoint.store_errors import AbsentError
from nightspot.checkpoint.store_patience import Patience

THREADS = 8
CHUNK_BYTES = 16 << 20
READ_BYTES = 1 << 20


@dataclass(slots=True)
class Fetcher:
    """Fetches checkpoints of one bucket into `folder`.

    check: raises ConfigError for a checkpoint that this training must not go on from, before it is fetched. staging: where
    to write, on the same file system as `folder`; None: `folder` itself.
    """

    bucket: Bucket
    folder: Path
    ask: Patience
    warn: Callable[[str], None]
    check: Callable[[Manifest], None] = lambda _found: None
    staging: Path | None = None
    threads: int = THREADS

    def newest(self, above: int) -> Manifest | None:
        """The newest one that is whole and has a number higher than `above`, now in the folder; None: there is none.

        Damaged ones are passed over with a warning. Raises StoreError where the bucket does not answer: nobody knows then;
        ConfigError; OSError where it cannot be written here.
        """
        for name in bucket_look.names(self.bucket, self.ask):
            if manifest.number(name) <= above:
                break
            if (found := self._tried(name)) is not None:
                return found
        return None

    def _tried(self, name: str) -> Manifest | None:
        try:
            raw = bucket_look.raw(self.bucket, name, self.ask)
        except AbsentError:  # its upload never came to an end: it does not exist
            return None
        except DamagedError as error:
            self.warn(f"damaged checkpoint in {self.bucket.uri} skipped: {error}")
            return None
        try:
            found = manifest.parse(raw, name)
            self.check(found)
            self._fetch(found, raw)
        except (DamagedError, AbsentError) as error:
            self.warn(f"damaged checkpoint in {self.bucket.uri} skipped: {error}")
            return None
        return found

    def _fetch(self, found: Manifest, raw: bytes) -> None:
        self._refuse_full_disk(found)
        unfinished = (self.staging or self.folder) / f"{found.name}.tmp-{os.urandom(6).hex()}"
        unfinished.mkdir()
        try:
            with ThreadPoolExecutor(self.threads, "nightspot-download") as pool:
                self._receive(pool, found, unfinished)
            _write_whole(unfinished / MANIFEST, raw)
            _sync_folder(unfinished)
            self._commit(unfinished, found.name)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        _sync_folder(self.folder)

    def _refuse_full_disk(self, found: Manifest) -> None:
        free_bytes = shutil.disk_usage(self.folder).free
        if found.size_bytes > free_bytes:
            raise OSError(f"{self.folder}: {found.name} has {found.size_bytes} bytes, and {free_bytes} are free there")

    def _receive(self, pool: ThreadPoolExecutor, found: Manifest, into: Path) -> None:
        """All files, each by several requests at once."""
        stop = threading.Event()

        def fetch(receiving: _Receiving, start: int) -> None:
            if stop.is_set():
                return
            try:
                self._chunk(where, receiving, start)
            except BaseException:
                stop.set()  # the others need not go on: one wrong byte is enough
                raise

        where = bucket_look.folder(self.bucket, found, self.ask)
        with _closing(_Receiving(into / file.name, file, found) for file in found.files) as files:
            tasks = [pool.submit(fetch, one, start) for one in files for start in one.starts]
            try:
                for task in tasks:
                    task.result()
            finally:
                stop.set()
                for task in tasks:
                    task.cancel()
                pool.shutdown(wait=True)  # before the files are closed

    def _chunk(self, where: str, receiving: _Receiving, start: int) -> None:
        file = receiving.file
        key, count = f"{where}/{file.name}", min(CHUNK_BYTES, file.size_bytes - start)
        if not count:
            if self.ask(lambda: self.bucket.head(key)).size_bytes:
                raise DamagedError(f"{key} is not empty")
            receiving.done(start)
            return
        position = start
        for block in bucket_look.blocks(self.bucket, key, file.size_bytes, self.ask, start, count):
            receiving.write(block, position)
            position += len(block)
        receiving.done(start)

    def _commit(self, unfinished: Path, name: str) -> None:
        """By a rename. A damaged one of that name makes room."""
        target = self.folder / name
        if os.path.lexists(target):
            aside = (self.staging or self.folder) / f"{name}.tmp-{os.urandom(6).hex()}"
            target.rename(aside)
            shutil.rmtree(aside, ignore_errors=True)
        unfinished.rename(target)


class _Receiving:
    """One file, arriving in chunks in any order; hashed in order, from what was written.

    Open from its first chunk to its last: of a checkpoint with very many files only so many are open as threads receive.
    """

    def __init__(self, path: Path, file: File, found: Manifest) -> None:
        self.file, self._path, self._checkpoint = file, path, found.name
        self.starts = range(0, max(file.size_bytes, 1), CHUNK_BYTES)
        self._hash, self._hashed = _hashing.new(found.algorithm), 0
        self._descriptor: int | None = None
        self._arrived: set[int] = set()
        self._lock = threading.Lock()

    def write(self, block: bytes, position: int) -> None:
        """Any thread."""
        with self._lock:
            descriptor = self._opened()
        view = memoryview(block)
        while view:
            written = os.pwrite(descriptor, view, position)
            view, position = view[written:], position + written

    def done(self, start: int) -> None:
        """A chunk is there: hash on as far as there is no gap. After the last the file is on the disk.

        Raises DamagedError where it is not the file that the manifest names.
        """
        with self._lock:
            self._arrived.add(start)
            while self._hashed in self._arrived:
                self._arrived.remove(self._hashed)
                self._hash_chunk(self._opened(), min(self._hashed + CHUNK_BYTES, self.file.size_bytes))
            if self._hashed == self.file.size_bytes:
                self._finish(self._opened())

    def _opened(self) -> int:
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        return self._descriptor

    def _hash_chunk(self, descriptor: int, end: int) -> None:
        while self._hashed < end:
            block = os.pread(descriptor, min(READ_BYTES, end - self._hashed), self._hashed)
            self._hash.update(block)
            self._hashed += len(block)

    def _finish(self, descriptor: int) -> None:
        if self._hash.hexdigest() != self.file.hash:
            raise DamagedError(f"{self._checkpoint}: {self.file.name} does not have the hash it was written with")
        os.fsync(descriptor)
        self.close()

    def close(self) -> None:
        """Let go."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None


@contextmanager
def _closing(files: Iterable[_Receiving]) -> Iterator[list[_Receiving]]:
    every = list(files)
    try:
        yield every
    finally:
        for one in every:
            one.close()


def _write_whole(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
