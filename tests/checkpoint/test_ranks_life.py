"""Which ranks of a save still live: told by processes on this machine, by touched files on others."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nightspot.checkpoint.many import life
from nightspot.checkpoint.many.life import Beating, Life, Watch, claim, here, life_of

SAYS = "from nightspot.checkpoint.many.life import here; print(here(), flush=True); import sys; sys.stdin.read()"


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_process_is_known_until_it_dies_and_also_before_anybody_waits_for_it() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SAYS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline().strip()
        assert life_of(said) is Life.LIVES
        os.kill(process.pid, signal.SIGSTOP)
        assert life_of(said) is Life.LIVES, "it may go on"
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert life_of(said) is Life.GONE, "dead, though its parent does not know it yet"
    assert life_of(said) is Life.GONE


def test_another_process_with_the_same_number_is_not_it() -> None:
    host, pid, began = here().split(" ")
    assert life_of(f"{host} {pid} {int(began) - 1}") is Life.GONE


@pytest.mark.parametrize("said", ["", "elsewhere/4f/pid:[1] 1 2", "half a line"])
def test_of_other_machines_nothing_is_known(said: str) -> None:
    assert life_of(said) is Life.UNKNOWN


def test_a_rank_of_another_machine_lives_as_long_as_it_touches_its_file(tmp_path: Path) -> None:
    clock = Clock()
    watch = Watch(tmp_path, (), clock)
    claim(tmp_path, 1).write_text("elsewhere/4f/pid:[1] 1 2")
    for count in range(5):
        os.utime(claim(tmp_path, 1), (count, count))  # its clock is another one
        assert watch.look([1]) == {1: Life.LIVES}
        clock.now_s += life.BEAT_LIMIT_S
    assert watch.look([1]) == {1: Life.LIVES}
    clock.now_s += 1
    assert watch.look([1]) == {1: Life.GONE}


def test_of_a_rank_that_has_not_begun_its_trainer_tells(tmp_path: Path) -> None:
    clock = Clock()
    host, pid, began = here().split(" ")
    dead = f"{host} {pid} {int(began) - 1}"
    watch = Watch(tmp_path, (here(), dead, "elsewhere/4f/pid:[1] 1 2"), clock)
    assert watch.look([0, 1, 2, 3]) == dict.fromkeys(range(4), Life.UNKNOWN), "its writer may be about to begin"
    clock.now_s += life.BEGIN_LIMIT_S + 1
    assert watch.look([0, 1, 2, 3]) == {0: Life.UNKNOWN, 1: Life.GONE, 2: Life.UNKNOWN, 3: Life.UNKNOWN}


def test_who_works_is_seen_to_touch_its_file_until_the_work_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, "BEAT_S", 0.01)
    path = claim(tmp_path, 0)
    with Beating(path):
        assert path.read_text() == here()
        os.utime(path, (0, 0))
        while path.stat().st_mtime == 0:
            time.sleep(0.01)
        path.unlink()
    with Beating(tmp_path / "gone" / "rank-0.alive"):
        pass  # the save itself says what is wrong with the folder
    assert list(tmp_path.iterdir()) == [], "and it is never made again"
