"""The writer process: makes checkpoints out of memory that it shares with the trainer. No torch, no fork of the trainer.

It ignores what ends the trainer, finishes the save in flight when the trainer is gone, and then ends. The two
talk over a socket in whole messages of JSON; a save's order comes as a file in memory, for it may be long.

| to the writer | what it answers |
|---|---|
| `open`: folder | `ready`; from here on it holds the folder's `.saving`, so that nobody sweeps away what it writes |
| `arena`: size_bytes, with a descriptor | `allocated`, or `refused`: why |
| `save`, with a file that holds the order | `committed`, or `failed`: why; `trouble` with older ones; `beat` meanwhile |
| `memory`, `base`, `drop` | see the room `ahead` |
| `hurry`, during a save of several ranks | nothing: the trainer leaves by an error, silent ranks are not waited for |
| `end` | it ends |
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

from nightspot.checkpoint import retention
from nightspot.checkpoint.ahead.writing import Bases
from nightspot.checkpoint.arena import allocate
from nightspot.checkpoint.commit import commit
from nightspot.checkpoint.lock import SharedLock
from nightspot.checkpoint.manifest import Manifest
from nightspot.checkpoint.many import commit as many
from nightspot.checkpoint.order import Order
from nightspot.checkpoint.pieces import Part
from nightspot.checkpoint.waiting import readable

MESSAGE_BYTES = 1 << 16
MOST_TOLD = 2000  # characters of an error
BEAT_S = 0.5
RETRY_S = 0.02
LOOK_S = 1.0  # how often to see whether the trainer lives, where the kernel cannot tell by itself
NICENESS = 10
IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


class Trainer:
    """The other end: its messages, and whether it lives. Forked children of it may hold the socket open after its death."""

    def __init__(self, line: socket.socket, pid: int) -> None:
        self._line, self._pid = line, pid
        try:
            self._life: int | None = os.pidfd_open(pid)
        except (AttributeError, OSError):
            self._life = None

    def next(self) -> tuple[dict[str, Any], int | None] | None:
        """A message, and the descriptor that came with it; None once there will be none."""
        line = self._line.fileno()
        while line not in readable([line] if self._life is None else [line, self._life], LOOK_S):
            if self.gone():
                self._life = None
                if not readable([line], 0.0):
                    return None
        try:
            raw, descriptors, _, _ = socket.recv_fds(self._line, MESSAGE_BYTES, 1)
        except ConnectionResetError:  # the trainer left something unread; what it said before is still there
            raw, descriptors, _, _ = socket.recv_fds(self._line, MESSAGE_BYTES, 1)
        return (json.loads(raw), descriptors[0] if descriptors else None) if raw else None

    def tell(self, **message: object) -> None:
        """Say it, as soon as there is room for it, and as long as there is somebody to hear."""
        while not self.gone():
            try:
                self._line.send(json.dumps(message).encode(), socket.MSG_DONTWAIT)
            except BlockingIOError:
                time.sleep(RETRY_S)
            except OSError:
                return
            else:
                return

    def beat(self) -> None:
        """Say that the save gets on; never waits for a trainer that does not listen."""
        try:
            self._line.send(b'{"beat": true}', socket.MSG_DONTWAIT)
        except OSError:
            return

    def waiting(self) -> bool:
        """It has said something that was not heard yet, or is gone."""
        watched = [self._line.fileno()] + ([] if self._life is None else [self._life])
        return bool(readable(watched, 0.0)) or self.gone()

    def gone(self) -> bool:
        """It has died."""
        return os.getppid() != self._pid


class Writer:
    """Does what the trainer says, one thing after the other."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._bases = Bases(trainer.tell, self._disturbed)
        self._memory: memoryview | None = None
        self._lock: SharedLock | None = None
        self._beat_s = 0.0

    def serve(self) -> None:
        """Until the trainer says `end`, or is gone."""
        while (heard := self._trainer.next()) is not None and heard[0]["do"] != "end":
            message, descriptor = heard
            if self._bases.hear(message, descriptor):
                continue
            if message["do"] == "open":
                self._open(Path(message["folder"]))
            elif message["do"] == "arena" and descriptor is not None:
                self._take(descriptor, message["size_bytes"])
            elif message["do"] == "save" and descriptor is not None:
                self._save(descriptor)
        self._bases.drop()

    def _open(self, folder: Path) -> None:
        self._lock = SharedLock(folder)
        self._lock.share()
        self._trainer.tell(ready=True)

    def _take(self, descriptor: int, size_bytes: int) -> None:
        try:
            allocate(descriptor, size_bytes)
            self._memory = memoryview(mmap.mmap(descriptor, size_bytes, prot=mmap.PROT_READ))
        except OSError as error:
            self._trainer.tell(refused=_told(error))
        else:
            self._trainer.tell(allocated=size_bytes)
        finally:
            os.close(descriptor)

    def _save(self, descriptor: int) -> None:
        try:
            order = Order.from_bytes(_whole(descriptor))
            made = self._commit(order)
        except Exception as error:
            self._trainer.tell(failed=_told(error))
            return
        told = {"name": made.name, "digest": made.digest, "size_bytes": made.size_bytes, "at_s": time.monotonic()}
        self._trainer.tell(committed=told)
        try:
            retention.apply(order)
        except OSError as error:
            self._trainer.tell(trouble=f"an old checkpoint could not be removed: {_told(error)}")

    def _commit(self, order: Order) -> Manifest:
        if order.size == 1:
            return commit(order, self._part, self._tell_beat, self._bases.take(order))
        return many.commit(order, self._part, self._tell_beat, self._trainer.waiting)

    def _part(self, part: Part) -> memoryview:
        assert self._memory is not None  # noqa: S101
        return self._memory[part.start_bytes : part.start_bytes + part.size_bytes]

    def _disturbed(self) -> bool:
        self._tell_beat()
        return self._trainer.waiting()

    def _tell_beat(self) -> None:
        if time.monotonic() - self._beat_s >= BEAT_S:
            self._beat_s = time.monotonic()
            self._trainer.beat()


def _whole(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as file:
        file.seek(0)
        return file.read()


def _told(error: Exception) -> str:
    said = str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
    return said[:MOST_TOLD]


def main(descriptor: int, trainer_pid: int) -> None:
    """The process's whole life. descriptor: of its end of the socket."""
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    os.nice(NICENESS)
    os.chdir("/")  # hold no file system that is nothing to us
    with socket.socket(fileno=descriptor) as line:
        Writer(Trainer(line, trainer_pid)).serve()
