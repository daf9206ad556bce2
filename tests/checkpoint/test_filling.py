"""Whatever number of threads fills memory from a file, all of it is hashed in order, and what it becomes is ours alone."""

import hashlib
import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nightspot.checkpoint import DamagedError, filling, layout
from nightspot.checkpoint.filling import Filling
from nightspot.checkpoint.layout import Span
from nightspot.checkpoint.manifest import File
from tests.checkpoint.helpers import flip_a_bit

SIZE_BYTES = 100_003
THREADS = 4


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "BLOCK_BYTES", 1000)


def written(folder: Path) -> tuple[File, bytes]:
    content = random.Random(4).randbytes(SIZE_BYTES)
    (folder / "data.bin").write_bytes(content)
    return File("data.bin", SIZE_BYTES, hashlib.sha256(content).hexdigest()), content


def spans(memory: bytearray) -> list[Span]:
    """Most of the file, with gaps that nobody wants."""
    return [Span("data.bin", at, memoryview(memory)[at : at + 2500]) for at in range(100, SIZE_BYTES - 2500, 3000)]


def fill(folder: Path, file: File, memory: bytearray) -> None:
    shared, together = Filling(folder, file, "sha256", spans(memory)), threading.Barrier(THREADS)

    def work() -> None:
        together.wait(30)
        while shared.turn():
            pass

    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(work) for _ in range(THREADS)]:
            done.result()
    shared.check()


def test_threads_fill_one_file_together_and_it_is_hashed_in_order(tmp_path: Path) -> None:
    file, content = written(tmp_path)
    for _ in range(20):
        memory = bytearray(SIZE_BYTES)
        fill(tmp_path, file, memory)
        assert all(span.memory == content[span.offset_bytes :][:2500] for span in spans(memory))


@pytest.mark.parametrize("at", [0, 50, 999, 1000, 2700, 54_321, SIZE_BYTES - 1])
def test_a_flipped_bit_is_noticed_wherever_it_is_also_where_nobody_wants_the_bytes(tmp_path: Path, at: int) -> None:
    file, _ = written(tmp_path)
    flip_a_bit(tmp_path / "data.bin", at)
    with pytest.raises(DamagedError, match="does not have the hash"):
        fill(tmp_path, file, bytearray(SIZE_BYTES))


def test_blocks_that_were_not_read_do_not_pass_for_verified(tmp_path: Path) -> None:
    file, _ = written(tmp_path)
    part = Filling(tmp_path, file, "sha256", [])
    assert part.turn()
    part.close()
    assert not part.turn()
    with pytest.raises(DamagedError, match="does not have the hash"):
        part.check()


def test_a_file_that_is_shorter_or_missing_is_damaged_and_none_stays_open(tmp_path: Path) -> None:
    file, _ = written(tmp_path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    fill(tmp_path, file, bytearray(SIZE_BYTES))
    os.truncate(tmp_path / "data.bin", SIZE_BYTES - 1)
    with pytest.raises(DamagedError, match=r"data\.bin has 100002 bytes, not 100003"):
        fill(tmp_path, file, bytearray(SIZE_BYTES))
    (tmp_path / "data.bin").unlink()
    with pytest.raises(DamagedError, match=r"data\.bin is missing"):
        fill(tmp_path, file, bytearray(SIZE_BYTES))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_memory_that_an_optimizer_keeps_is_not_shared_with_a_forked_worker() -> None:
    memory = layout.large(4096)
    child = os.fork()
    if child == 0:
        memory[:1] = b"x"
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert memory[:1] == b"\0"


def test_large_pages_are_not_asked_for_where_the_host_takes_free_memory_away(tmp_path: Path) -> None:
    assert not layout.host_takes_free_memory(tmp_path / "no balloon")
    (tmp_path / "virtio0").mkdir()
    for digits, takes in (("0" * 64, False), ("111110" + "0" * 58, False), ("000001" + "0" * 58, True), ("", False)):
        (tmp_path / "virtio0" / "features").write_text(f"{digits}\n")
        assert layout.host_takes_free_memory(tmp_path) == takes
