"""Room for a snapshot is looked for before it is taken, and the writers of a folder are waited for."""

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from nightspot.checkpoint import FolderInUseError, memory
from nightspot.checkpoint.arena import Arena, allocate
from nightspot.checkpoint.hand import NoWriterError
from nightspot.checkpoint.lock import SAVING, wait_for_writers

HOLDS = """
import sys, time
from pathlib import Path
from nightspot.checkpoint.lock import SharedLock
lock = SharedLock(Path(sys.argv[1]))
lock.share()
print("held", flush=True)
time.sleep(60)
"""


def group(folder: Path, limit: str, used_bytes: int, cached_bytes: int) -> Path:
    folder.mkdir()
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used_bytes}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {cached_bytes}\nactive_file 7\n")
    return folder


def test_the_tighter_of_machine_and_control_group_counts(tmp_path: Path) -> None:
    meminfo, nowhere = tmp_path / "meminfo", tmp_path / "nowhere"
    meminfo.write_text("MemTotal:  8000 kB\nMemFree:  10 kB\nMemAvailable:  4000 kB\n")
    assert memory.available_bytes(meminfo, nowhere) == 4000 << 10
    assert memory.available_bytes(meminfo, group(tmp_path / "open", "max", 1, 1)) == 4000 << 10
    assert memory.available_bytes(meminfo, group(tmp_path / "tight", "1000", 800, 300)) == 500
    assert memory.available_bytes(nowhere, nowhere) is None


def test_a_snapshot_that_would_take_the_trainings_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 100 << 20)
    memory.check(90 << 20)
    with pytest.raises(NoWriterError, match="a snapshot of 99 MiB does not fit: 100 MiB of memory are free"):
        memory.check(99 << 20)
    monkeypatch.setattr(memory, "available_bytes", lambda: None)
    memory.check(1 << 60)  # where nobody says, it is tried


def test_memory_to_share_is_there_once_it_was_allocated_and_goes_when_it_is_let_go() -> None:
    arena = Arena.shared(3 << 20)
    assert arena.descriptor is not None
    resident = Path(f"/proc/self/fd/{arena.descriptor}")
    assert resident.stat().st_blocks == 0
    allocate(arena.descriptor, arena.size_bytes)
    assert resident.stat().st_blocks * 512 >= arena.size_bytes >= 3 << 20
    arena.populate()
    assert bytes(arena.memory[:4]) == b"\0\0\0\0"
    arena.close()
    arena.close()
    del arena
    assert "nightspot-checkpoint" not in Path("/proc/self/maps").read_text()


def test_whoever_opens_a_folder_waits_for_its_writers_but_not_for_ever(tmp_path: Path) -> None:
    wait_for_writers(tmp_path, 0.0)
    holder = subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(FolderInUseError):
            wait_for_writers(tmp_path, 0.1)
        with (tmp_path / SAVING).open("rb") as beside:
            fcntl.lockf(beside, fcntl.LOCK_SH | fcntl.LOCK_NB)  # another rank's writer is welcome
    finally:
        holder.kill()
        holder.communicate()
    wait_for_writers(tmp_path, 10.0)
