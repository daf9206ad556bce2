"""The process that uploads: niced, beside the trainer, and for a while after it. Standard library, boto3 and xxhash.

It hears names of committed checkpoints over a socket and answers with what became of them, both as JSON lines. The newest is
sent first; one that was superseded before it was begun is skipped; one that was begun is finished. When the trainer is gone
it finishes what it was told, then ends: after a while in any case, and at once when a successor on this machine takes over.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nightspot.checkpoint import bucket_look
from nightspot.checkpoint.bucket_objects import Bucket
from nightspot.checkpoint.errors import ConfigError, DamagedError
from nightspot.checkpoint.store_errors import StoppedError, StoreError, TakenError
from nightspot.checkpoint.store_patience import Patience
from nightspot.checkpoint.store_probe import Abilities, probe
from nightspot.checkpoint.store_retention import Retention
from nightspot.checkpoint.upload import Sender, opened

NICENESS = 10
ORPHAN_S = 600.0  # how long it goes on trying without a trainer
LOOK_S = 0.2
LOCK = ".uploading"
UNCONDITIONAL = "NIGHTSPOT_STORE_UNCONDITIONAL"


@dataclass(frozen=True, slots=True)
class Task:
    """What an uploader is started for. parent: the trainer's process id. attempt: of this training; earlier ones may be late."""

    uri: str
    folder: str
    keep: int
    keep_every: int | None
    attempt: int
    parent: int
    bytes_per_s: float | None = None
    unconditional: bool = False


class Inbox:
    """Hears the trainer; holds the newest name that was not begun. `gone`: the trainer is no more."""

    def __init__(self, channel: socket.socket, parent: int, superseded: Callable[[str], None]) -> None:
        self._channel, self._parent, self._superseded = channel, parent, superseded
        self._pending: str | None = None
        self._changed = threading.Condition()
        self.gone = threading.Event()

    def take(self) -> str | None:
        """The newest name, when there is one; None: there is none, and none will come."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending is not None or self.gone.is_set())
            name, self._pending = self._pending, None
            return name

    def empty(self) -> bool:
        """Whether nothing waits."""
        return self._pending is None

    def listen(self) -> None:
        """Until the trainer is gone: in a thread of its own. A forked child of it may hold the socket open for ever."""
        self._channel.settimeout(1.0)
        left = b""
        while os.getppid() == self._parent:
            try:
                heard = self._channel.recv(1 << 16)
            except TimeoutError:
                continue
            except OSError:
                break
            if not heard:
                break
            *lines, left = (left + heard).split(b"\n")
            for line in lines:
                self._put(json.loads(line)["submit"])
        with self._changed:
            self.gone.set()
            self._changed.notify_all()

    def _put(self, name: str) -> None:
        with self._changed:
            old, self._pending = self._pending, name
            self._changed.notify_all()
        if old is not None:
            self._superseded(old)


@dataclass(slots=True)
class Uploader:
    """Does the work. `tell` sends one answer."""

    task: Task
    tell: Callable[..., None]
    stop: threading.Event = field(default_factory=threading.Event)
    inbox: Inbox | None = None
    _lagging: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _complained: set[str] = field(default_factory=set)
    _first: bool = True

    def run(self, inbox: Inbox) -> None:
        """Until nothing is left to do."""
        self.inbox = inbox
        ask = Patience(self.stop, self.lag, denied_too=True)
        try:
            bucket = self._bucket(ask)
            sender = Sender(bucket, self._abilities(bucket, ask), ask, self.task.bytes_per_s)
        except (ConfigError, StoreError) as error:
            self.tell("refused", why=str(error))
            return
        retention = Retention(bucket, ask, self.task.keep, self.task.keep_every)
        while (name := inbox.take()) is not None:
            self._upload(sender, retention, name)

    def superseded(self, name: str) -> None:
        """A newer one came before it was begun: the bucket is slower than checkpoints are made."""
        self.tell("superseded", name=name)
        self.lag(f"{name} was superseded before its upload began")

    def lag(self, reason: str) -> None:
        """Said once, until it is over."""
        with self._lock:
            new, self._lagging = not self._lagging, True
        if new:
            self.tell("said", message=f"uploads to {self.task.uri} lag behind, training goes on: {reason}")

    def _bucket(self, ask: Patience) -> Bucket:
        def make() -> Bucket:
            return Bucket(self.task.uri)

        return ask(make)

    def _abilities(self, bucket: Bucket, ask: Patience) -> Abilities:
        found = probe(bucket, ask)
        if not found.conditional and not self.task.unconditional:
            raise ConfigError(
                f"{bucket.uri}: this bucket does not keep `If-None-Match: *`, so two trainings could overwrite each other's "
                f"checkpoints unseen; where only one ever writes there, set {UNCONDITIONAL}=1"
            )
        if not found.checked:
            self.tell(
                "said", message=f"{bucket.uri} checks nothing on the way: damage is seen when a checkpoint is read"
            )
        return found

    def _upload(self, sender: Sender, retention: Retention, name: str) -> None:
        began_s = time.monotonic()
        try:
            with opened(Path(self.task.folder), name) as source:
                self._clean(retention, name)
                sent = sender.send(source)
        except FileNotFoundError:  # dropped before it was begun: there is a newer one
            self.tell("superseded", name=name)
            return
        except StoppedError:
            return
        except TakenError as error:
            self.tell("failed", name=name, why=str(error), final=not self._late(sender, name))
            return
        except (DamagedError, ConfigError, StoreError, OSError) as error:
            self.tell("failed", name=name, why=str(error), final=False)
            return
        retention.stored(name)
        self.tell("stored", name=name, upload_s=round(time.monotonic() - began_s, 6), sent=sent)
        self._recover()
        self._retain(retention)

    def _late(self, sender: Sender, name: str) -> bool:
        """Whether an earlier attempt made the one that is there: its own uploader went on after it."""
        try:
            return bucket_look.read(sender.bucket, name, sender.ask).head.attempt < self.task.attempt
        except (StoreError, DamagedError, ConfigError):
            return False

    def _recover(self) -> None:
        with self._lock:
            over = self._lagging and (self.inbox is None or self.inbox.empty())
            self._lagging = self._lagging and not over
        if over:
            self.tell("said", message=f"uploads to {self.task.uri} have caught up")

    def _clean(self, retention: Retention, name: str) -> None:
        """Once: what dead uploaders left."""
        if self._first:
            self._first = False
            self._try(
                lambda: retention.abort_others(name), "multipart uploads that were never finished cannot be aborted"
            )

    def _retain(self, retention: Retention) -> None:
        self._try(retention.apply, "old checkpoints cannot be removed")

    def _try(self, what: Callable[[], object], failing: str) -> None:
        """What may fail without a checkpoint being lost. Said once: perhaps it is just not allowed."""
        try:
            what()
        except StoreError as error:
            if failing not in self._complained and not isinstance(error, StoppedError):
                self._complained.add(failing)
                self.tell("said", message=f"{self.task.uri}: {failing}: {error}")


def _take_over(folder: Path, stop: threading.Event) -> int | None:
    """Hold the folder's uploader lock: an uploader of before sees that it was succeeded, and ends. None: no locks here."""
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    os.pwrite(descriptor, f"{os.getpid():<20}".encode(), 0)
    while not stop.is_set():
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            stop.wait(LOOK_S)
        except OSError:
            return None
        else:
            break
    return descriptor


def _succeeded(descriptor: int | None) -> bool:
    return descriptor is not None and os.pread(descriptor, 20, 0).strip() != str(os.getpid()).encode()


def _orphaned(inbox: Inbox, uploader: Uploader, descriptor: int | None) -> None:
    """Without a trainer: not for ever, and not against a successor."""
    inbox.gone.wait()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(nowhere, number)  # whoever reads the training's output shall see that it has ended
    give_up_s = time.monotonic() + ORPHAN_S
    while time.monotonic() < give_up_s and not _succeeded(descriptor):
        time.sleep(LOOK_S)
    uploader.stop.set()


def _telling(channel: socket.socket) -> Callable[..., None]:
    lock = threading.Lock()

    def tell(kind: str, **fields: Any) -> None:
        line = json.dumps({"kind": kind, **fields}).encode() + b"\n"
        with lock, contextlib.suppress(OSError):  # the trainer is gone: nobody hears
            channel.sendall(line)

    return tell


def _open_many_files() -> None:
    """As many as we may: all files of a checkpoint are held open, and of a thousand ranks each has some."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main(descriptor: int, task: Task) -> None:
    """descriptor: our end of the socket."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # they are the trainer's; our end is its end
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    _open_many_files()
    hearing = socket.socket(fileno=descriptor)
    uploader = Uploader(task, _telling(hearing.dup()))
    inbox = Inbox(hearing, task.parent, uploader.superseded)
    threading.Thread(target=inbox.listen, daemon=True).start()
    held = _take_over(Path(task.folder), uploader.stop)
    threading.Thread(target=_orphaned, args=(inbox, uploader, held), daemon=True).start()
    uploader.run(inbox)
