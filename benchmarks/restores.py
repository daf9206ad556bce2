"""What going on from a checkpoint costs: ours beside torch.load, torch.distributed.checkpoint (DCP) and safetensors, and a raw read.

    python benchmarks/restores.py [--size 1.5] [--rounds 5]

Each way puts all weights and moments back into a live model and its optimizers, from files that the page cache holds (warm), and from files
it was made to forget (cold). `raw read` reads our files into new memory and does nothing with them, one thread; `raw read, old memory` into
8 MB that is used again and again, which no restore into a new process can: it is the stricter yardstick (`x old`). Only ours looks at every
byte's hash, and does so before anything live changes.

Then whole processes: from their start to the end of the first step of training, beside one that imports torch, builds the same training,
reads the files raw, and makes a step. Medians over the rounds, all ways in turn. Speeds are for reading; nothing asserts them.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.distributed.checkpoint

import state
from nightspot.checkpoint import Session
from state import Training

BLOCK_BYTES = 8 << 20
NEVER_S = 1e9
dcp: Any = torch.distributed.checkpoint  # not all of it has types


@dataclass(frozen=True, slots=True)
class Way:
    """One way to restore: `save` writes below a folder of its own, once; `load` is measured."""

    name: str
    save: Callable[[Training, Path], object]
    load: Callable[[Training, Path], object]
    files: str = ""  # whose files it reads, if not its own


def save_ours(training: Training, folder: Path) -> None:
    """One checkpoint: an interval of 0 waits until it is durable."""
    session = Session(training.states, folder=folder, interval_s=0.0)
    with session:
        session.restore()
        session.step(1.0)


def load_ours(training: Training, folder: Path) -> float:
    """What restore() takes; the session around it is not counted."""
    with Session(training.states, folder=folder, interval_s=NEVER_S) as session:
        begun_s = time.perf_counter()
        if session.restore() is None:
            raise RuntimeError(f"{folder}: nothing was restored")
        return time.perf_counter() - begun_s


def save_torch(training: Training, folder: Path) -> None:
    """One file."""
    torch.save(training.state_dicts(), folder / "state.pt")


def load_torch(training: Training, folder: Path, *, mmap: bool = False) -> None:
    """As torch's documentation does it."""
    _put(training, torch.load(folder / "state.pt", map_location=training.device, mmap=mmap, weights_only=True))


def load_mapped(training: Training, folder: Path) -> None:
    """The file is mapped, not read; what an optimizer keeps of it is copied, or it would change with the file."""
    load_torch(training, folder, mmap=True)
    for states in (*training.sparse.state.values(), *training.dense.state.values()):
        states.update({key: value.clone() for key, value in states.items() if isinstance(value, torch.Tensor)})


def load_dcp(training: Training, folder: Path) -> None:
    """In place: into the tensors that are there."""
    dcp.load(training.state_dicts(), storage_reader=dcp.FileSystemReader(folder), no_dist=True)


def save_dcp(training: Training, folder: Path) -> None:
    """Two files."""
    dcp.save(training.state_dicts(), storage_writer=dcp.FileSystemWriter(folder, thread_count=2), no_dist=True)


def save_safetensors(training: Training, folder: Path) -> None:
    """Tensors by number: the format knows no trees."""
    _safetensors().save_file(_numbered(training), folder / "state.safetensors")


def load_safetensors(training: Training, folder: Path) -> None:
    """Copied into the tensors that are there."""
    loaded, live = _safetensors().load_file(folder / "state.safetensors", device=training.device), _numbered(training)
    with torch.no_grad():
        for key, tensor in loaded.items():
            live[key].copy_(tensor)


def read_new(_: Training, folder: Path) -> None:
    """All bytes, into new memory."""
    for path in files(folder):
        path.read_bytes()


def read_old(_: Training, folder: Path) -> None:
    """All bytes, into the same few."""
    block = bytearray(BLOCK_BYTES)
    for path in files(folder):
        with path.open("rb", buffering=0) as file:
            while file.readinto(block):
                pass


def nothing(_: Training, __: Path) -> None:
    """It reads what another way saved."""


WAYS = (
    Way("raw read", nothing, read_new, "ours"),
    Way("raw read, old memory", nothing, read_old, "ours"),
    Way("ours", save_ours, load_ours),
    Way("torch.load", save_torch, load_torch),
    Way("torch.load, mmap", nothing, load_mapped, "torch.load"),
    Way("DCP in place", save_dcp, load_dcp),
    Way("safetensors", save_safetensors, load_safetensors),
)


def files(folder: Path) -> list[Path]:
    """All plain files below."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def forget(folder: Path) -> None:
    """Let the page cache drop the files; only what is on the disk can be dropped."""
    for path in files(folder):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def compare(training: Training, folder: Path, rounds: int) -> dict[str, dict[bool, list[float]]]:
    """Seconds by way, then by whether it was cold; each way once a round, in turn, after one that is not counted."""
    for way in WAYS:
        (folder / way.name).mkdir()
        way.save(training, folder / way.name)
    found: dict[str, dict[bool, list[float]]] = {way.name: {False: [], True: []} for way in WAYS}
    for turn in range(rounds + 1):
        for way in WAYS:
            place = folder / (way.files or way.name)
            for cold in (True, False):
                if cold:
                    forget(place)
                taken_s = _timed(way, training, place)
                if turn > 0:
                    found[way.name][cold].append(taken_s)
    return found


def _timed(way: Way, training: Training, place: Path) -> float:
    begun_s = time.perf_counter()
    own_s = way.load(training, place)
    training.settle()
    taken_s = time.perf_counter() - begun_s
    return own_s if isinstance(own_s, float) else taken_s


def show(found: dict[str, dict[bool, list[float]]]) -> None:
    """Seconds, and ratios to both raw reads: the one into old memory is the stricter."""
    print(f"{'way':26}{'warm s':>9}{'x raw':>8}{'x old':>8}{'cold s':>9}{'x raw':>8}{'x old':>8}")
    raw, old = found["raw read"], found["raw read, old memory"]
    for name, times_s in found.items():
        pairs = ""
        for cold in (False, True):
            taken_s = median(times_s[cold])
            pairs += f"{taken_s:9.3f}{taken_s / median(raw[cold]):8.2f}{taken_s / median(old[cold]):8.2f}"
        print(f"{name:26}{pairs}")


FIRST_STEP = """
import sys
sys.path.insert(0, {here!r})
from pathlib import Path
import restores
from state import Training
training = Training({size_bytes}, batch={batch}, device={device!r})
restores.{load}(training, Path({folder!r}))
training.step()
"""


def first_steps(options: Any, folder: Path) -> dict[str, float]:
    """Median seconds of whole processes that load, then train one step."""
    loads = ("nothing", "read_new", "load_ours")
    taken: dict[str, list[float]] = {load: [] for load in loads}
    for _ in range(options.rounds):
        for load in loads:
            program = FIRST_STEP.format(
                here=str(Path(__file__).parent), size_bytes=round(options.size * 1e9), batch=options.batch,
                device=options.device, load=load, folder=str(folder / "ours"),
            )  # fmt: skip
            begun_s = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True)
            taken[load].append(time.perf_counter() - begun_s)
    return {load: median(times_s) for load, times_s in taken.items()}


def _put(training: Training, loaded: dict[str, Any]) -> None:
    training.model.load_state_dict(loaded["model"])
    training.sparse.load_state_dict(loaded["sparse"])
    training.dense.load_state_dict(loaded["dense"])


def _numbered(training: Training) -> dict[str, torch.Tensor]:
    return {str(number): tensor for number, tensor in enumerate(training.tensors())}


def _safetensors() -> Any:
    return importlib.import_module("safetensors.torch")


def main() -> int:
    """Measure and print."""
    options = state.options(__doc__).parse_args()
    with tempfile.TemporaryDirectory(prefix="nightspot-restores-", dir=options.folder) as name:
        folder = Path(name)
        print(state.machine(folder, options.device))
        training = Training(round(options.size * 1e9), batch=options.batch, device=options.device)
        training.step()
        size_gb = state.size_bytes(training.tensors()) / 1e9
        print(f"restore, state {size_gb:.2f} GB; medians of {options.rounds} rounds")
        show(compare(training, folder, options.rounds))
        whole_s = first_steps(options, folder)
        print(
            f"process start to the end of the first step: {whole_s['load_ours']:.2f} s resumed, "
            f"{whole_s['load_ours'] / whole_s['read_new']:.2f} x one that only reads the files raw ({whole_s['read_new']:.2f} s); "
            f"without any checkpoint {whole_s['nothing']:.2f} s"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
