"""Prints what training costs on this machine: one JSON object with epoch_s, save_s and startup_s, in seconds.

Takes the options of train.py and a few seconds. A time scale for a demonstration can be set from it.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import options
from data import DataError
from nightspot.checkpoint import Session
from options import Task
from training import Learner, be_deterministic

WARM_STEPS = 3  # the first ones pay for memory and for code loaded late
GROUPS, GROUP_STEPS = 5, 20  # a burst of other work on the machine spoils one group, not the figure
SAVES = 5


def measure(task: Task) -> dict[str, float]:
    """Start-up until ready to train, one epoch by a sample of its steps, one checkpoint; seconds."""
    learner = Learner(task.split.train, task.users, task.items, task.chosen)
    startup_s = since_process_start_s()
    step_s = typical_step_s(learner)
    measured = {
        "startup_s": startup_s,
        "epoch_s": step_s * len(learner.batches),
        "save_s": typical_save_s(learner),
    }
    return {name: round(value, 4) for name, value in measured.items()}


def typical_step_s(learner: Learner) -> float:
    """Median over groups of their steps' mean: an epoch pays for the slow ones too."""
    steps = iter(learner.batches)
    for _ in range(min(WARM_STEPS, len(learner.batches) - 1)):
        learner.step(next(steps))
    taken_s = []
    for positions, _ in zip(steps, range(GROUPS * GROUP_STEPS), strict=False):
        before_s = time.perf_counter()
        learner.step(positions)
        taken_s.append(time.perf_counter() - before_s)
    groups = [taken_s[n : n + GROUP_STEPS] for n in range(0, len(taken_s), GROUP_STEPS)]
    return statistics.median([statistics.fmean(group) for group in groups])


def typical_save_s(learner: Learner) -> float:
    """Median of some checkpoints, asked for as nightspot asks, and as long as the session says they took."""
    with tempfile.TemporaryDirectory() as folder:
        request, progress = Path(folder) / "save-now", Path(folder) / "progress.jsonl"
        set_environment(Path(folder), request, progress)
        parts = {"model": learner.model, "optimizer": learner.optimizer, "scheduler": learner.scheduler}
        with Session(parts) as session:
            session.restore()
            for number in range(1, SAVES + 1):
                request.touch()
                session.step(units_done=number)
        return statistics.median(saves_s(progress))


def saves_s(progress: Path) -> list[float]:
    """How long each checkpoint took that was reported, in seconds."""
    lines = [json.loads(line) for line in progress.read_text().splitlines()]
    found = [float(line["save_s"]) for line in lines if line["kind"] == "checkpoint"]
    if not found:
        raise RuntimeError(f"{progress}: expected reports of checkpoints, found none")
    return found


def set_environment(folder: Path, request: Path, progress: Path) -> None:
    """Only what a session needs here: nothing of a surrounding night may hear of it."""
    for name in [name for name in os.environ if name.startswith("NIGHTSPOT_")]:
        del os.environ[name]
    os.environ["NIGHTSPOT_CHECKPOINT_DIR"] = str(folder / "checkpoints")
    os.environ["NIGHTSPOT_SAVE_REQUEST"] = str(request)
    os.environ["NIGHTSPOT_CHECKPOINT_WAIT"] = "1"  # or a later request would find the save before it still in flight
    os.environ["NIGHTSPOT_PROGRESS"] = str(progress)
    (folder / "checkpoints").mkdir()


def since_process_start_s() -> float:
    """Seconds since this process was started: the interpreter and the imports count too. Linux."""
    after_name = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    started_s = int(after_name[19]) / os.sysconf("SC_CLK_TCK")  # field 22 of proc(5), since boot
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started_s


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    chosen = options.parser("Measure the training on this machine.").parse_args(arguments)
    be_deterministic(chosen.threads)
    try:
        print(json.dumps(measure(options.task(chosen))))
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 78
    return 0


if __name__ == "__main__":
    sys.exit(main())
