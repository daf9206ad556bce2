"""A program in bubblewrap: everything read-only but its private folders, and processes that end as a whole."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Iterable, Mapping, Optional, Sequence

from nightspot.drill.apart.mounts import IsolationError
from nightspot.drill.apart.tree import Tree
from nightspot.process.tree import descendants, kill_until_none, pids, send_all

BASE = ("--die-with-parent", "--unshare-pid", "--ro-bind", "/", "/", "--dev-bind", "/dev", "/dev", "--proc", "/proc")
TRY_S = 10.0
MISSING = "bubblewrap (bwrap) is missing, and without it no case would have folders of its own: install it"
FORBIDDEN = "bubblewrap (bwrap) is not allowed to work here, and without it no case would have folders of its own"
END_S = 5.0


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
    """One start of a program. tree: below the first process inside, with which all others end."""

    process: subprocess.Popen[bytes]
    tree: Tree
    killed: bool = False

    @property
    def root_pid(self) -> int:
        """Of that first process."""
        return self.tree.root_pid

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
        """See Tree."""
        return self.tree.freeze()

    def thaw(self) -> None:
        """See Tree."""
        self.tree.thaw()

    def writes_to(self, files: Iterable[Path]) -> Optional[Path]:
        """See Tree."""
        return self.tree.writes_to(files)

    def memory_bytes(self) -> int:
        """See Tree."""
        return self.tree.memory_bytes()

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
    return Sandbox(process, Tree(_root_pid(process, reading, output)))


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
