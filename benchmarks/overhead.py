"""Which share of training time checkpoints take at an interval of one minute, of five, and of "auto".

    python benchmarks/overhead.py [--size 1.5] [--rounds 5] [--seconds 60]

What one save loses is measured as in saves.py; the share is that over the interval ("auto": what it takes an hour after the start, where
nobody knows how often interruptions come). Then it is tried: training runs for `--seconds` with a save every 10 s, and with none, in
turn, and steps are counted. Speeds are for reading; nothing asserts them.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import ours
import saves
import state
from nightspot.checkpoint import Session
from nightspot.checkpoint.hazard import Hazard
from nightspot.checkpoint.interval import choose
from state import Training

TRIED_S = 10.0
AGE_S = 3600.0
INTERVALS_S = {"1min": 60.0, "5min": 300.0}


def shares(found: saves.Measured) -> None:
    """Print the share of training time at each interval."""
    lost_s, total_s = max(0.0, found.median("lost_s")), found.median("total_s")
    chosen = INTERVALS_S | {"auto": choose(lost_s, total_s, Hazard().mean_s(AGE_S)).interval_s}
    told = ", ".join(f"{name} ({interval_s:.0f} s) {lost_s / interval_s:.2%}" for name, interval_s in chosen.items())
    print(f"{found.name}: {lost_s:.3f} s lost a save: {told}")


def step_s(training: Training, folder: Path, interval_s: float, seconds: float, options: dict[str, Any]) -> float:
    """Mean seconds of a step, of all steps in about so many seconds, with a save every `interval_s`."""
    with Session(training.states, folder=folder, interval_s=interval_s, **options) as session:
        session.restore()
        for _ in range(3):
            training.step()
            session.step(float(training.steps["done"]))
        begun_s, begun = time.perf_counter(), training.steps["done"]
        while time.perf_counter() - begun_s < seconds:
            training.step()
            session.step(float(training.steps["done"]))
        return (time.perf_counter() - begun_s) / (training.steps["done"] - begun)


def tried(training: Training, folder: Path, options: Any, way: type[ours.Background], lost_s: float) -> None:
    """Print what saving every TRIED_S seconds really costs, beside what was foretold."""
    shares = []
    for turn in range(options.rounds):
        place = folder / f"tried-{turn}"
        without_s = step_s(training, place / "without", ours.NEVER_S, options.seconds / 2, way.options)
        with_s = step_s(training, place / "with", TRIED_S, options.seconds, way.options)
        again_s = step_s(training, place / "again", ours.NEVER_S, options.seconds / 2, way.options)
        shares.append(2 * with_s / (without_s + again_s) - 1)
    print(
        f"{way.name}: a save every {TRIED_S:.0f} s took {median(shares):.1%} ({min(shares):.1%} to {max(shares):.1%}) of training time; "
        f"foretold {lost_s / TRIED_S:.1%}"
    )


def main() -> int:
    """Measure and print."""
    parser = state.options(__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each try trains (default 60)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nightspot-overhead-", dir=options.folder) as name:
        folder = Path(name)
        print(state.machine(folder, options.device))
        training = Training(round(options.size * 1e9), batch=options.batch, device=options.device)
        training.step()
        found = saves.compare(training, folder, [*ours.OURS], options.rounds)
        for measured in found:
            shares(measured)
        for way, measured in zip(ours.OURS, found, strict=True):
            tried(training, folder / way.__name__, options, way, max(0.0, measured.median("lost_s")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
