"""What a training process finds around it: the variables of docs/training-protocol.md, and those of SageMaker's training toolkit.

With `sagemaker`, `/opt/ml` itself is there, by bubblewrap; where that is missing, the variables name the folders that would be mounted.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Sequence

from nightspot.model.job import Training
from nightspot.process.files import write_soon
from nightspot.process.folder import AttemptFolder

MOUNT = Path("/opt/ml")
OPT = Path("/opt")
HOST = "algo-1"
PROBE_S = 10.0
NO_SANDBOX = (
    "bubblewrap (bwrap) is missing or not allowed here: there is no /opt/ml, and only the SM_ variables show the way"
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """How to start the command. `shielded`: a sandbox stands before it."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    shielded: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Places:
    """Real folders, and as the program shall see them: `shown` is /opt/ml, or the same as `real`."""

    real: Path
    shown: Path
    model: Path
    checkpoints: Path
    channels: Mapping[str, str]

    def binds(self) -> list[tuple[str, str]]:
        """What is mounted where."""
        ml = [(str(self.real), str(MOUNT)), (str(self.model), str(MOUNT / "model"))]
        ml.append((str(self.checkpoints), str(MOUNT / "checkpoints")))
        return ml + [(path, str(MOUNT / "input/data" / name)) for name, path in self.local_channels()]

    def local_channels(self) -> list[tuple[str, str]]:
        """Those that are here: an address is left to the program."""
        return [(name, path) for name, path in self.channels.items() if "://" not in path]


def surround(training: Training, folder: AttemptFolder, checkpoint_dir: Path, *, sandbox: bool) -> Surroundings:
    """Make the folders; say how to start the command. OSError where a folder cannot be made. `sandbox`: bubblewrap works here."""
    mounted = training.sagemaker and sandbox
    model = Path(training.artifact).parent if training.artifact is not None else folder.machine_learning / "model"
    shown = MOUNT if mounted else folder.machine_learning
    places = Places(folder.machine_learning, shown, model, checkpoint_dir, training.channels)
    make(places, training)
    if not mounted:
        _link(places)
    variables = sagemaker_variables(training, places, mounted=mounted)
    if not training.sagemaker:
        return Surroundings(training.command, variables)
    command = (*training.command, *arguments(training.hyperparameters))
    if not mounted:
        return Surroundings(command, variables, warnings=(NO_SANDBOX,))
    return Surroundings((*sandboxed(places.binds(), training.directory), *command), variables, shielded=True)


def make(places: Places, training: Training) -> None:
    """The folders, and what SageMaker puts into them. OSError where that fails."""
    for part in ("model", "output/data", "input/config", "input/data", "code", "checkpoints"):
        (places.real / part).mkdir(parents=True, exist_ok=True)
    for folder in (places.model, places.checkpoints):
        folder.mkdir(parents=True, exist_ok=True)
    told = {name: as_text(value) for name, value in training.hyperparameters.items()}
    write_soon(places.real / "input/config/hyperparameters.json", told)
    write_soon(places.real / "input/config/resourceconfig.json", {"current_host": HOST, "hosts": [HOST]})


def _link(places: Places) -> None:
    """Without a sandbox links lead to the data; with one they are mounted there, and a link would be in the way."""
    for name, path in places.local_channels():
        link = places.real / "input/data" / name
        if not link.is_symlink() and not link.exists():
            link.symlink_to(path)


def sagemaker_variables(training: Training, places: Places, *, mounted: bool) -> dict[str, str]:
    """What SageMaker's training toolkit sets; cheap enough to be set always."""
    shown, hyperparameters = places.shown, training.hyperparameters
    model = shown / "model" if mounted else places.model
    channels = {
        n: str(shown / "input/data" / n) if mounted and "://" not in p else p for n, p in training.channels.items()
    }
    return {
        "SM_MODEL_DIR": str(model),
        "SM_OUTPUT_DIR": str(shown / "output"),
        "SM_OUTPUT_DATA_DIR": str(shown / "output/data"),
        "SM_INPUT_DIR": str(shown / "input"),
        "SM_INPUT_CONFIG_DIR": str(shown / "input/config"),
        "SM_CHANNELS": json.dumps(sorted(channels)),
        **{f"SM_CHANNEL_{_upper(name)}": path for name, path in channels.items()},
        "SM_HPS": json.dumps(dict(hyperparameters)),
        **{f"SM_HP_{_upper(name)}": as_text(value) for name, value in hyperparameters.items()},
        "SM_USER_ARGS": json.dumps(arguments(hyperparameters)),
        "SM_CURRENT_HOST": HOST,
        "SM_HOSTS": json.dumps([HOST]),
        "SM_NUM_CPUS": str(os.cpu_count() or 1),
        "SM_NUM_GPUS": str(len(list(Path("/dev").glob("nvidia[0-9]*")))),
        "SM_LOG_LEVEL": "20",
    }


def _upper(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name).upper()


def as_text(value: Any) -> str:
    """As SageMaker passes hyperparameters on: texts as they are, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def arguments(hyperparameters: Mapping[str, Any]) -> list[str]:
    """`--name value`, or `-n value`, in the order of names: as the toolkit does it."""
    dashed = [
        (f"-{name}" if len(name) == 1 else f"--{name}", str(hyperparameters[name])) for name in sorted(hyperparameters)
    ]
    return [word for pair in dashed for word in pair]


def sandboxed(binds: Sequence[tuple[str, str]], directory: str) -> list[str]:
    """The words before a command that give it its own /opt/ml, and leave all else as it is; what /opt holds is kept."""
    words = ["bwrap", "--die-with-parent", "--dev-bind", "/", "/", *opt_of_its_own("--dev-bind")]
    for source, target in binds:
        words += ["--dev-bind", source, target]
    return [*words, "--chdir", directory, "--"]


def opt_of_its_own(bind: str) -> list[str]:
    """Words for bubblewrap: an /opt that /opt/ml can be put into, with what the real one holds. `bind`: how that is mounted."""
    words = ["--tmpfs", str(OPT)]
    for entry in sorted(OPT.iterdir()) if OPT.is_dir() else []:
        if entry.is_symlink():
            words += ["--symlink", str(entry.readlink()), str(entry)]
        elif entry != MOUNT:
            words += [bind, str(entry), str(entry)]
    return words


def sandbox_works() -> bool:
    """Whether bubblewrap is there, and may do what it is for: many containers forbid it."""
    if shutil.which("bwrap") is None:
        return False
    try:
        done = subprocess.run(
            ["bwrap", "--dev-bind", "/", "/", "--tmpfs", "/opt", "true"],
            capture_output=True,
            timeout=PROBE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
