"""The checkpoint agent: copies what changed in the checkpoint folder to the bucket now and then, as badly as SageMaker's might.

What that one really does with half-written files, deletions and its interval is not documented: this one does the worst.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from nightspot.emulator.instance import DataError
from nightspot.emulator.transfer import UPLOADING, Place, fetch_prefix, open_real, real_files, send
from nightspot.process.identity import PROC

SHORTEST_INTERVAL_REAL_S = 0.05
LEFT_BEHIND_EVERY = 3
COPY_BYTES = 1 << 20
JOIN_REAL_S = 60.0
File = tuple[int, int]  # device and inode
Look = tuple[int, int]  # size and time of the last change


@dataclass(frozen=True, slots=True)
class SyncSettings:
    """How the agent works, and how badly. Spans are market seconds.

    `torn`: a file that is being written at a sync is uploaded, half of it; the next sync uploads what there is then. Every third upload
    leaves its `*.sagemaker-uploading` behind. Without it such a file waits until it is closed. `misses_last_s`: a change younger than that
    is not seen yet, except by the last sync. `stopped_after`: after so many uploads there is silence, and training goes on.
    """

    interval_market_s: float = 60.0
    torn: bool = True
    misses_last_s: float = 0.0
    stopped_after: int | None = None


class CheckpointAgent:
    """Between one folder and one prefix. `restore`, `start`, then `abandon` or `finish`; deletions are never passed on."""

    def __init__(
        self,
        s3: Any,
        target: Place,
        folder: Path,
        scratch: Path,
        settings: SyncSettings,
        time_scale: float,
        pids: Callable[[], set[int]],
    ) -> None:
        """`scratch`: a folder of the agent's own, on the same disk. `pids`: the processes that may write checkpoints."""
        self._s3, self._target, self._folder, self._scratch = s3, target, folder, scratch
        self._settings, self._time_scale, self._pids = settings, time_scale, pids
        self._seen: dict[str, Look] = {}
        self._changed_ns: dict[str, int] = {}
        self._half: set[str] = set()
        self._uploads = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def restore(self) -> None:
        """What is in the bucket into the folder; uploads in progress are no checkpoints. DataError where it cannot be read."""
        fetch_prefix(self._s3, self._target, self._folder, "checkpoints")
        self._seen = {name: _look(found) for name, found in real_files(self._folder)}

    def start(self) -> None:
        """Sync at every interval from now on."""
        self._scratch.mkdir(exist_ok=True)
        self._thread = threading.Thread(target=self._run, name="checkpoint agent", daemon=True)
        self._thread.start()

    def abandon(self) -> None:
        """The instance is gone: what is not in the bucket now never will be. Returns when nothing more is written to it."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(JOIN_REAL_S)
            self._thread = None

    def finish(self) -> None:
        """One last sync, of everything that changed."""
        if self._thread is None:
            return
        self.abandon()
        self._stop.clear()
        self._sync(last=True)

    def _run(self) -> None:
        interval_s = max(SHORTEST_INTERVAL_REAL_S, self._settings.interval_market_s / self._time_scale)
        while not self._stop.wait(interval_s):
            self._sync(last=False)

    def _sync(self, *, last: bool) -> None:
        try:
            self._upload_changed(last=last)
        except (DataError, ClientError, BotoCoreError, Boto3Error, OSError) as error:
            # As with the real one: training goes on, and only the bucket shows it. The next sync tries again.
            print(f"checkpoint agent: {self._target.uri}: {error}", file=sys.stderr)  # noqa: T201

    def _upload_changed(self, *, last: bool) -> None:
        newest_ns = time.time_ns() - int(self._settings.misses_last_s / self._time_scale * 1e9)
        for name, found in real_files(self._folder):
            if self._stop.is_set() or self._silent():
                return
            if name.endswith(UPLOADING) or self._seen.get(name) == _look(found):
                continue
            # Its first change that is not in the bucket: a file that is always young is seen nevertheless.
            since_ns = self._changed_ns.setdefault(name, found.st_ctime_ns)
            if last or since_ns <= newest_ns:
                self._upload_one(name, found)

    def _silent(self) -> bool:
        return self._settings.stopped_after is not None and self._uploads >= self._settings.stopped_after

    def _upload_one(self, name: str, found: os.stat_result) -> None:
        copy = self._copied(name, found.st_size)
        if copy is None:
            return
        # Asked after copying: what nobody writes to now, and did not change since, was copied whole.
        writing = (found.st_dev, found.st_ino) in files_in_writing(self._pids())
        if not self._settings.torn and (writing or self._changed_since(name, found)):
            return
        half = writing and name not in self._half
        if half:
            os.truncate(copy, found.st_size // 2)
        if self._put(name, copy):
            self._remember(name, found, half=half)

    def _changed_since(self, name: str, found: os.stat_result) -> bool:
        try:
            return _look((self._folder / name).lstat()) != _look(found)
        except OSError:
            return True

    def _remember(self, name: str, found: os.stat_result, *, half: bool) -> None:
        """What was uploaded. Of half a file nothing: the next sync shall find it changed."""
        if half:
            self._half.add(name)
        else:
            self._half.discard(name)
            self._changed_ns.pop(name, None)
            self._seen[name] = _look(found)

    def _copied(self, name: str, size_bytes: int) -> Path | None:
        """What the file holds now, at most so much: the program may go on writing to it."""
        source = open_real(self._folder / name)
        if source is None:
            return None
        copy = self._scratch / "upload"
        with source, copy.open("wb") as target:
            while block := source.read(min(COPY_BYTES, size_bytes - target.tell())):
                target.write(block)
        return copy

    def _put(self, name: str, copy: Path) -> bool:
        """False where the instance was lost meanwhile: then only the mark of an upload in progress is there."""
        target = self._target.under(name)
        mark = {"Bucket": target.bucket, "Key": target.key + UPLOADING}
        self._s3.put_object(**mark, Body=b"")
        if self._stop.is_set():
            return False
        send(self._s3, copy, target)
        self._uploads += 1
        if not (self._settings.torn and self._uploads % LEFT_BEHIND_EVERY == 0):
            self._s3.delete_object(**mark)
        return True


def _look(found: os.stat_result) -> Look:
    return found.st_size, found.st_mtime_ns


def files_in_writing(pids: set[int]) -> set[File]:
    """Which files these processes have open for writing."""
    return {file for pid in pids for file in _written_by(pid)}


def _written_by(pid: int) -> list[File]:
    found = []
    try:
        descriptors = os.listdir(PROC / str(pid) / "fd")  # noqa: PTH208 - names are all it takes
    except OSError:
        return []
    for descriptor in descriptors:
        try:
            flags = _flags((PROC / str(pid) / "fdinfo" / descriptor).read_text())
            file = (PROC / str(pid) / "fd" / descriptor).stat()
        except OSError:
            continue
        if flags & os.O_ACCMODE in (os.O_WRONLY, os.O_RDWR):
            found.append((file.st_dev, file.st_ino))
    return found


def _flags(text: str) -> int:
    line = next((line for line in text.splitlines() if line.startswith("flags:")), "flags: 0")
    return int(line.split()[1], 8)
