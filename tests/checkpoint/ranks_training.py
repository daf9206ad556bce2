"""A training of several ranks: run under torchrun, or by the test's own launcher, which forks ranks that have torch already.

python ranks_training.py FOLDER KIND   with KIND ddp, fsdp, plain (one process without any wrapper) or "plain norm" (likewise, made as fsdp)
In the environment: BLOW = "NAME@STEP@RANK": what this rank does to itself after a step. RESIZE: as for Session.
Prints, by rank, a digest of all that the rank has.
"""

import hashlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset

from nightspot.checkpoint import ResumableSampler, Session, disk
from nightspot.checkpoint.background import Background
from nightspot.checkpoint.notice import POLL_INTERVAL_S

ROWS, BATCH, EPOCHS = 64, 16, 2


class Training:
    """Batch statistics and dropout make each rank's state its own. Sharded, it has none: no other number of ranks could go on."""

    def __init__(self, kind: str, rank: int, size: int) -> None:
        torch.manual_seed(7)
        self.kind, self.rank = kind, rank
        norm = torch.nn.LayerNorm(5) if kind in ("fsdp", "plain norm") else torch.nn.BatchNorm1d(5)
        layers = [torch.nn.Linear(6, 5), norm, torch.nn.Dropout(0.3), torch.nn.Linear(5, 3)]
        self.net: Any = torch.nn.Sequential(*layers)
        self.model: Any = self.wrapped(size)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=0.01)
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, 3)
        self.sampler = ResumableSampler(ROWS, BATCH, seed=3, rank=rank, world_size=size)
        data = torch.randn(ROWS, 6, generator=torch.Generator().manual_seed(1))
        self.loader = DataLoader(TensorDataset(data), batch_sampler=self.sampler)
        torch.manual_seed(100 + rank)
        random.seed(rank)
        self.loop: dict[str, Any] = {"step": 0}
        self.mine: dict[str, Any] = {"drawn": [], "tensor": torch.zeros(2)}  # differs by rank

    def wrapped(self, size: int) -> Any:
        if self.kind == "ddp":
            return DistributedDataParallel(self.net)
        if self.kind == "fsdp":
            from torch.distributed.fsdp import fully_shard

            mesh = init_device_mesh("cpu", (size,))
            for layer in (self.net[0], self.net[3]):
                fully_shard(layer, mesh=mesh)
            return fully_shard(self.net, mesh=mesh)
        return self.net

    def states(self) -> dict[str, object]:
        found = {"model": self.model, "optimizer": self.optimizer, "scheduler": self.scheduler, "sampler": self.sampler}
        found["loop"] = self.loop
        return found if "SHARED_ONLY" in os.environ else found | {"mine": self.mine}

    def step(self, inputs: torch.Tensor) -> None:
        loss = (self.model(inputs) ** 2).mean()
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()
        self.scheduler.step()
        self.loop["step"] += 1
        self.mine["drawn"].append(random.random())
        self.mine["tensor"] += loss.detach()

    def shared(self) -> dict[str, Any]:
        """Whole parameters and what the optimizer keeps of them, by name: the same with any number of ranks."""
        found = {name: whole(parameter) for name, parameter in self.net.named_parameters()}
        for name, parameter in self.net.named_parameters():
            kept = self.optimizer.state[parameter]
            found |= {f"{name}/{what}": whole(value) for what, value in kept.items()}
        return found | {"loop": dict(self.loop), "sampler": self.sampler.state_dict()}

    def own(self) -> dict[str, Any]:
        """What may differ by rank."""
        buffers = {name: value.tolist() for name, value in self.net.named_buffers()}
        next_drawn = [torch.rand(1).item(), random.random()]
        return {"buffers": buffers, "next": next_drawn, "drawn": self.mine["drawn"], "t": self.mine["tensor"].tolist()}


def whole(tensor: Any) -> Any:
    value = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return value.tolist()


def digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()


def blow(step: int, rank: int) -> None:
    """What comes from outside, at an exact step."""
    name, at, whom = (os.environ.get("BLOW") or "none@-1@-1").split("@")
    if step != int(at) or (whom != "all" and rank != int(whom)):
        return
    if name in ("BEFORE", "AFTER"):
        die_around_snapshot(name)
    elif name == "MACHINE":
        die_with_writer()
    elif name == "WRITING":
        die_while_writing()
    elif name == "REQUEST":
        Path(os.environ["NIGHTSPOT_SAVE_REQUEST"]).touch()
        time.sleep(2 * POLL_INTERVAL_S)  # a session looks so often, and these steps are much shorter
    elif name == "TWICE":
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
    else:
        os.kill(os.getpid(), signal.Signals[f"SIG{name}"])


def die_around_snapshot(name: str) -> None:
    """In the save that comes now: before this rank has handed anything to its writer, or right after."""
    begin = Background.begin

    def dying(hand: Background, *arguments: Any) -> None:
        if name == "AFTER":
            begin(hand, *arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    Background.begin = dying  # type: ignore[assignment,method-assign]


def die_with_writer() -> None:
    """In the save that comes now, and before the writer has begun it: as a machine's end takes both."""
    begin = Background.begin

    def dying(hand: Background, *arguments: Any) -> None:
        writer = hand._writer
        assert writer is not None
        os.kill(writer._process.pid, signal.SIGSTOP)
        begin(hand, *arguments)
        os.kill(writer._process.pid, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

    Background.begin = dying  # type: ignore[method-assign,assignment]


def die_while_writing() -> None:
    """In the save that comes now, which this process makes itself, with some of its files written."""
    write = disk.write

    def dying(path: Path, *rest: Any) -> Any:
        if path.suffix == ".json":
            os.kill(os.getpid(), signal.SIGKILL)
        return write(path, *rest)

    disk.write = dying  # type: ignore[assignment]


def train(folder: Path, kind: str, until: int | None = None) -> dict[str, Any]:
    """To the end, or until after a step; what there is then, on this rank."""
    torch.set_num_threads(1)
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if not kind.startswith("plain"):
        dist.init_process_group("gloo")
    training = Training(kind, rank, size)
    resize = os.environ.get("RESIZE", "refuse")
    interval: Any = os.environ.get("INTERVAL", "1 step")
    with Session(training.states(), folder=folder, interval=interval, resize=resize) as session:
        restored = session.restore()
        told: dict[str, Any] = {"restored": None if restored is None else [restored.name, restored.units_done]}
        told["shared"] = training.shared() if restored else None
        while training.sampler.epoch < EPOCHS:
            for (inputs,) in training.sampler.batches(training.loader):
                training.step(inputs)
                blow(training.loop["step"], rank)
                session.step(units_done=training.loop["step"])
                if training.loop["step"] == until:
                    break
            if training.loop["step"] == until:
                break
    told |= {"rank": rank, "end": training.shared(), "own": training.own()}
    if not kind.startswith("plain"):
        dist.barrier()
        dist.destroy_process_group()
    return told


if __name__ == "__main__":
    found = train(Path(sys.argv[1]), sys.argv[2])
    line = {"rank": found["rank"], "restored": found["restored"], "digest": digest((found["end"], found["own"]))}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
