"""What a program of the drill finds around it: as on the night (docs/training-protocol.md), and the probe."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Optional, Sequence

from nightspot.drill import record_probe
from nightspot.drill.apart.bucket import NONE
from nightspot.drill.apart.machine import Machine
from nightspot.drill.settings import Settings
from nightspot.process.child import environment
from nightspot.process.surroundings import MOUNT, Places, make, sagemaker_variables

PROBE, RELEASE = "probe.jsonl", "release"
PROGRESS, NOTICE, SAVE_REQUEST, OUTPUT = "progress.jsonl", "notice.json", "save-request", "output.log"
NEVER = 10**12


def variables(
    settings: Settings, number: int, every: float, hold: Optional[int], suffix: str, *, waits: bool = True
) -> dict[str, str]:
    """All of a Life.

    every: steps between two checkpoints of nightspot.checkpoint, inf for none; hold: where the probe waits; suffix: of the bucket's
    prefix; waits: whether training goes on only when a save is done.
    """
    own = settings.life_folder / str(number)
    ours = {**_ours(settings, number, own, every), **_store(settings, suffix)}
    given = {**_machine_learning(settings, own), **settings.training.environment, **ours}
    found = environment(os.environ, given)
    probe = record_probe.environment(
        own / PROBE,
        inherited=found.get("PYTHONPATH", ""),
        hold=hold,
        release=own / RELEASE,
        paths=list(dict.fromkeys([settings.watched.folder, settings.given, *_folder_of(settings.artifact)])),
    )
    return {**found, **probe, **({"NIGHTSPOT_CHECKPOINT_WAIT": "1"} if waits else {})}


def _ours(settings: Settings, number: int, own: Path, every: float) -> dict[str, str]:
    ours = {
        "NIGHTSPOT_RUN_ID": f"{settings.job}-drill",
        "NIGHTSPOT_ATTEMPT": str(number),
        "NIGHTSPOT_TOKEN": f"{settings.job}-drill-{number:03d}",
        "NIGHTSPOT_CHECKPOINT_DIR": str(settings.given),
        "NIGHTSPOT_CHECKPOINT_INTERVAL": f"{NEVER if every == math.inf else int(every)} steps",
        "NIGHTSPOT_CHECKPOINT_INTERVAL_S": repr(settings.interval_s),
        "NIGHTSPOT_PROGRESS": str(own / PROGRESS),
        "NIGHTSPOT_NOTICE": str(own / NOTICE),
        "NIGHTSPOT_SAVE_REQUEST": str(own / SAVE_REQUEST),
    }
    if settings.training.fingerprint:
        ours["NIGHTSPOT_FINGERPRINT"] = settings.training.fingerprint
    if settings.artifact is not None:
        ours["NIGHTSPOT_ARTIFACT"] = str(settings.artifact)
    return ours


def _store(settings: Settings, suffix: str) -> dict[str, str]:
    """The drill's bucket, or none: not even the one that the script names, for that is real."""
    return {"NIGHTSPOT_CHECKPOINT_STORE": settings.store or NONE, "NIGHTSPOT_CHECKPOINT_STORE_SUFFIX": suffix}


def prepare(settings: Settings, machine: Machine, number: int) -> Path:
    """The folders that a Life finds; its own one, as it lies on this machine. OSError where they cannot be made."""
    own = machine.real(settings.life_folder / str(number))
    own.mkdir(parents=True, exist_ok=True)
    places = _places(settings, settings.life_folder / str(number))
    model = machine.real(places.model)
    make(Places(machine.real(places.real), places.shown, model, machine.real(settings.given), {}), settings.training)
    return own


def _machine_learning(settings: Settings, own: Path) -> dict[str, str]:
    return sagemaker_variables(settings.training, _places(settings, own), mounted=settings.training.sagemaker)


def _places(settings: Settings, own: Path) -> Places:
    """`real` and `shown` are the same here: a Machine knows where it lies."""
    shown = MOUNT if settings.training.sagemaker else own / "ml"
    model = settings.artifact.parent if settings.artifact is not None else shown / "model"
    return Places(shown, shown, model, settings.given, settings.training.channels)


def _folder_of(artifact: Optional[Path]) -> Sequence[Path]:
    return () if artifact is None else (artifact.parent,)


def slowed(command: Sequence[str]) -> Sequence[str]:
    """A command whose writing is slow, so that the middle of a save can be met."""
    calls, ends = "write,pwrite64,writev", "fsync,fdatasync,rename,renameat,renameat2"
    delays = ["-e", f"inject={calls}:delay_enter=20000:delay_exit=10000", "-e", f"inject={ends}:delay_enter=100000"]
    return ("strace", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", f"trace={calls},{ends}", *delays, *command)
