"""Real processes, killed anywhere, a good part of them while writing: nothing durable is lost."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from nightspot.checkpoint import manifest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "kill_training.py"
SEED = 20

# A training of a few steps, each saved; prints what it computed.
TINY = """
import random, sys
from nightspot.checkpoint import Session
random.seed(1)
loop = {"step": 0, "sum": 0.0}
with Session({"loop": loop}, folder=sys.argv[1], interval_s=0) as session:
    session.restore()
    while loop["step"] < 4:
        loop["sum"] += random.random()
        loop["step"] += 1
        session.step(units_done=loop["step"])
    session.done(units_done=4)
print(loop["sum"])
"""


def _strace_works() -> bool:
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-qq", "-e", "trace=none", "true"], capture_output=True).returncode == 0


def test_no_kill_is_unrecoverable(capfd: pytest.CaptureFixture[str]) -> None:
    script = load_script()
    status = script.main(["--kills=12", f"--seed={SEED}"])
    summary = capfd.readouterr().out.splitlines()[-1]
    pattern = r"kills=\d+ inside_save=([1-9]\d*) unrecoverable=0 trainings=\d+ digest_equal=True seed=20"
    assert re.fullmatch(pattern, summary), summary
    assert status == 0


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("kill_training", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["kill_training"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_script_would_notice_a_lost_checkpoint() -> None:
    fell_behind = load_script().fell_behind
    told = [("training", 0), ("checkpoint", 5), ("training", 5), ("checkpoint", 9), ("training", 8)]
    lines = [{"kind": kind, "units_done": units_done} for kind, units_done in told]
    assert fell_behind(lines)
    assert not fell_behind(lines[:-1])


# Every call by which a first save reaches the disk: four files, their flushes, the folder's, the rename, the parent's.
CALLS = [f"pwrite64:{n}" for n in range(1, 5)] + [f"fsync:{n}" for n in range(1, 7)] + ["rename:1"]
# Of later ones: the second save, and the removal of the first.
LATER = ["fsync:7", "fsync:9", "rename:2", "rename:3", "rename:4", "unlinkat:1", "unlinkat:3"]
needs_strace = pytest.mark.skipif(not _strace_works(), reason="strace is not installed, or may not trace here")


def tiny(folder: Path, inject: str | None = None, *, background: bool = False) -> "subprocess.CompletedProcess[str]":
    """inject: at which call of which kind what happens; with `background`, in the writer process."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT / "src"),
        "NIGHTSPOT_PROGRESS": str(folder / "progress"),
        "NIGHTSPOT_CHECKPOINT_BACKGROUND": str(int(background)),
    }
    folder.mkdir(exist_ok=True)
    follow = ["-f"] if background else []
    call = ["strace", *follow, "-qq", "-o", "/dev/null", "-e", f"inject={inject}"] if inject else []
    command = [*call, sys.executable, "-c", TINY, str(folder)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny(tmp_path_factory.mktemp("undisturbed"), background=True).stdout


def injected(call: str, what: str) -> str:
    kind, _, when = call.partition(":")
    return f"{kind}:{what}:when={when}"


def goes_on_to_the_end(folder: Path, expected: str) -> None:
    """From the newest whole checkpoint, which no reader finds damaged."""
    durable = manifest.newest_valid(folder)
    again = tiny(folder)
    assert (again.returncode, again.stdout) == (0, expected), again.stderr
    assert "damaged" not in again.stderr
    assert not load_script().fell_behind(progress_of(folder))
    assert durable is None or f'"training", "units_done": {durable.head.units_done}' in progress_text(folder)


@needs_strace
@pytest.mark.parametrize("call", CALLS + LATER)
def test_a_kill_at_any_call_of_a_save_or_a_removal_is_survived(tmp_path: Path, expected: str, call: str) -> None:
    assert tiny(tmp_path, injected(call, "signal=KILL")).returncode == -9, "or nothing was killed"
    goes_on_to_the_end(tmp_path, expected)


@needs_strace
@pytest.mark.parametrize("call", CALLS)
def test_writers_that_are_all_killed_at_the_same_call_end_the_training_and_lose_nothing(
    tmp_path: Path, expected: str, call: str
) -> None:
    ended = tiny(tmp_path, injected(call, "signal=KILL"), background=True)
    assert ended.returncode == 1
    assert "SaveError: 3 saves in a row failed" in ended.stderr
    goes_on_to_the_end(tmp_path, expected)


@needs_strace
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("error", "background"), [("EIO", False), ("ENOSPC", True)])
def test_an_error_at_any_call_of_a_save_is_told_and_training_goes_on(
    tmp_path: Path, expected: str, call: str, error: str, *, background: bool
) -> None:
    ended = tiny(tmp_path, injected(call, f"error={error}"), background=background)
    assert (ended.returncode, ended.stdout) == (0, expected), ended.stderr
    assert "a checkpoint could not be saved, the newest is None" in ended.stderr
    assert [path.name for path in tmp_path.iterdir() if ".tmp-" in path.name] == []
    found = manifest.newest_valid(tmp_path)
    assert found is not None
    assert found.head.units_done == 4


def progress_text(folder: Path) -> str:
    return (folder / "progress").read_text()


def progress_of(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in progress_text(folder).splitlines()]
