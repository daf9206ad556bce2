"""A program in bubblewrap: everything read-only but its private folders, and a process tree that can be frozen, and ends, as a whole."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Iterable, Iterator, Mapping, Optional, Sequence

from nightspot.drill.apart.mounts import IsolationError
from nightspot.process.identity import STATE, stat_fields
from nightspot.process.tree import descendants, kill_until_none, pids, send_all

BASE = ("--die-with-parent", "--unshare-pid", "--ro-bind", "/", "/", "--dev-bind", "/dev", "/dev", "--proc", "/proc")
TRY_S = 10.0
MISSING = "bubblewrap (bwrap) is missing, and without it no case would have folders of its own: install it"
FORBIDDEN = "bubblewrap (bwrap) is not allowed to work here, and without it no case would have folders of its own"
FREEZE_S, END_S = 2.0, 5.0
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
STILL = ("T", "t", "Z", "X")


def why_not() -> Optional[str]:
    """What keeps bubblewrap from isolating here; None where it works."""
    if shutil.which("bwrap") is None:
        return MISSING
    try:
        with tempfile.TemporaryDirectory() as own:
            words = ["bwrap", *BASE, "--bind", own, "/tmp", "true"]  # noqa: S108 - the sandbox's own
            done = subprocess.run(words, capture_output=True, timeout=TRY_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{FORBIDDEN} ({error})"
    said = done.stderr.decode(errors="replace").strip()
    return None if done.returncode == 0 else f"{FORBIDDEN} ({said or done.returncode})"


@dataclass(slots=True)
class Sandbox:
    """One start of a program. root_pid: of the first process inside, with which all others end."""

    process: subprocess.Popen[bytes]
    root_pid: int
    killed: bool = False
    _stopped: set[int] = field(default_factory=set)

    def exit_code(self) -> Optional[int]:
        """As a shell has it; None while it runs. 137 where `kill` ended it."""
        code = self.process.poll()
        if code is None:
            return None
        return 128 + signal.SIGKILL if self.killed or code < 0 else code

    def kill(self) -> None:
        """The machine goes: every process at once, however frozen. Returns when none is left."""
        if self.process.poll() is not None:
            return
        self.killed = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.root_pid, signal.SIGKILL)
        self.process.wait()

    def tell(self, number: signal.Signals) -> None:
        """A signal to all but the sandbox's own first process."""
        send_all(descendants(self.root_pid), number)

    def freeze(self) -> bool:
        """Stop all of it where it stands. False where that took too long: then nothing is known of its moment."""
        until_s = time.monotonic() + FREEZE_S
        while time.monotonic() < until_s:
            living = children_of(self.root_pid)
            send_all(living, signal.SIGSTOP)
            self._stopped |= living
            if living and children_of(self.root_pid) == living and all(_is_still(pid) for pid in living):
                return True
            if not living and self.process.poll() is not None:
                return False
        return False

    def thaw(self) -> None:
        """Let it go on."""
        send_all(self._stopped, signal.SIGCONT)
        self._stopped.clear()

    def writes_to(self, files: Iterable[Path]) -> Optional[Path]:
        """One of those files that something in there has open for writing; None where nothing has. Frozen, the answer stays true."""
        wanted = {(stat.st_dev, stat.st_ino): path for path in files if (stat := _stat(path)) is not None}
        for pid in children_of(self.root_pid) if wanted else ():
            for identity in _open_for_writing(pid):
                if identity in wanted:
                    return wanted[identity]
        return None

    def memory_bytes(self) -> int:
        """What all of it holds now; pages that two share count twice."""
        pages = 0
        for pid in children_of(self.root_pid):
            with contextlib.suppress(OSError, ValueError, IndexError):
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * PAGE_BYTES

    def close(self) -> None:
        """End it, if it has not; never raises."""
        with contextlib.suppress(OSError):
            self.kill()
        self.process.wait()


def end_all_of(root: Path) -> bool:
    """Kill what a drill with that folder, itself dead, left running. False where something lives on.

    bubblewrap ends with us; but for an instant of its own beginning, in which we may be killed, it does not yet.
    """
    return kill_until_none(lambda: _bearers(root), lambda: None, END_S)


def _bearers(root: Path) -> set[int]:
    """Living processes whose progress file lies in that folder."""
    mark = b"NIGHTSPOT_PROGRESS=" + os.fsencode(root) + b"/"
    found = set()
    for pid in pids():
        with contextlib.suppress(OSError):
            environment = Path(f"/proc/{pid}/environ").read_bytes()  # empty for one that is dead and not yet buried
            if environment.startswith(mark) or b"\0" + mark in environment:
                found.add(pid)
    return found - {os.getpid()}


def children_of(root: int) -> set[int]:
    """All below that process, fast: by the kernel's own lists where it has them."""
    found: set[int] = set()
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        try:
            lists = [(task / "children").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
        except OSError:
            if pid == root and Path(f"/proc/{pid}").exists():
                return descendants(root)
            continue
        new = {int(word) for text in lists for word in text.split()} - found
        found |= new
        waiting.extend(new)
    return found


def _open_for_writing(pid: int) -> Iterator[tuple[int, int]]:
    """Device and inode of each such file; of what cannot be seen, nothing."""
    with contextlib.suppress(OSError):
        for entry in list(Path(f"/proc/{pid}/fd").iterdir()):
            with contextlib.suppress(OSError, ValueError, IndexError):
                flags = Path(f"/proc/{pid}/fdinfo/{entry.name}").read_text().split("flags:", 1)[1].split()[0]
                if int(flags, 8) & (os.O_WRONLY | os.O_RDWR):
                    stat = entry.stat()
                    yield stat.st_dev, stat.st_ino


def _stat(path: Path) -> Optional[os.stat_result]:
    with contextlib.suppress(OSError):
        return path.stat()
    return None


def _is_still(pid: int) -> bool:
    fields = stat_fields(pid)
    return fields is None or fields[STATE] in STILL


def start(
    mounts: Sequence[str], command: Sequence[str], directory: Path, environment: Mapping[str, str], output: Path
) -> Sandbox:
    """Start a command in it. IsolationError where bubblewrap fails before the command begins."""
    reading, writing = os.pipe()
    words = [*BASE, *mounts, "--tmpfs", "/dev/shm", "--info-fd", str(writing), "--chdir", str(directory)]  # noqa: S108
    try:
        with tempfile.TemporaryFile() as arguments, output.open("ab") as log:
            _write(arguments, words)
            process = subprocess.Popen(
                ["bwrap", "--args", str(arguments.fileno()), "--", *command],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(arguments.fileno(), writing),
                start_new_session=True,
            )
    finally:
        os.close(writing)
    return Sandbox(process, _root_pid(process, reading, output))


def _write(file: IO[bytes], words: Sequence[str]) -> None:
    """bubblewrap reads them from a file: a command line has too little room."""
    file.write(b"".join(os.fsencode(word) + b"\0" for word in words))
    file.seek(0)


def _root_pid(process: subprocess.Popen[bytes], reading: int, output: Path) -> int:
    with os.fdopen(reading, "rb") as information:
        told = information.read()
    try:
        return int(json.loads(told)["child-pid"])
    except (ValueError, KeyError, TypeError):
        process.wait()
        said = output.read_text("utf-8", "replace").strip().splitlines()[-1:] or ["it says nothing"]
        raise IsolationError(f"bubblewrap failed: {said[0]}") from None
