"""One Attempt's own process: it starts the command, plays the market, tells what happens, and ends everything. Nobody has to watch it.

    python -m nightspot.process.supervisor FOLDER

It detaches itself, and holds the folder's lock for its whole life. Standard library only: an Attempt should not wait for imports.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from types import FrameType
from typing import Iterator

from nightspot.process.child import Child, NotStartedError, start, write_notice
from nightspot.process.ending import Ending, Endings, grace_s
from nightspot.process.files import read_json, write_first, write_soon
from nightspot.process.finish import Ended, finished
from nightspot.process.folder import AttemptFolder
from nightspot.process.identity import identify
from nightspot.process.linux import adopt_orphans
from nightspot.process.listening import Ear
from nightspot.process.news import NewsWriter
from nightspot.process.pattern import quarantine_torn
from nightspot.process.spec import AttemptSpec
from nightspot.process.tree import descendants, kill_until_none
from nightspot.process.verdict import START_AGAIN, Past

TICK_S = 0.05
# Real seconds: for another's short look at the lock; between two signs that it is well; for one round of killing.
LOCK_S, BEAT_S, KILL_S = 2.0, 2.0, 10.0


class Supervisor:
    """The life of one Attempt. Made under the lock, once it is certain that it may begin."""

    def __init__(self, folder: AttemptFolder, spec: AttemptSpec) -> None:
        self.folder, self.spec, self.clock = folder, spec, spec.clock()
        self.news = NewsWriter(folder.news)
        self.ear = Ear(spec, folder, self.news)
        self.endings = Endings.of(spec)
        self.child: Child | None = None
        self.started_utc = 0.0
        self.fault: str | None = None
        self.killed_by: Ending | None = None
        self._terminated = False
        self._ready = False
        self._state: object = None
        self._beat_s = 0.0
        self._ears = _wake_on_signals(self._on_signal)

    def run(self) -> None:
        """From the beginning to exit.json."""
        self.news.add("phase", self.clock.now_utc(), phase="booting", units_done=self.spec.units_start)
        for message in self.spec.warnings:
            self.ear.warn(self.clock.now_utc(), message)
        while not self.over():
            self.tick()
            self.wait()
        self.finish()

    def over(self) -> bool:
        """Whether the command has ended, will never run, or its time is up. Its folder gone, nobody could ever end it again."""
        ran = self.child is not None and self.child.exit_code is not None
        refused = self.child is None and bool(self.endings.given)
        return ran or refused or self.fault is not None or self.killed_by is not None or not self.folder.spec.exists()

    def tick(self) -> None:
        """Everything that is due now."""
        now_utc = self.clock.now_utc()
        self._hear_words(now_utc)
        self._give_notice(now_utc)
        self.killed_by = self.endings.killer(now_utc)
        if self.over():
            return
        if self.child is None:
            self._begin_when_ready(now_utc)
        else:
            self.ear.listen(now_utc, self.started_utc)
        self._show_state()
        self.reap()

    def wait(self) -> None:
        """A tick, or less where something is due or a child has ended."""
        now_utc = self.clock.now_utc()
        due_s = self.clock.real_s(self.endings.next_utc(now_utc) - now_utc)
        heard, _, _ = select.select([self._ears], [], [], 0.0 if self.over() else min(TICK_S, due_s))
        if heard:
            with contextlib.suppress(BlockingIOError):
                os.read(self._ears, 4096)
        self.reap()

    def reap(self) -> None:
        """Bury what has died: the command, and orphans of it that came to us."""
        with contextlib.suppress(ChildProcessError):
            while (dead := os.waitpid(-1, os.WNOHANG))[0] != 0:
                if self.child is not None and dead[0] == self.child.identity.pid:
                    code = os.waitstatus_to_exitcode(dead[1])
                    self.child.exit_code = self.child.process.returncode = code if code >= 0 else 128 - code

    def finish(self) -> None:
        """End all that is left of it, then say how it ended: in this order, so that what has ended is certain to bill no more."""
        at_utc = self.clock.now_utc()
        self.kill()
        exit_code = self.child.exit_code if self.child is not None else None
        with self._well():
            if self.child is not None:  # else what lies there is another's, who may be writing it just now
                self.ear.listen_last(at_utc, self.started_utc, killed=exit_code not in (0, START_AGAIN))
            past = Past(exit_code, self._told(), self.ear.done, self.fault)
            ended = Ended(self.spec, self.folder, past, at_utc, self.ear.units_done)
            document = finished(ended, self.clock)
        self._write_exit(document)

    def kill(self) -> None:
        """Until nothing is left. What cannot be killed is waited for: it is not dead."""
        if self.child is not None and self.child.exit_code is None:
            self.child.kill()
        while not kill_until_none(lambda: descendants(os.getpid()), self.reap, KILL_S):
            self.ear.warn(self.clock.now_utc(), "a process cannot be killed; the attempt has not ended")
        self.reap()

    def fail(self) -> None:
        """After a fault of our own: nothing may be left running, and somebody should know."""
        self.kill()
        detail = f"its supervisor failed: {traceback.format_exc().strip().splitlines()[-1]}"
        document = {"kind": "lost", "how": "lost", "at_utc": self.clock.now_utc(), "detail": detail}
        self._write_exit({**document, "units_done": self.ear.units_done})

    def _told(self) -> str | None:
        """Why it had to end: what it was given notice for, else what it was killed for."""
        way = self.endings.given[0] if self.endings.given else self.killed_by
        return way.reason if way is not None else None

    def _hear_words(self, now_utc: float) -> None:
        if self._terminated or self.folder.word("stop").exists():
            self.endings.stop(now_utc, grace_s(self.spec))

    def _give_notice(self, now_utc: float) -> None:
        way = self.endings.notice(now_utc)
        if way is None:
            return
        if way.reason == "interruption":
            self.news.add("notice", now_utc, kill_utc=way.kill_utc)
        else:
            self.news.add("phase", now_utc, phase="stopping", units_done=self.ear.units_done)
        if self.child is not None:
            write_notice(self.folder, way.reason, self.clock.real_s(way.kill_utc - now_utc))
            self.child.tell()

    def _begin_when_ready(self, now_utc: float) -> None:
        if now_utc < self.spec.ready_utc:
            return
        if self.spec.waits_for_go and not self.folder.word("go").exists():
            if not self._ready:
                self._ready = True
                self.news.add("phase", now_utc, phase="ready", units_done=self.spec.units_start)
            return
        self._begin()

    def _begin(self) -> None:
        self._move_torn_away()
        try:
            self.child = start(self.spec, self.folder)
        except NotStartedError as error:
            self.fault = str(error)
        self.started_utc = self.clock.now_utc()
        self.ear.begin(self.started_utc)

    def _move_torn_away(self) -> None:
        if self.spec.pattern is None:
            return
        folder = Path(self.spec.checkpoint_dir)
        try:
            with self._well():
                moved = quarantine_torn(folder, self.spec.pattern, self.spec.units)
        except OSError as error:
            self.ear.warn(self.clock.now_utc(), f"a torn checkpoint could not be moved away: {error}")
            return
        for name in moved:
            self.ear.warn(self.clock.now_utc(), f"{name} is torn: moved to quarantine")

    def _show_state(self) -> None:
        now_s = time.monotonic()
        if self.ear.units_done == self._state and now_s - self._beat_s < BEAT_S:
            return
        self._state, self._beat_s = self.ear.units_done, now_s
        self.news.flush()
        self._beat()

    def _beat(self) -> None:
        write_soon(self.folder.state, {"units_done": self.ear.units_done, "beat_s": time.monotonic()})

    @contextlib.contextmanager
    def _well(self) -> Iterator[None]:
        """Large files are read here, for minutes perhaps: it shows meanwhile that it is well."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(BEAT_S):
                self._beat()

        beating = threading.Thread(target=beat, daemon=True)
        beating.start()
        try:
            yield
        finally:
            over.set()
            beating.join()

    def _write_exit(self, document: dict[str, object]) -> None:
        """Last of all. A full disk is waited for: without this line nobody knows that it is over."""
        self.news.close()
        while self.folder.path.exists():
            try:
                write_first(self.folder.exit, document)
            except OSError:
                time.sleep(1.0)
            else:
                return

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._terminated = self._terminated or number == signal.SIGTERM


def _wake_on_signals(handler: signal._HANDLER) -> int:
    """A file descriptor to wait for. SIGHUP and SIGINT come from terminals and mean somebody else; SIGTERM is a stop."""
    ears, bell = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(bell, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, handler)
    return ears


def supervise(folder: AttemptFolder) -> None:
    """Take the lock and see it through. Does nothing where another has begun, or the Attempt was given up."""
    lock = _lock(folder)
    if lock is None or folder.given_up.exists() or folder.supervisor.exists() or folder.exit.exists():
        return
    spec = AttemptSpec.from_json(read_json(folder.spec))
    adopt_orphans()
    supervisor = Supervisor(folder, spec)
    identity = identify(os.getpid())
    assert identity is not None  # noqa: S101 - it is this process
    if not write_first(folder.supervisor, identity.as_json()):
        return
    try:
        supervisor.run()
    except BaseException:
        traceback.print_exc()  # before exit.json: whoever reads that finds the reason in the log
        supervisor.fail()
        raise SystemExit(1) from None


def _lock(folder: AttemptFolder) -> int | None:
    until_s = time.monotonic() + LOCK_S
    while (lock := folder.try_lock()) is None and time.monotonic() < until_s and not folder.supervisor.exists():
        time.sleep(0.01)
    return lock


def main() -> None:
    """Leave whoever started us, then supervise. The first process ends at once, and says by that that we could be loaded."""
    folder = AttemptFolder(Path(sys.argv[1]))
    if os.fork() != 0:
        os._exit(0)
    os.setsid()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    supervise(folder)


if __name__ == "__main__":
    main()
