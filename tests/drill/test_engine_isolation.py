"""Nothing that is real is touched, nothing is shared between cases, and a kill takes everything."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from nightspot.drill.apart import sandbox
from nightspot.drill.apart.copying import copy_tree
from nightspot.drill.apart.machine import Machine
from nightspot.drill.apart.mounts import IsolationError, lay_out
from nightspot.drill.play import play
from nightspot.drill.record import Case, Cause
from tests.drill.engine_jobs import by_case, everything_in, needs_bwrap, play_all, settings_of, written


@needs_bwrap
def test_what_lies_at_the_scripts_own_paths_is_as_before_and_was_not_read(tmp_path: Path) -> None:
    """Old checkpoints, an old model and old results: a drill that read them would begin at step 15."""
    elsewhere = tmp_path / "results"
    file = written(
        tmp_path / "job",
        str(tmp_path / "ckpt"),
        "--also",
        str(elsewhere / "new/note"),
        "--losses",
        "loss.jsonl",
        drill=f"paths = ['{elsewhere}']",
    )
    file.write_text(file.read_text().replace('"ckpt"', f'"{tmp_path / "ckpt"}"'))
    for path in ("ckpt/ckpt-0015.json", "results/old", "job/model.json", "job/loss.jsonl", "job/sub/data.txt"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text('[\n15,\n"old"\n]\nend')
    before = everything_in(tmp_path)
    drilled = play_all(settings_of(file, tmp_path.parent / f"{tmp_path.name}-root"), [Case.KILL, Case.CLEAN_MACHINE])
    assert everything_in(tmp_path) == before
    assert [len(one.lives[0].logged) for one in drilled.baselines] == [20, 20]
    assert drilled.baselines[0].artefact is not None
    assert [one.artefact for one in drilled.trainings] == [drilled.baselines[0].artefact] * 2


@needs_bwrap
def test_what_is_written_where_nothing_is_private_fails_and_the_remedy_is_named(tmp_path: Path) -> None:
    foreign = tmp_path / "shared"
    foreign.mkdir()
    file = written(tmp_path / "job", "ckpt", "--also", str(foreign / "note"))
    drilled = play_all(settings_of(file, tmp_path / "root"), [Case.KILL])
    fault = drilled.baselines[0].fault or ""
    assert f"{foreign / 'note'}" in fault and "[drill] paths" in fault
    assert list(foreign.iterdir()) == []


@needs_bwrap
def test_a_kill_takes_a_process_that_left_its_group_and_ignores_signals(tmp_path: Path) -> None:
    """It writes a letter every hundredth of a second into the copy of the job's folder."""
    file = written(tmp_path / "job", "ckpt", "--orphan", "heart", "--pause", "0.05")
    settings = settings_of(file, tmp_path / "root", keep=True)
    training = by_case(play_all(settings, [Case.KILL]))[Case.KILL]
    assert training.lives[0].exit_code == 137
    hearts = list((tmp_path / "root/cases").rglob("heart"))
    assert hearts
    sizes = [heart.stat().st_size for heart in hearts]
    time.sleep(0.1)
    assert sizes == [heart.stat().st_size for heart in hearts]


@needs_bwrap
def test_machines_of_two_cases_share_nothing_and_lives_of_one_share_all(tmp_path: Path) -> None:
    layout = lay_out(settings_of(written(tmp_path / "job"), tmp_path / "root"))
    one, two = Machine(layout, tmp_path / "1"), Machine(layout, tmp_path / "2")
    for machine in (one, two):
        machine.make()
    assert inside(one, tmp_path / "job", "echo 1 > ckpt/a; echo 1 > /tmp/a; echo 1 > /dev/shm/a") == ""
    assert inside(one, tmp_path / "job", "ls ckpt; ls /dev/shm; cat /tmp/a") == "a\n1\n"
    assert inside(two, tmp_path / "job", "ls ckpt; ls /dev/shm; cat /tmp/a 2>&1 || true").endswith(
        "No such file or directory\n"
    )


def inside(machine: Machine, directory: Path, script: str) -> str:
    machine.folder.mkdir(exist_ok=True)
    output = machine.folder / "output"
    output.unlink(missing_ok=True)
    program = sandbox.start(machine.words(), ["sh", "-c", script], directory, os.environ, output)
    assert program.process.wait(20) == 0, output.read_text()
    return output.read_text()


@needs_bwrap
def test_folders_that_do_not_exist_are_made_without_touching_their_parents(tmp_path: Path) -> None:
    """There is nothing to mount over: the folder around is rebuilt, with all that it holds."""
    (tmp_path / "data/there").mkdir(parents=True)
    (tmp_path / "data/file").write_text("read me")
    file = written(tmp_path / "job", str(tmp_path / "data/new/ckpt"))
    file.write_text(file.read_text().replace('"ckpt"', f'"{tmp_path / "data/new/ckpt"}"'))
    machine = Machine(lay_out(settings_of(file, tmp_path / "root")), tmp_path / "1")
    machine.make()
    said = inside(machine, tmp_path / "job", f"cd {tmp_path}/data; cat file; ls; echo 1 > new/ckpt/x; ls new/ckpt")
    assert said == "read mefile\nnew\nthere\nx\n"
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["file", "there"]
    assert (machine.real(tmp_path / "data/new/ckpt") / "x").read_text() == "1\n"


@needs_bwrap
def test_of_a_big_source_tree_only_what_is_small_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nightspot.drill.apart.copying.MOST_BYTES", 10_000)
    file = written(tmp_path / "job")
    (tmp_path / "job/data/deep").mkdir(parents=True)
    (tmp_path / "job/data/deep/big.bin").write_bytes(b"b" * 20_000)
    (tmp_path / "job/data/small.txt").write_text("small")
    (tmp_path / "job/link").symlink_to("data/small.txt")
    machine = Machine(lay_out(settings_of(file, tmp_path / "root")), tmp_path / "1")
    machine.make()
    copied = {str(p.relative_to(machine.real(tmp_path / "job"))) for p in machine.real(tmp_path / "job").rglob("*")}
    assert {"train.py", "link"} <= copied and not any("big" in name for name in copied)
    said = inside(
        machine,
        tmp_path / "job",
        "cat link; wc -c < data/deep/big.bin; echo x >> train.py; (echo x > data/deep/y) 2>&1 || true",
    )
    assert said.startswith("small20000\n") and "Read-only" in said
    assert "x" not in (tmp_path / "job/train.py").read_text()[-2:]


def test_a_copy_leaves_out_what_is_to_begin_empty(tmp_path: Path) -> None:
    (tmp_path / "a/ckpt").mkdir(parents=True)
    (tmp_path / "a/ckpt/old").touch()
    (tmp_path / "a/kept").write_text("k")
    copy_tree(tmp_path / "a", tmp_path / "b", {tmp_path / "a/ckpt"})
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["kept"]


def test_without_bubblewrap_nothing_is_played_and_every_case_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    file = written(tmp_path / "job")
    drilled = play_all(settings_of(file, tmp_path / "root"), list(Case))
    assert [one.cause for one in drilled.trainings] == [Cause.ISOLATION] * len(Case)
    assert all("bubblewrap" in (one.fault or "") for one in drilled.trainings)
    assert not (tmp_path / "job/ckpt").exists()


def test_bubblewrap_that_may_not_work_is_as_good_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2; exit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert "No permissions" in (sandbox.why_not() or "")


def test_checkpoints_beside_the_program_need_a_name(tmp_path: Path) -> None:
    """Else its folder would begin empty, without the program."""
    file = written(tmp_path / "job")
    file.write_text(file.read_text().replace('checkpoints = "ckpt"', 'checkpoints = "."'))
    with pytest.raises(IsolationError, match=r'checkpoints = "ckpt-\*.pt"'):
        lay_out(settings_of(file, tmp_path / "root"))


@needs_bwrap
def test_named_files_beside_the_program_begin_absent(tmp_path: Path) -> None:
    file = written(tmp_path / "job", ".")
    file.write_text(file.read_text().replace('checkpoints = "ckpt"', 'checkpoints = "ckpt-*.json"'))
    (tmp_path / "job/ckpt-0015.json").write_text('[\n15,\n"old"\n]\nend')
    training = by_case(play_all(settings_of(file, tmp_path / "root"), [Case.CLEAN_MACHINE]))[Case.CLEAN_MACHINE]
    assert training.lives[0].logged[0].step == 1
    assert training.lives[1].logged[0].step == int(training.lives[0].durables[-1].name[5:9]) + 1


FOREVER = """
import sys
import threading
from pathlib import Path
sys.path.insert(0, {root!r})
from nightspot.drill.record import Case
from tests.drill.engine_jobs import play_all, settings_of
print("ready", flush=True)
play_all(settings_of(Path({file!r}), Path({folder!r})), list(Case))
"""


@needs_bwrap
def test_ctrl_c_ends_all_that_runs(tmp_path: Path) -> None:
    file = written(tmp_path / "job", "ckpt", "--pause", "60", "--also", "begun")
    words = {"root": str(Path(__file__).parents[2]), "file": str(file), "folder": str(tmp_path / "root")}
    drill = subprocess.Popen([sys.executable, "-c", FOREVER.format(**words)], stderr=subprocess.DEVNULL)
    until(lambda: bool(list((tmp_path / "root/cases").rglob("begun"))))
    drill.send_signal(2)
    assert drill.wait(20) != 0
    assert running(str(tmp_path)) == []


@needs_bwrap
def test_a_drill_that_is_killed_leaves_no_process_behind(tmp_path: Path) -> None:
    file = written(tmp_path / "job", "ckpt", "--pause", "60", "--also", "begun")
    words = {"root": str(Path(__file__).parents[2]), "file": str(file), "folder": str(tmp_path / "root")}
    drill = subprocess.Popen([sys.executable, "-c", FOREVER.format(**words)], stderr=subprocess.DEVNULL)
    until(lambda: bool(list((tmp_path / "root/cases").rglob("begun"))))
    drill.kill()
    drill.wait(20)
    until(lambda: running(str(tmp_path)) == [])


def running(mark: str) -> list[int]:
    """Processes whose environment names that folder, but for those of pytest itself."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark.encode() in (entry / "environ").read_bytes().replace(
                b"PYTEST_CURRENT_TEST", b""
            ):
                found.append(int(entry.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


def until(condition: object, patience_s: float = 30.0) -> None:
    assert callable(condition)
    end_s = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end_s, "it never came"
        time.sleep(0.02)


def test_play_returns_and_raises_nothing_where_the_layout_is_impossible(tmp_path: Path) -> None:
    file = written(tmp_path / "job", drill="paths = ['train.py']")
    drilled = play(settings_of(file, tmp_path / "root"), [Case.KILL], lambda _: True, lambda _: None)
    assert drilled.trainings[0].cause is Cause.ISOLATION


def test_what_a_dead_drill_left_running_is_ended_and_nothing_of_another(tmp_path: Path) -> None:
    """bubblewrap ends with the drill, but for an instant of its own beginning: the next drill looks."""
    left, other = [
        subprocess.Popen(["sleep", "60"], env={"NIGHTSPOT_PROGRESS": f"{tmp_path / name}/life/1/progress.jsonl"})
        for name in ("work-1", "work-11")
    ]
    try:
        assert not sandbox.end_all_of(tmp_path / "work") or other.poll() is None
        threading.Thread(target=left.wait, daemon=True).start()  # its parent buries it
        assert sandbox.end_all_of(tmp_path / "work-1")
        until(lambda: left.poll() == -9)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
