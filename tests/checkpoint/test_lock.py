"""The lock of a folder lasts as long as its Session, whatever the user's own code does beside it."""

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nightspot.checkpoint import Session
from nightspot.checkpoint.errors import FolderInUseError
from nightspot.checkpoint.lock import LOCK, FolderLock

TRIES = """
import sys
from pathlib import Path
from nightspot.checkpoint.errors import FolderInUseError
from nightspot.checkpoint.lock import FolderLock
try:
    print(FolderLock(Path(sys.argv[1])).acquire(patience_s=0.1))
except FolderInUseError:
    print("in use")
"""


def seen_by_another(folder: Path) -> str:
    """What another process is told that wants to train there."""
    ran = subprocess.run([sys.executable, "-c", TRIES, str(folder)], capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def without_ofd(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a kernel that lacks these locks answers."""
    ask = fcntl.fcntl

    def lacking(descriptor: int, command: int, argument: object = 0) -> object:
        if command == fcntl.F_OFD_SETLK:
            raise OSError(errno.EINVAL, "Invalid argument")
        return ask(descriptor, command, argument)  # type: ignore[call-overload]

    monkeypatch.setattr(fcntl, "fcntl", lacking)


def test_a_script_that_copies_and_reads_its_folder_does_not_let_go_of_it(tmp_path: Path) -> None:
    """A record lock of the process goes with the first descriptor of the file that anybody in it closes."""
    folder = tmp_path / "checkpoints"
    with Session({"loop": {"step": 0}}, folder=folder, interval_s=0) as session:
        session.restore()
        session.step(1.0)
        (folder / LOCK).read_bytes()
        shutil.copytree(folder, tmp_path / "copy")
        assert seen_by_another(folder) == "in use"
    assert seen_by_another(folder) == "True"


def test_where_the_kernel_has_only_flock_it_lasts_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_ofd(monkeypatch)
    lock = FolderLock(tmp_path)
    assert lock.acquire(0.0)
    (tmp_path / LOCK).read_bytes()
    with pytest.raises(FolderInUseError, match="another Session of this one"):
        FolderLock(tmp_path).acquire(0.0)
    lock.release()
    assert FolderLock(tmp_path).acquire(0.0)


def test_a_second_session_of_one_process_is_refused(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    assert lock.acquire(0.0)
    second = FolderLock(tmp_path)
    with pytest.raises(FolderInUseError):
        second.acquire(0.0)
    second.release()
    assert seen_by_another(tmp_path) == "in use", "and the first one has it still"
    lock.release()


@pytest.mark.parametrize("ofd", [True, False])
def test_a_forked_worker_that_outlives_the_training_does_not_keep_the_folder(
    tmp_path: Path, ofd: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not ofd:
        without_ofd(monkeypatch)
    lock = FolderLock(tmp_path)
    assert lock.acquire(0.0)
    forked, telling = os.pipe()
    worker = os.fork()
    if worker == 0:
        os.write(telling, b"x")
        signal.pause()
        os._exit(0)
    try:
        assert os.read(forked, 1) == b"x"
        with pytest.raises(FolderInUseError):
            FolderLock(tmp_path).acquire(0.0)
        lock.release()
        assert FolderLock(tmp_path).acquire(0.0)
    finally:
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)
        os.close(forked)
        os.close(telling)


def test_record_locks_of_earlier_versions_are_heeded(tmp_path: Path) -> None:
    program = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX); print(1, flush=True); sys.stdin.read()"
    words = [sys.executable, "-c", program, str(tmp_path / LOCK)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as earlier:
        assert earlier.stdout is not None
        earlier.stdout.readline()
        with pytest.raises(FolderInUseError):
            FolderLock(tmp_path).acquire(0.0)
        earlier.communicate()
    assert FolderLock(tmp_path).acquire(0.0)
