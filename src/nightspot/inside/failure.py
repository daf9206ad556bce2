"""What is said when the script fails: /opt/ml/output/failure becomes the job's FailureReason."""

from __future__ import annotations

import os
import signal
from pathlib import Path

START_AGAIN, CONFIG = 75, 78
STDERR = 2


def write_failure(path: Path, script: str, exit_code: int, *, told: bool) -> None:
    """Say how the script failed, unless it has said so itself, or the toolkit has more to say."""
    if exit_code == 0 or path.exists():
        return
    ours = exit_code in (START_AGAIN, CONFIG) or exit_code > 128
    if ours or not _parent_reads():
        say(path, f"{script}: {described(exit_code, told=told)}")


def say(path: Path, why: str) -> None:
    """Best effort: the exit code is the truth, this is for people."""
    try:
        path.write_text(why)
    except OSError:
        return


def described(exit_code: int, *, told: bool) -> str:
    """An exit code in words. told: it was asked to end."""
    if exit_code == START_AGAIN and told:
        return "exit code 75: ended early, as it was asked to; start it again"
    if exit_code == START_AGAIN:
        return "exit code 75: it asks to be started again, though it was not told to end"
    if exit_code == CONFIG:
        return "exit code 78: starting it again will not help; the log says why"
    return _signal(exit_code, told=told) if exit_code > 128 else f"exit code {exit_code}; the log has its last words"


def _signal(exit_code: int, *, told: bool) -> str:
    try:
        name = signal.Signals(exit_code - 128).name
    except ValueError:
        return f"exit code {exit_code}"
    memory = " (often: out of memory)" if exit_code == 128 + signal.SIGKILL and not told else ""
    return f"exit code {exit_code}: killed by {name}{memory}"


def _parent_reads() -> bool:
    """Whether the toolkit reads our stderr: then it puts the script's own error message into the failure, which is worth more than ours."""
    try:
        theirs = os.stat(f"/proc/{os.getppid()}/fd/{STDERR}")  # noqa: PTH116
        mine = os.fstat(STDERR)
    except OSError:
        return False
    return (theirs.st_dev, theirs.st_ino) != (mine.st_dev, mine.st_ino)
