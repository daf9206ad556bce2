"""The trainer's end of the writer process: memory that both see, one save in flight, and no waiting but on purpose."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from array import array
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from nightspot.checkpoint import _torch, memory
from nightspot.checkpoint.ahead.base import BaseOrder
from nightspot.checkpoint.arena import Arena
from nightspot.checkpoint.hand import Answer, Committed, Failed, NoWriterError, Trouble
from nightspot.checkpoint.order import Order
from nightspot.checkpoint.pieces import Piece
from nightspot.checkpoint.snapshot import Snapshot
from nightspot.checkpoint.waiting import readable

MESSAGE_BYTES = 1 << 16
START_PATIENCE_S = 60.0
STUCK_PATIENCE_S = 10.0  # the same, after one that did not get on: most likely the disk does not answer
END_PATIENCE_S = 30.0
KILL_PATIENCE_S = 5.0  # who waits for a disk that hangs dies only when it answers
MOST_LOOK_S = 30.0  # of silence that one look can show: after a longer one all of us may have been suspended
SMALL_BYTES = 8 << 20  # mapping so little takes no time worth a thread
ROOT = Path(__file__).parents[2]
# Isolated: no file of the working folder, no PYTHON* variable and no .pth file changes what the writer is.
BOOT = (
    "import json, sys; sys.path += json.loads(sys.argv[1]); "
    "from nightspot.checkpoint.writer import main; main(int(sys.argv[2]), int(sys.argv[3]))"
)


class Background:
    """A `Hand` that has a writer process, started when it is first needed, and again should it die."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._owner = os.getpid()  # forked children of the trainer have no business with it
        self._snapshot = Snapshot(self._arena_of)
        self._arena: Arena | None = None
        self._writer: _Process | None = None
        self._in_flight = self._basing = False
        self._stuck = (
            False  # the last writer did not get on: whatever is done with this disk, another process has to do it
        )
        self._seen_s = 0.0  # when we last looked for a sign of life of the writer, or gave it something to do
        self._silence_s = 0.0  # without any, until then
        self._refused: str | None = None  # why the writer has no memory
        self._heard: deque[Answer] = deque()
        self._thread: threading.Thread | None = None
        self.bases: list[Mapping[str, Any]] = []  # what was heard of tables that are copied ahead

    def base(self, order: BaseOrder) -> None:
        """Have the writer copy tables ahead, out of live memory. Raises OSError."""
        self._be_ready()
        self._seen_s, self._silence_s, self._basing = time.monotonic(), 0.0, True
        self._running().base(order)

    def prepare(self, pieces: Sequence[Piece], texts: Mapping[str, bytes]) -> None:
        """Start the writer, which allocates memory; it is mapped here as soon as that is done."""
        self._writer = self._writer or _Process(self._folder)
        self._arena_of(self._snapshot.size_bytes(pieces, texts))

    def begin(self, order: Order, pieces: Sequence[Piece], texts: Mapping[str, bytes]) -> None:
        """Copy everything, and hand it over."""
        if self._in_flight:  # an interrupt took it from who waited for it: its memory must not change under it
            self.give_up()
            self._heard.clear()
        self._be_ready()
        parts, entries, _ = self._snapshot.take(pieces, texts, order.rank)
        self._seen_s, self._silence_s = time.monotonic(), 0.0
        self._in_flight, self._basing = True, False
        try:
            self._running().save(replace(order, parts=tuple(parts), entries=entries))
        except OSError as error:
            self._in_flight = False  # the error says it
            self.give_up()
            raise OSError(f"the writer process is gone: {error}") from error

    def answer(self, patience_s: float) -> Answer | None:
        """Reads what the writer said; beats only mean that it gets on."""
        until_s = time.monotonic() + patience_s
        while not self._heard and self._writer is not None:
            message = self._writer.hear(until_s - time.monotonic())
            if message is None:
                break
            self._seen_s, self._silence_s = time.monotonic(), 0.0
            until_s = self._seen_s + patience_s
            self._understand(message)
        return self._heard.popleft() if self._heard else None

    def silent_s(self) -> float:
        """Without a sign of life of the writer, while something is awaited of it; to be asked after each look."""
        now_s = time.monotonic()
        self._silence_s += min(now_s - self._seen_s, MOST_LOOK_S)
        self._seen_s = now_s
        return self._silence_s if self._in_flight or self._basing else 0.0

    def give_up(self) -> None:
        """Kill the writer."""
        self._stuck = self._in_flight or self._basing
        if self._writer is not None:
            self._writer.kill()
            self._died()

    def hurry(self) -> None:
        """Tell the writer."""
        if self._writer is not None:
            self._writer.hurry()

    def close(self) -> None:
        """End the writer, and let go of the memory."""
        if self._owner != os.getpid():
            return
        if self._writer is not None:
            self._writer.end()
        self._writer = None
        self._snapshot.forget()
        if self._thread is not None:
            self._thread.join()
        if self._arena is not None:
            self._arena.close()
        self._arena = None

    def _be_ready(self) -> None:
        if self._writer is None:
            self._writer = _Process(self._folder)
            if self._arena is not None:
                self._writer.share(self._arena)
        while not self._writer.ready:
            self._wait_for_ready(self._writer)
        self._stuck = False
        if self._refused is not None:
            raise NoWriterError(f"memory to share with a writer process is not to be had here: {self._refused}")

    def _wait_for_ready(self, writer: _Process) -> None:
        """Raises NoWriterError where there can be none; OSError where it does not get at the disk: we would not, either, and be stuck."""
        message = writer.hear(STUCK_PATIENCE_S if self._stuck else START_PATIENCE_S)
        if message is None:
            self._stuck = True
            raise OSError(
                "the writer process does not open the folder of checkpoints: most likely the disk does not answer"
            )
        if "ended" not in message:
            self._understand(message)
            return
        why, stuck = f"a writer process cannot be started here: {message['ended']}", self._stuck
        self.give_up()
        self._stuck = stuck
        raise OSError(why) if stuck else NoWriterError(why)

    def _arena_of(self, size_bytes: int) -> Arena:
        if self._arena is None or self._arena.size_bytes < size_bytes:
            memory.check(size_bytes)
            before, self._arena = self._arena, _shared(size_bytes)
            if before is not None:
                before.close()
            self._running().share(self._arena)
        return self._arena

    def _running(self) -> _Process:
        assert self._writer is not None  # noqa: S101
        return self._writer

    def _understand(self, message: Mapping[str, Any]) -> None:
        if "committed" in message:
            self._in_flight = False
            self._heard.append(Committed(**message["committed"]))
        elif "failed" in message:
            self._in_flight = False
            self._heard.append(Failed(message["failed"]))
        elif "trouble" in message:
            self._heard.append(Trouble(message["trouble"]))
        elif "allocated" in message:
            self._map(message["allocated"])
        elif "refused" in message:
            self._refused = message["refused"]
        elif "ended" in message:
            self._died(message["ended"])
        elif message.keys() & {"unit", "base", "unbased"}:
            self._basing = "unit" in message
            self.bases.append(message)

    def _map(self, size_bytes: int) -> None:
        arena = self._arena
        if arena is None or arena.size_bytes != size_bytes:
            return
        if size_bytes <= SMALL_BYTES:
            _make_ready(arena)
            return
        self._thread = threading.Thread(target=_make_ready, args=[arena], name="nightspot-arena", daemon=True)
        self._thread.start()

    def _died(self, why: str = "killed for its silence") -> None:
        if self._in_flight:
            self._heard.append(Failed(f"the writer process is gone: {why}"))
        self.bases.append({"unbased": f"the writer process is gone: {why}"})
        self._writer, self._in_flight, self._basing = None, False, False


class _Process:
    """A writer process. Messages are whole packets; descriptors travel with them."""

    def __init__(self, folder: Path) -> None:
        self._errors, self.ready = -1, False
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                self._errors = os.memfd_create("nightspot-writer-errors", os.MFD_CLOEXEC)
                self._process = self._start(theirs.fileno())
            except (OSError, AttributeError) as error:
                self._close()
                raise NoWriterError(f"a writer process cannot be started here: {error}") from error
        with suppress(OSError):  # it is gone already: that is heard
            self._tell({"do": "open", "folder": str(folder)})

    def share(self, arena: Arena) -> None:
        """Hand over the memory."""
        assert arena.descriptor is not None  # noqa: S101
        with suppress(OSError):  # it is gone: that is noticed when something is heard of it
            self._tell({"do": "arena", "size_bytes": arena.size_bytes}, arena.descriptor)

    def save(self, order: Order) -> None:
        """Hand over an order. Raises OSError if the writer is gone."""
        self._tell_all("save", order.to_bytes())

    def base(self, order: BaseOrder) -> None:
        """Hand over an order, and first a way to read our memory. Raises OSError if the writer is gone, or there is none."""
        descriptor = os.open("/proc/self/mem", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._tell({"do": "memory", "pid": os.getpid()}, descriptor)
        finally:
            os.close(descriptor)
        self._tell_all("base", order.to_bytes())

    def hear(self, patience_s: float) -> dict[str, Any] | None:
        """A message; `{"ended": why}` once it is gone; None if none came in time."""
        if not readable([self._line.fileno()], patience_s):
            return None
        try:
            raw = self._line.recv(MESSAGE_BYTES)
        except ConnectionResetError:  # it left something unread; what it said before is still there
            raw = self._line.recv(MESSAGE_BYTES)
        if not raw:
            return {"ended": self._last_words()}
        message: dict[str, Any] = json.loads(raw)
        self.ready = self.ready or "ready" in message
        return message

    def hurry(self) -> None:
        """That there is something to hear says it already."""
        with suppress(OSError):
            self._tell({"do": "hurry"})

    def kill(self) -> None:
        """By force."""
        self._killed()
        self._close()

    def end(self) -> None:
        """Let it finish what it does, and wait for it. One that has not even opened its folder has nothing to finish."""
        with suppress(OSError):
            self._tell({"do": "end"})
        try:
            self._process.wait(END_PATIENCE_S if self.ready else KILL_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._close()

    def _start(self, line: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", BOOT, json.dumps(_paths()), str(line), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # a pipe of the trainer's must not stay open because of us
            stderr=self._errors,
            pass_fds=[line],
        )

    def _tell(self, message: Mapping[str, object], *descriptors: int) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))] if descriptors else []
        # A training that takes SIGPIPE by its default must not die of a dead writer.
        self._line.sendmsg([json.dumps(message).encode()], rights, socket.MSG_NOSIGNAL)

    def _tell_all(self, what: str, content: bytes) -> None:
        """A message of any length: in a file in memory."""
        descriptor = os.memfd_create(f"nightspot-{what}", os.MFD_CLOEXEC)
        try:
            with os.fdopen(os.dup(descriptor), "wb") as file:
                file.write(content)
            self._tell({"do": what}, descriptor)
        finally:
            os.close(descriptor)

    def _last_words(self) -> str:
        try:
            code: int | None = self._process.wait(END_PATIENCE_S)
        except subprocess.TimeoutExpired:
            code = self._killed()
        said = os.pread(self._errors, MESSAGE_BYTES, 0).decode(errors="replace").strip().splitlines()
        self._close()
        return f"exit code {code}" + (f", {said[-1]}" if said else "")

    def _killed(self) -> int | None:
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(KILL_PATIENCE_S)
        return None

    def _close(self) -> None:
        self._line.close()
        with suppress(OSError):
            os.close(self._errors)
        self._errors = -1


def _make_ready(arena: Arena) -> None:
    """Map it, and lock it for copies from CUDA devices, so that the first save finds all of this done."""
    arena.populate()
    if _torch.in_use():
        from nightspot.checkpoint import _torch_memory

        # A new writer gets the same arena once more: what is locked cannot be locked again.
        arena.unpin = arena.unpin or _torch_memory.pin(arena.memory)


def _shared(size_bytes: int) -> Arena:
    try:
        return Arena.shared(size_bytes)
    except (OSError, AttributeError) as error:
        raise NoWriterError(f"memory to share with a writer process is not to be had here: {error}") from error


def _paths() -> list[str]:
    """Where the trainer finds modules; first of all this very package."""
    return [str(ROOT), *(str(Path(entry).absolute()) for entry in sys.path)]
