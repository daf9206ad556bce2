"""Plays one bad night of the recommender on this machine: measures it, compresses time to suit, and hands over to `nightspot run`.

A night of ten hours takes about a minute and a half. Options are handed on: `demo.py --plain`, `demo.py --json`.
"""

import json
import os
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
EPOCH_MARKET_S = 12 * 60.0  # as the job file says
# The guard plans with what the job file says: an epoch must not take longer here, on a busy machine either.
MARGIN = 1.25
# The night lasts ten hours of market time; where epochs are longer than this, it is played with fewer negatives, not for longer.
EPOCH_MAX_S = 2.2
NEGATIVES = 48
# A process that starts, and one that stops, takes so long really; at least so much is planned with.
LEAD_MIN_S, LEAD_MARGIN = 3.0, 1.5


def settings(measured: Mapping[str, float]) -> list[str]:
    """The `--set`s that fit the job file to this machine."""
    time_scale = max(1, int(EPOCH_MARKET_S / (measured["epoch_s"] * MARGIN)))
    lead_s = max(LEAD_MIN_S, measured["startup_s"] * LEAD_MARGIN) * time_scale
    return [f"time_scale={time_scale}", *[f"pools.{n}.bounds.lead={lead_s / 60:.0f}min" for n in range(3)]]


def fitted() -> tuple[Mapping[str, float], list[str]]:
    """What training costs here, and the settings: with less work an epoch where this machine is slow."""
    measured = measure(NEGATIVES)
    if measured["epoch_s"] <= EPOCH_MAX_S:
        return measured, settings(measured)
    negatives = max(1, int(NEGATIVES * EPOCH_MAX_S / measured["epoch_s"]))
    measured = measure(negatives)
    return measured, [f"command={{python}} train.py --seed 0 --negatives {negatives}", *settings(measured)]


def measure(negatives: int) -> Mapping[str, float]:
    """What training costs here, by measure.py; SystemExit where that fails."""
    words = [sys.executable, str(HERE / "measure.py"), "--negatives", str(negatives)]
    result = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False, timeout=120)
    if result.returncode != 0:
        raise SystemExit(f"measure.py failed with code {result.returncode}")
    found: Mapping[str, float] = json.loads(result.stdout)
    return found


def command(changes: Sequence[str], options: Sequence[str]) -> list[str]:
    """What is run in the end."""
    changes = [word for change in changes for word in ("--set", change)]
    nightspot = str(Path(sysconfig.get_path("scripts")) / "nightspot")
    return [nightspot, "run", str(HERE / "nightspot.toml"), "--fresh", *changes, *options]


def main(options: Sequence[str]) -> None:
    """Measure, say what will be run, become it."""
    say("Measuring this machine...")
    measured, changes = fitted()
    say(f"An epoch takes {measured['epoch_s']:.1f} s here, a start {measured['startup_s']:.1f} s. The night:\n")
    words = command(changes, options)
    say("  " + shlex.join([Path(words[0]).name, "run", os.path.relpath(words[2]), *words[3:]]) + "\n")
    os.execv(words[0], words)


def say(text: str) -> None:
    """To people; standard output is the night's."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
