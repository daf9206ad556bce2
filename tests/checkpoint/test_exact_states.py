"""Every state that a training has comes back: what goes on afterwards is bit for bit what would have been."""

import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tests.checkpoint.exact import STEPS, Rig, Training, infinite_loss, interrupted, train


@pytest.fixture(autouse=True)
def _in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is saved is tested here, not by whom it is written, nor that it outlasts a power cut."""
    monkeypatch.setenv("NIGHTSPOT_CHECKPOINT_BACKGROUND", "0")
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


def make_scheduler(name: str, optimizer: torch.optim.Optimizer) -> Any:
    constant, linear = lr_scheduler.ConstantLR(optimizer, 0.5, 4), lr_scheduler.LinearLR(optimizer, 0.2, 1.0, 4)
    if name == "chained":
        return lr_scheduler.ChainedScheduler([constant, linear, lr_scheduler.ExponentialLR(optimizer, 0.9)])
    if name == "sequential":
        return lr_scheduler.SequentialLR(
            optimizer, [linear, lr_scheduler.CosineAnnealingLR(optimizer, 5)], milestones=[4]
        )
    if name == "one cycle":
        return lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=STEPS)
    if name == "warm restarts":
        return lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=3, T_mult=2)
    if name == "lambda":
        return lr_scheduler.LambdaLR(optimizer, lambda step: 0.9**step)
    if name == "cyclic":
        return lr_scheduler.CyclicLR(optimizer, 0.01, 0.1, step_size_up=3, cycle_momentum=False)
    return lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, cooldown=1, threshold=0.5)


class Scheduled(Training):
    """With a schedule of the learning rate."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.scheduler = make_scheduler(name, self.optimizer)

    def states(self) -> dict[str, object]:
        return super().states() | {"scheduler": self.scheduler}

    def step(self) -> None:
        super().step()
        plateau = isinstance(self.scheduler, lr_scheduler.ReduceLROnPlateau)
        self.scheduler.step(*[float(self.loop["step"] % 5)] * plateau)
        self.loop.setdefault("rates", []).append(self.optimizer.param_groups[0]["lr"])


SCHEDULERS = ["chained", "sequential", "one cycle", "warm restarts", "lambda", "cyclic", "plateau"]


@pytest.mark.parametrize("name", SCHEDULERS)
def test_learning_rates_go_on_where_they_were(tmp_path: Path, name: str) -> None:
    expected = train(lambda: Scheduled(name), tmp_path / "whole")
    assert interrupted(lambda: Scheduled(name), tmp_path / "parts", 2, 5, 9) == expected


class Scaled(Training):
    """With automatic mixed precision: a scale that grows every third step, and shrinks where a gradient is infinite."""

    def __init__(self) -> None:
        super().__init__()
        self.scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=3)

    def states(self) -> dict[str, object]:
        return super().states() | {"scaler": self.scaler}

    def step(self) -> None:
        self.optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = self.loss()
        loss = infinite_loss(loss) if self.loop["step"] in (4, 7) else loss
        torch.autograd.backward(self.scaler.scale(loss))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.loop["step"] += 1
        self.loop.setdefault("scales", []).append(self.scaler.get_scale())


def test_the_scale_of_mixed_precision_and_when_it_grows_next_come_back(tmp_path: Path) -> None:
    expected = train(Scaled, tmp_path / "whole")
    assert interrupted(Scaled, tmp_path / "parts", 2, 5, 8) == expected


class Averaged(Training):
    """With an exponential moving average of weights and buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.average = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)  # type: ignore[no-untyped-call]

    def states(self) -> dict[str, object]:
        return super().states() | {"average": self.average}

    def step(self) -> None:
        super().step()
        self.average.update_parameters(self.model)


def test_an_average_of_the_weights_comes_back_with_the_count_of_what_is_in_it(tmp_path: Path) -> None:
    expected = train(Averaged, tmp_path / "whole")
    assert interrupted(Averaged, tmp_path / "parts", 1, 6) == expected


class Sparse(Training):
    """With two optimizers, one of them for a sparse embedding, and a module that holds its own buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.EmbeddingBag(20, 4, sparse=True)
        self.sparse = torch.optim.SparseAdam(self.table.parameters(), lr=0.1)

    def states(self) -> dict[str, object]:
        return super().states() | {"table": self.table, "sparse": self.sparse}

    def loss(self) -> torch.Tensor:
        bags = torch.randint(0, 20, (8, 3))
        return torch.nn.functional.mse_loss(self.model(self.table(bags)), torch.randn(8, 1))

    def step(self) -> None:
        self.sparse.zero_grad()
        super().step()
        self.sparse.step()  # type: ignore[no-untyped-call]


def test_sparse_tables_and_several_optimizers_come_back(tmp_path: Path) -> None:
    assert interrupted(Sparse, tmp_path / "parts", 3, 7) == train(Sparse, tmp_path / "whole")


class InBfloat16(torch.optim.Optimizer):
    """Momentum in float32 of weights in bfloat16, as optimizers for large models keep it."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, {"lr": 0.01})

    def step(self, closure: Any = None) -> Any:
        assert closure is None
        for parameter in self.param_groups[0]["params"]:
            kept = self.state[parameter]
            kept["momentum"] = 0.9 * kept.get("momentum", torch.zeros(())) + parameter.grad.float()
            parameter.data -= (self.param_groups[0]["lr"] * kept["momentum"]).to(parameter.dtype)


class OtherDtypes(Training):
    """What the optimizer keeps has another dtype than its parameters."""

    def __init__(self, kind: Any, dtype: torch.dtype) -> None:
        super().__init__()
        self.model.to(dtype)
        self.optimizer = kind(self.model.parameters())

    def step(self) -> None:
        self.optimizer.zero_grad()
        for parameter in self.model.parameters():
            parameter.grad = torch.randn(parameter.shape).to(parameter.dtype)
        self.optimizer.step()
        self.loop["step"] += 1


@pytest.mark.parametrize(
    ("kind", "dtype"), [(InBfloat16, torch.bfloat16), (torch.optim.NAdam, torch.float64)], ids=["own", "NAdam"]
)
def test_what_an_optimizer_keeps_has_the_dtype_of_before(tmp_path: Path, kind: Any, dtype: torch.dtype) -> None:
    """torch's own `load_state_dict` gives it the parameter's."""

    def make() -> Training:
        return OtherDtypes(kind, dtype)

    assert interrupted(make, tmp_path / "parts", 3, 7) == train(make, tmp_path / "whole")


class Accumulating(Training):
    """Four small batches for each step of the optimizer. `step` is one step of the optimizer."""

    PARTS = 4

    def step(self) -> None:
        self.optimizer.zero_grad()
        for _ in range(self.PARTS):
            self.part()
        self.optimizer.step()
        self.loop["step"] += 1

    def part(self) -> None:
        torch.autograd.backward(self.loss() / self.PARTS)


class SavedBetween(Accumulating):
    """The same, but the session's step() is called after each small batch: what is wrong."""

    def step(self) -> None:
        if self.loop["step"] % self.PARTS == 0:
            self.optimizer.zero_grad()
        self.part()
        if self.loop["step"] % self.PARTS == self.PARTS - 1:
            self.optimizer.step()
        self.loop["step"] += 1


def test_accumulated_gradients_are_exact_where_step_is_called_at_their_boundary(tmp_path: Path) -> None:
    expected = train(Accumulating, tmp_path / "whole")
    assert interrupted(Accumulating, tmp_path / "parts", 1, 6) == expected


@pytest.mark.parametrize(("taken", "exact"), [(4, True), (8, True), (5, False), (7, False)])
def test_gradients_between_two_steps_of_the_optimizer_are_not_saved(tmp_path: Path, taken: int, exact: bool) -> None:
    """As docs/checkpoint.md says: a checkpoint there is a valid one of another training."""
    expected = train(SavedBetween, tmp_path / "whole")
    assert (interrupted(SavedBetween, tmp_path / "parts", taken) == expected) is exact


class Stopping(Training):
    """With early stopping, a history of metrics, and generators of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.own: dict[str, Any] = {
            "python": random.Random(4),
            "numpy": np.random.default_rng(5),
            "torch": torch.Generator().manual_seed(6),
        }
        self.stopping: dict[Any, Any] = {
            "best": float("inf"),
            "bad": 0,
            "seen": 0,
            "weights": None,
            (0, "tuple"): {1, 2},
        }
        self.metrics: dict[str, Any] = {"loss": [], "by epoch": {0: {"auc": np.float32(0.1)}}, "nan": float("nan")}

    def states(self) -> dict[str, object]:
        return super().states() | self.own | {"stopping": self.stopping, "metrics": self.metrics}

    def step(self) -> None:
        super().step()
        drawn = self.own["python"].gauss(0, 1) + self.own["numpy"].normal()
        loss = drawn + torch.rand(1, generator=self.own["torch"]).item()
        self.metrics["loss"].append(np.float64(loss))
        self.metrics["by epoch"][self.loop["step"] // 3] = {"auc": np.float32(loss)}
        self.stopping["seen"] += 1
        better = loss < self.stopping["best"]
        self.stopping["bad"] = 0 if better else self.stopping["bad"] + 1
        if better:
            weights = {name: value.clone() for name, value in self.model.state_dict().items()}
            self.stopping |= {"best": loss, "weights": weights}


def test_early_stopping_metrics_and_generators_of_ones_own_come_back(tmp_path: Path) -> None:
    assert interrupted(Stopping, tmp_path / "parts", 1, 4, 9) == train(Stopping, tmp_path / "whole")


FORGOTTEN: list[tuple[Rig, str, int]] = [
    (lambda: Scheduled("sequential"), "scheduler", 5),
    (lambda: Scheduled("plateau"), "scheduler", 5),
    (Scaled, "scaler", 8),
    (Averaged, "average", 5),
    (Sparse, "sparse", 5),
    (Sparse, "table", 5),
    (Stopping, "stopping", 5),
    (Stopping, "numpy", 5),
]


@pytest.mark.parametrize(("make", "name", "taken"), FORGOTTEN)
def test_it_shows_where_a_state_is_forgotten_or_all_this_proves_nothing(
    tmp_path: Path, make: Rig, name: str, taken: int
) -> None:
    expected = train(make, tmp_path / "whole", without=name)
    assert interrupted(make, tmp_path / "parts", taken, without=name) != expected
