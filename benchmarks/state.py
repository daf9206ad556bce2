"""A recommender whose state is as large as wished, and which trains while it is saved. Used by the other benchmarks here.

26 tables of embeddings with sparse gradients under SparseAdam, looked up by Zipf 1.1; a small MLP under Adam. Three numbers are kept for
each weight (the weight, two moments), so a third of the size is tables.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from pathlib import Path
from typing import Any

import torch

TABLES = 26
WIDTH = 64
ZIPF = 1.1
SHRINK = 0.85  # each table has so many times the rows of the one before it
FLOATS_PER_WEIGHT = 3
SCATTER = 2_654_435_761  # prime, so times it modulo any smaller number of rows is a permutation: hot rows lie anywhere


def rows_by_table(size_bytes: int) -> list[int]:
    """Rows of each table, so that weights and moments of all of them together take about `size_bytes`."""
    shares = [SHRINK**n for n in range(TABLES)]
    rows = size_bytes / (4 * WIDTH * FLOATS_PER_WEIGHT)
    return [max(1000, round(rows * share / sum(shares))) for share in shares]


def zipf(rows: int, size: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """Int64 [size] of row numbers: the inverse of the continuous distribution with density k**-ZIPF on [1, rows + 1)."""
    power = 1.0 - ZIPF
    chance = torch.rand(size, generator=generator, dtype=torch.float64)
    rank = (1.0 - chance * (1.0 - (rows + 1.0) ** power)) ** (1.0 / power)
    found: torch.Tensor = (rank.long() - 1).clamp_(0, rows - 1) * SCATTER % rows
    return found


class Model(torch.nn.Module):
    """Scores a batch of users by what they looked at."""

    def __init__(self, rows: list[int]) -> None:
        super().__init__()
        self.tables = torch.nn.ModuleList(torch.nn.EmbeddingBag(n, WIDTH, sparse=True, mode="sum") for n in rows)
        self.mlp = torch.nn.Sequential(
            torch.nn.Linear(TABLES * WIDTH, 512), torch.nn.ReLU(), torch.nn.Linear(512, 256), torch.nn.ReLU(), torch.nn.Linear(256, 1)
        )  # fmt: skip

    def forward(self, looked_up: list[torch.Tensor]) -> torch.Tensor:
        """looked_up: for each table int64 [batch, 1]. Returns [batch]."""
        found = [table(rows) for table, rows in zip(self.tables, looked_up, strict=True)]
        scores: torch.Tensor = self.mlp(torch.cat(found, dim=1)).squeeze(1)
        return scores


class Training:
    """The model, its two optimizers and a step. Seeded: two of them do the same."""

    def __init__(self, size_bytes: int, *, batch: int = 1024, seed: int = 1, device: str = "cpu") -> None:
        torch.manual_seed(seed)
        self.rows, self.batch, self.device = rows_by_table(size_bytes), batch, device
        self.model = Model(self.rows).to(device)
        self.sparse = torch.optim.SparseAdam(list(self.model.tables.parameters()), lr=1e-3)
        self.dense = torch.optim.Adam(self.model.mlp.parameters(), lr=1e-3)
        self.generator = torch.Generator().manual_seed(seed)
        self.labels = (torch.rand(batch, generator=self.generator) < 0.1).float().to(device)
        self.steps = {"done": 0}

    @property
    def states(self) -> dict[str, Any]:
        """By name, as a Session takes them."""
        return {"model": self.model, "sparse": self.sparse, "dense": self.dense, "steps": self.steps}

    def state_dicts(self) -> dict[str, Any]:
        """By name, as torch.save and torch.distributed.checkpoint take them."""
        named: dict[str, Any] = {"model": self.model, "sparse": self.sparse, "dense": self.dense}
        return {name: state.state_dict() for name, state in named.items()}

    def tensors(self) -> list[torch.Tensor]:
        """Every tensor of the state."""
        return _tensors(self.state_dicts())

    def step(self) -> float:
        """One step of training; returns the seconds it took."""
        begun_s = time.perf_counter()
        looked_up = [zipf(n, (self.batch, 1), self.generator).to(self.device) for n in self.rows]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(self.model(looked_up), self.labels)
        self.sparse.zero_grad()
        self.dense.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.sparse.step()  # type: ignore[no-untyped-call]
        self.dense.step()
        self.steps["done"] += 1
        self.settle()
        return time.perf_counter() - begun_s

    def settle(self) -> None:
        """Wait for the device: what it still does belongs to the step."""
        if self.device != "cpu":
            torch.cuda.synchronize()


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [tensor for item in inside for tensor in _tensors(item)]


def size_bytes(tensors: list[torch.Tensor]) -> int:
    """Bytes of all of them."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def options(description: str | None) -> argparse.ArgumentParser:
    """What every benchmark of checkpoints may be told."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=float, default=1.5, help="size of the state in GB (default 1.5)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each way is measured (default 5)")
    parser.add_argument("--batch", type=int, default=1024, help="look-ups in each of 26 tables a step (default 1024)")
    parser.add_argument("--folder", type=Path, default=None, help="where to write; default: beside the temporary files")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    return parser


def machine(folder: Path, device: str) -> str:
    """What the figures hang on; and that no GPU was measured, where none was."""
    where = torch.cuda.get_device_name() if device != "cpu" else f"{platform.machine()} CPU"
    load = os.getloadavg()[0]
    return (
        f"machine: {os.cpu_count()} cores, {file_system(folder)}, torch {torch.__version__} on {where}, "
        f"{torch.get_num_threads()} threads, load {load:.1f} at the start"
        + ("\nGPU: not measured; --device cuda does it where there is one" if device == "cpu" else "")
    )


def file_system(folder: Path) -> str:
    """The kind of file system that `folder` is on."""
    best = ("", "unknown")
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, kind = line.split()[:3]
        if f"{folder.resolve()}/".startswith(mount.rstrip("/") + "/") and len(mount) >= len(best[0]):
            best = (mount, kind)
    return best[1]
