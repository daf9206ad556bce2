"""One committed checkpoint -> a bucket. Files first, the manifest last and only if nobody else's is there.

A checkpoint of the bucket exists once its manifest does, and its files are under keys that name their content. Each file is
hashed once more as it is read, so that what has gone bad on this disk since the commit is not sent as good; each body carries
a checksum that the bucket checks; and before the manifest every file is asked for by name. What an earlier try has sent
already is kept if it is proven to be the same bytes.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from nightspot.checkpoint import _hashing, manifest
from nightspot.checkpoint.bucket_look import HASH, own_folder
from nightspot.checkpoint.bucket_objects import Bucket, Part, crc32
from nightspot.checkpoint.errors import DamagedError
from nightspot.checkpoint.manifest import MANIFEST, File, Manifest
from nightspot.checkpoint.store_errors import AbsentError, BusyError, TakenError
from nightspot.checkpoint.store_patience import Patience, Throttle
from nightspot.checkpoint.store_probe import Abilities

THREADS = 6
PART_BYTES = 16 << 20
# S3's least size of a part that is not the last: with bounded bandwidth each part is one burst.
SMALLEST_PART_BYTES = 5 << 20
MOST_PARTS = 10_000


@dataclass(frozen=True, slots=True)
class Source:
    """A committed checkpoint with all its files open: it can be read to its end, whoever drops it meanwhile."""

    manifest: Manifest
    raw: bytes
    files: Mapping[str, int]

    @property
    def folder(self) -> str:
        """Where its files go, below the prefix."""
        return own_folder(self.manifest)


@contextmanager
def opened(folder: Path, name: str) -> Iterator[Source]:
    """Raises DamagedError, OSError; FileNotFoundError where it was dropped already."""
    with ExitStack() as stack:
        raw = (folder / name / MANIFEST).read_bytes()
        found = manifest.parse(raw, name)
        files: dict[str, int] = {}
        for file in found.files:
            files[file.name] = os.open(folder / name / file.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            stack.callback(os.close, files[file.name])
            status = os.fstat(files[file.name])
            if not stat.S_ISREG(status.st_mode) or status.st_size != file.size_bytes:
                raise DamagedError(f"{name}: {file.name} has {status.st_size} bytes, not {file.size_bytes}")
        yield Source(found, raw, files)


def part_bytes(size_bytes: int, *, limited: bool) -> int:
    """How large the parts of a file are: the same for every try, so that parts of an earlier one can be kept."""
    usual = SMALLEST_PART_BYTES if limited else PART_BYTES
    least = -(-size_bytes // MOST_PARTS)
    return max(usual, -(-least // (1 << 20)) << 20)


@dataclass(slots=True)
class Sender:
    """Sends checkpoints to one bucket. bytes_per_s: bound of the bandwidth, None: none. stop: gives up soon after it is set."""

    bucket: Bucket
    abilities: Abilities
    ask: Patience
    bytes_per_s: float | None = None
    threads: int = THREADS
    _throttle: Throttle = field(init=False)

    def __post_init__(self) -> None:
        self._throttle = Throttle(self.bytes_per_s)

    def send(self, source: Source) -> bool:
        """Returns when the manifest is there. False: it was there before.

        Raises TakenError: another checkpoint has this name already. DamagedError: it is not what was committed. OSError:
        it cannot be read. StoreError, StoppedError.
        """
        name = source.manifest.name
        if self._is_there(source):
            return False
        there = {one.key: one.size_bytes for one in self.ask(lambda: list(self.bucket.objects(f"{source.folder}/")))}
        begun = dict(self.ask(lambda: self.bucket.uploads(f"{source.folder}/")))
        with closing(_Pool(self.threads)) as pool:
            for _ in range(3):  # a file that somebody overwrote meanwhile is sent once more
                missing = [file for file in source.manifest.files if not self._kept(source.folder, file, there)]
                if not missing:
                    break
                with suppress(AbsentError):  # somebody gave up an upload of ours: once more, from its beginning
                    self._send_files(pool, source, missing, begun)
                there = {f"{source.folder}/{file.name}": file.size_bytes for file in source.manifest.files}
            else:
                raise TakenError(
                    f"{self.bucket.uri}/{name}: its files change while they are sent: two trainings share a prefix"
                )
        self._send_manifest(source)
        return True

    def _is_there(self, source: Source) -> bool:
        """Whether its manifest is there. Raises TakenError for another one: then no file of it is touched."""
        key = f"{source.manifest.name}/{MANIFEST}"
        try:
            found = self.ask(lambda: self.bucket.read(key, len(source.raw)))
        except AbsentError:
            return False
        if found != source.raw:
            raise TakenError(
                f"{self.bucket.uri}/{source.manifest.name} is another checkpoint: two trainings share a prefix"
            )
        return True

    def _kept(self, folder: str, file: File, there: Mapping[str, int]) -> bool:
        """Whether that very file is in the bucket: of the right size, and with our hash, which only a whole object can have."""
        key = f"{folder}/{file.name}"
        if there.get(key) != file.size_bytes:
            return False
        try:
            found = self.ask(lambda: self.bucket.head(key))
        except AbsentError:
            return False
        return found.size_bytes == file.size_bytes and found.metadata.get(HASH, "").endswith(f":{file.hash}")

    def _send_files(self, pool: _Pool, source: Source, files: list[File], begun: dict[str, str]) -> None:
        unfinished = []
        for file in files:
            if file.size_bytes <= self._part_bytes(file):
                self._send_whole(pool, source, file)
            else:
                key = f"{source.folder}/{file.name}"
                unfinished.append(self._send_parts(pool, source, file, begun.pop(key, None)))
        pool.settle()
        for complete in unfinished:
            complete()

    def _send_whole(self, pool: _Pool, source: Source, file: File) -> None:
        key, metadata = f"{source.folder}/{file.name}", self._metadata(source, file)
        hashing = _Hashing(source, file)
        body = hashing.read(0, file.size_bytes)
        hashing.check()
        pool.submit(lambda: self._deliver(body, lambda: self.bucket.put(key, body, self.abilities.checksum, metadata)))

    def _send_parts(self, pool: _Pool, source: Source, file: File, upload: str | None) -> Callable[[], None]:
        """Reads and hashes in order, sends side by side; what is left to do once all parts are there."""
        key, size = f"{source.folder}/{file.name}", self._part_bytes(file)
        metadata, kept = self._metadata(source, file), self._parts(key, upload)
        if upload is None or not kept:
            upload = self.ask(lambda: self.bucket.begin(key, self.abilities.checksum, metadata))
        hashing, parts, given = _Hashing(source, file), [], upload
        for number, start in enumerate(range(0, file.size_bytes, size), 1):
            body = hashing.read(start, min(size, file.size_bytes - start))
            if (there := kept.get(number)) is not None and _same(there, body, self.abilities):
                parts.append(there)
            else:
                pool.submit(self._part_sender(key, given, number, body, parts))
        self._check(pool, hashing, key, given)
        return lambda: self._complete(key, given, parts)

    def _part_sender(self, key: str, upload: str, number: int, body: bytes, parts: list[Part]) -> Callable[[], None]:
        def send() -> None:
            sent: list[Part] = []

            def put() -> str:
                sent.append(self.bucket.put_part(key, upload, number, body, self.abilities.checksum))
                return sent[-1].etag

            self._deliver(body, put)
            parts.append(sent[-1])

        return send

    def _check(self, pool: _Pool, hashing: _Hashing, key: str, upload: str) -> None:
        try:
            hashing.check()
        except DamagedError:
            pool.settle()  # a part that comes after the end would stay for ever
            self.ask(lambda: self.bucket.abort(key, upload))
            raise

    def _parts(self, key: str, upload: str | None) -> dict[int, Part]:
        if upload is None:
            return {}
        try:
            return {one.number: one for one in self.ask(lambda: self.bucket.parts(key, upload))}
        except AbsentError:
            return {}

    def _complete(self, key: str, upload: str, parts: list[Part]) -> None:
        try:
            self.ask(lambda: self.bucket.complete(key, upload, parts))
        except (
            AbsentError
        ):  # the answer to an earlier try was lost: the object is there, and asked for in the next round
            return

    def _deliver(self, body: bytes, put: Callable[[], str]) -> None:
        def once() -> None:
            self._throttle.wait(len(body), self.ask.stop)
            if not self.abilities.arrived(body, put()):
                raise BusyError("the bucket has other bytes than were sent to it")

        self.ask(once)

    def _send_manifest(self, source: Source) -> None:
        key = f"{source.manifest.name}/{MANIFEST}"
        if not self.abilities.conditional:  # allowed by the user: see docs/stores.md
            if not self._is_there(source):
                self.ask(lambda: self.bucket.put(key, source.raw, self.abilities.checksum))
            return
        try:
            self.ask(lambda: self.bucket.put_new(key, source.raw, self.abilities.checksum))
        except TakenError:  # perhaps by ourselves, and the answer was lost
            if not self._is_there(source):
                raise

    def _metadata(self, source: Source, file: File) -> dict[str, str]:
        return {HASH: f"{source.manifest.algorithm}:{file.hash}"}

    def _part_bytes(self, file: File) -> int:
        return part_bytes(file.size_bytes, limited=self.bytes_per_s is not None)


class _Hashing:
    """Reads a file once, from its beginning to its end, hashing."""

    def __init__(self, source: Source, file: File) -> None:
        self._source, self._file = source, file
        self._hash = _hashing.new(source.manifest.algorithm)

    def read(self, start: int, count: int) -> bytes:
        """Those bytes. Raises DamagedError where the file has become shorter, OSError."""
        found, descriptor = b"", self._source.files[self._file.name]
        while len(found) < count and (block := os.pread(descriptor, count - len(found), start + len(found))):
            found = found + block if found else block
        if len(found) < count:
            raise DamagedError(f"{self._source.manifest.name}: {self._file.name} was cut short")
        self._hash.update(found)
        return found

    def check(self) -> None:
        """After all of it."""
        if self._hash.hexdigest() != self._file.hash:
            raise DamagedError(
                f"{self._source.manifest.name}: {self._file.name} has gone bad on this disk since it was written"
            )


def _same(there: Part, body: bytes, abilities: Abilities) -> bool:
    """Whether a part of an earlier try holds these bytes: shown by its checksum, never by its size alone."""
    if there.size_bytes != len(body):
        return False
    if there.crc32:
        return there.crc32 == crc32(body)
    return abilities.etag_is_md5 and there.etag == hashlib.md5(body, usedforsecurity=False).hexdigest()


class _Pool:
    """Threads that send, never more bodies in memory than they can hold at once, and the first error of any of them."""

    def __init__(self, threads: int) -> None:
        self._executor = ThreadPoolExecutor(threads, "nightspot-upload")
        self._room = threading.Semaphore(threads + 1)
        self._futures: list[Future[None]] = []

    def close(self) -> None:
        """Wait for what is being sent; drop the rest."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def submit(self, send: Callable[[], None]) -> None:
        """Do it, once there is room. Raises what an earlier one raised."""
        self._room.acquire()
        for future in [one for one in self._futures if one.done()]:
            self._futures.remove(future)
            future.result()
        self._futures.append(self._executor.submit(send))
        self._futures[-1].add_done_callback(lambda _: self._room.release())

    def settle(self) -> None:
        """All of them are done. Raises the first error."""
        while self._futures:
            self._futures.pop(0).result()
