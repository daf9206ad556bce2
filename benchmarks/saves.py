"""What a checkpoint costs a training that goes on meanwhile: ours beside torch.save, torch.distributed.checkpoint (DCP) and memcpy.

    python benchmarks/saves.py [--size 1.5] [--rounds 5] [--ways memcpy,dcp]

All ways are measured in one run, in turn, on one training. For each save:

    stall   time in which no step ran because of the save
    lost    stall, and how much longer the steps took until the checkpoint was durable: the sum over them of (time - median time of
            the steps around the save, when nothing was saved)
    total   until the checkpoint was durable

Printed are medians over the rounds, and ratios. Speeds are for reading; nothing asserts them.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import state
from ours import OURS
from peers import PEERS, Way
from state import Training

CALM_STEPS = 8  # before each save and after it, nothing is saved: what a step takes then
SETTLING_STEPS = 3  # after a save: what the file system still does belongs to nobody
MOST_STEPS = 10_000


@dataclass(frozen=True, slots=True)
class Save:
    """One measured save, in seconds; `steps` that ended until it was durable."""

    stall_s: float
    lost_s: float
    total_s: float
    steps: int


@dataclass(slots=True)
class Measured:
    """All saves of one way."""

    name: str
    saves: list[Save] = field(default_factory=list)

    def median(self, what: str) -> float:
        """Of one field of its saves."""
        return float(median(getattr(save, what) for save in self.saves))


def calm(training: Training, way: Way) -> list[float]:
    """Times of steps while nothing is saved, in seconds, what the way does at a boundary included."""
    times_s = []
    for _ in range(CALM_STEPS):
        step_s, begun_s = training.step(), time.perf_counter()
        way.boundary()
        times_s.append(step_s + time.perf_counter() - begun_s)
    return times_s


def measure(training: Training, way: Way) -> Save:
    """One save, with calm steps before and after it."""
    calm_s, steps_s = calm(training, way), list[float]()
    way.ask()
    begun_s = time.perf_counter()
    stalls_s = [_timed(way)]
    while not way.committed() and len(steps_s) < MOST_STEPS:
        steps_s.append(training.step())
        stalls_s.append(_timed(way))
    total_s = time.perf_counter() - begun_s
    for _ in range(SETTLING_STEPS):
        training.step()
        way.boundary()
    undisturbed_s = median(calm_s + calm(training, way))
    stall_s = sum(stalls_s)
    return Save(stall_s, stall_s + sum(steps_s) - len(steps_s) * undisturbed_s, total_s, len(steps_s))


def _timed(way: Way) -> float:
    begun_s = time.perf_counter()
    way.boundary()
    return time.perf_counter() - begun_s


def compare(training: Training, folder: Path, ways: list[type], rounds: int) -> list[Measured]:
    """Every way once a round, in turn; the first save of each, which allocates, is not counted."""
    running: list[Way] = []
    try:
        for make in ways:
            running.append(make(training, folder))
            measure(training, running[-1])
        found = [Measured(way.name) for way in running]
        for _ in range(rounds):
            for way, measured in zip(running, found, strict=True):
                measured.saves.append(measure(training, way))
        return found
    finally:
        for way in running:
            way.close()


def show(found: list[Measured], size_gb: float) -> None:
    """A table, and the ratios that matter."""
    print(f"state {size_gb:.2f} GB; medians of {len(found[0].saves)} rounds, the least and the most lost")
    print(f"{'way':34}{'stall s':>9}{'lost s':>9}{'total s':>9}{'steps':>7}   lost, least to most")
    for one in found:
        lost = sorted(save.lost_s for save in one.saves)
        numbers = "".join(f"{one.median(what):9.3f}" for what in ("stall_s", "lost_s", "total_s"))
        print(f"{one.name:34}{numbers}{one.median('steps'):7.0f}   {lost[0]:.3f} to {lost[-1]:.3f}")
    by_name = {one.name: one for one in found}
    dcp = [one for one in found if one.name.startswith("DCP")]
    for one in found:
        if one.name.startswith("ours"):
            _ratios(one, dcp, by_name.get("memcpy"))


def _ratios(one: Measured, dcp: list[Measured], memcpy: Measured | None) -> None:
    if dcp:
        best = min(dcp, key=lambda other: other.median("lost_s"))
        print(f"{one.name}: lost {one.median('lost_s') / best.median('lost_s'):.2f} x {best.name}, the best of DCP")
    if memcpy is not None:
        print(f"{one.name}: stall {one.median('stall_s') / memcpy.median('stall_s'):.2f} x memcpy")


def chosen(names: str | None) -> list[type]:
    """The ways whose names hold one of the given words; all of them without."""
    words = [word.strip().lower() for word in (names or "").split(",") if word.strip()]
    ways: list[type] = [*PEERS, *OURS]
    return [way for way in ways if not words or any(word in way.name.lower() for word in words)]  # type: ignore[attr-defined]


def main() -> int:
    """Measure and print."""
    parser = state.options(__doc__)
    parser.add_argument("--ways", help="only those whose name holds one of these words, separated by commas")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nightspot-saves-", dir=options.folder) as name:
        folder = Path(name)
        print(state.machine(folder, options.device))
        training = Training(round(options.size * 1e9), batch=options.batch, device=options.device)
        training.step()
        size_gb = state.size_bytes(training.tensors()) / 1e9
        show(compare(training, folder, chosen(options.ways), options.rounds), size_gb)
    return 0


if __name__ == "__main__":
    sys.exit(main())
