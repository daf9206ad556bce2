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


def tiny(folder: Path, inject: str | None = None) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {
        "PYTHONPATH": str(ROOT / "src"),
        "NIGHTSPOT_PROGRESS": str(folder / "progress"),
        "NIGHTSPOT_CHECKPOINT_BACKGROUND": "0",
    }
    folder.mkdir(exist_ok=True)
    call = ["strace", "-qq", "-o", "/dev/null", "-e", f"inject={inject}"] if inject else []
    command = [*call, sys.executable, "-c", TINY, str(folder)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.skipif(not _strace_works(), reason="strace is not installed, or may not trace here")
@pytest.mark.parametrize(
    "inject",
    [f"fsync:signal=KILL:when={when}" for when in (1, 2, 3, 4, 7)]
    + [f"rename:signal=KILL:when={when}" for when in (1, 2, 3)]
    + [f"unlinkat:signal=KILL:when={when}" for when in (1, 2)],
)
def test_a_kill_at_any_call_of_a_save_or_a_removal_is_survived(tmp_path: Path, inject: str) -> None:
    expected = tiny(tmp_path / "undisturbed").stdout
    folder = tmp_path / "killed"
    assert tiny(folder, inject).returncode == -9, "or nothing was killed"
    durable = manifest.newest_valid(folder)
    again = tiny(folder)
    assert (again.returncode, again.stdout) == (0, expected), again.stderr
    assert "damaged" not in again.stderr
    assert not load_script().fell_behind(progress_of(folder))
    assert durable is None or f'"training", "units_done": {durable.head.units_done}' in progress_text(folder)


@pytest.mark.skipif(not _strace_works(), reason="strace is not installed, or may not trace here")
def test_an_io_error_while_flushing_is_told_and_survived(tmp_path: Path) -> None:
    expected = tiny(tmp_path / "undisturbed").stdout
    ended = tiny(tmp_path / "broken", "fsync:error=EIO:when=2")
    assert (ended.returncode, ended.stdout) == (0, expected)
    assert "a checkpoint could not be saved" in ended.stderr
    found = manifest.newest_valid(tmp_path / "broken")
    assert found is not None
    assert found.head.units_done == 4


def progress_text(folder: Path) -> str:
    return (folder / "progress").read_text()


def progress_of(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in progress_text(folder).splitlines()]
