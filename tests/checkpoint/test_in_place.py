"""Bytes go straight into live tensors where these are as simple as that, after all were verified; what is not goes another way."""

import os
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch

from nightspot.checkpoint import LoadError, Session, _torch_homes, manifest
from nightspot.checkpoint.many import reading
from nightspot.checkpoint.many.ranks import Alone
from nightspot.checkpoint.tree import Encoder
from tests.checkpoint.helpers import flip_a_bit

States = dict[str, Any]


def training(*, steps: int = 0, seed: int = 0) -> States:
    """A module with a 0-d buffer, an empty one, and an optimizer that has moments after the first step."""
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.BatchNorm1d(5), torch.nn.Linear(5, 3))
    model.register_buffer("empty", torch.empty(0, 4))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(8, 6)).sum().backward()
        optimizer.step()
    return {"model": model, "optimizer": optimizer}


def bits(states: States) -> dict[str, bytes]:
    """Of all tensors that would be saved."""
    found = Encoder()
    for name, value in states.items():
        found.encode(value.state_dict(), name)
    return {
        key: bytes(tensor.contiguous().view(-1).view(torch.uint8).tolist())
        for key, tensor in found.tensors.by_key.items()
    }


def save(folder: Path, states: States, times: int = 1) -> None:
    with Session(states, folder=folder, interval_s=0, background=False) as session:
        session.restore()
        for done in range(times):
            session.step(done + 1.0)


def load(folder: Path, states: States) -> None:
    with Session(states, folder=folder, background=False) as session:
        assert session.restore() is not None


def homes(folder: Path, states: States) -> set[str]:
    head = manifest.read(folder / manifest.names(folder)[0])
    contents = reading.read(folder / head.name, head, states, Alone())
    return set(_torch_homes.find(contents.trees, contents.index, states))


def change(states: States) -> None:
    for tensor in states["model"].state_dict().values():
        tensor.fill_(7)


def test_all_of_a_running_training_is_put_into_the_memory_it_has(tmp_path: Path) -> None:
    saved = training(steps=2)
    save(tmp_path, saved)
    live = training(steps=1, seed=3)
    slots = [kept for slot in live["optimizer"].state.values() for kept in slot.values()]
    before = [tensor.data_ptr() for tensor in slots]
    found = homes(tmp_path, live)
    load(tmp_path, live)
    assert bits(live) == bits(saved)
    assert [kept.data_ptr() for slot in live["optimizer"].state.values() for kept in slot.values()] == before
    held = {key for key in found if key.startswith("model/")}
    assert held == {f"model/{name}" for name in live["model"].state_dict()} - {"model/empty"}
    assert len(found) - len(held) == len(slots)


def test_an_optimizer_that_never_stepped_gets_memory_of_its_own(tmp_path: Path) -> None:
    saved, live = training(steps=2), training(seed=3)
    save(tmp_path, saved)
    assert {key.partition("/")[0] for key in homes(tmp_path, live)} == {"model"}
    load(tmp_path, live)
    assert bits(live) == bits(saved)
    for states in (saved, live):
        torch.manual_seed(9)
        states["optimizer"].zero_grad()
        states["model"](torch.randn(8, 6)).sum().backward()
        states["optimizer"].step()
    assert bits(live) == bits(saved)


@pytest.mark.parametrize("which", ["first", "last"])
def test_a_flipped_bit_is_found_before_anything_live_changes(tmp_path: Path, which: str) -> None:
    save(tmp_path, training(steps=2))
    live = training(steps=1, seed=3)
    before = bits(live)
    files = sorted((tmp_path / "step-000000001").glob("data-*.bin"))
    at = 0 if which == "first" else files[-1].stat().st_size - 1
    flip_a_bit(files[0 if which == "first" else -1], at)
    with Session(live, folder=tmp_path, background=False) as session:
        assert session.restore() is None
    assert bits(live) == before


def changed_between(monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], object]) -> None:
    """After everything was verified, before it is put in place."""
    real = reading.read

    def read(checkpoint: Path, *arguments: Any, **named: Any) -> Any:
        found = real(checkpoint, *arguments, **named)
        spoil(max(checkpoint.glob("data-*.bin")))
        return found

    monkeypatch.setattr(reading, "read", read)


@pytest.mark.parametrize("how", ["altered", "shortened", "gone"])
def test_a_file_that_changes_after_it_was_verified_is_an_error_and_the_next_start_steps_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    saved = training(steps=2)
    save(tmp_path, saved, times=2)
    spoil = {
        "altered": lambda path: flip_a_bit(path, 3),
        "shortened": lambda path: os.truncate(path, 8),
        "gone": os.unlink,
    }
    with monkeypatch.context() as now:
        changed_between(now, spoil[how])
        with (
            Session(training(steps=1, seed=3), folder=tmp_path, background=False) as session,
            pytest.raises(LoadError, match=r"step-000000002 was whole, and changed .* must not be trained on"),
        ):
            session.restore()
        with pytest.raises(RuntimeError, match="call restore"):
            session.step(3.0)
    live = training(steps=1, seed=3)
    with Session(live, folder=tmp_path, background=False) as session:
        restored = session.restore()
    assert restored is not None
    assert restored.name == "step-000000001"
    assert bits(live) == bits(saved)


def tied(seed: int) -> States:
    states = training(steps=1, seed=seed)
    states["model"].append(torch.nn.Linear(5, 3))
    states["model"][3].weight = states["model"][2].weight
    return states


def test_tied_weights_are_put_back_once_and_stay_tied(tmp_path: Path) -> None:
    saved, live = tied(1), tied(2)
    save(tmp_path, saved)
    assert "model/2.weight" in homes(tmp_path, live)
    load(tmp_path, live)
    assert live["model"][3].weight is live["model"][2].weight
    assert bits(live) == bits(saved)


def test_weights_tied_here_and_not_there_take_the_last_as_ever(tmp_path: Path) -> None:
    saved, live = training(seed=1), training(seed=2)
    saved["model"].append(torch.nn.Linear(5, 3))
    live["model"].append(torch.nn.Linear(5, 3))
    live["model"][3].weight = live["model"][2].weight
    save(tmp_path, {"model": saved["model"]})
    load(tmp_path, {"model": live["model"]})
    assert torch.equal(live["model"][3].weight, saved["model"][3].weight)


def transposed(model: Any) -> None:
    model[0].weight = torch.nn.Parameter(model[0].weight.detach().t().contiguous().t())


def sliced(model: Any) -> None:
    """Two parameters in one storage."""
    memory = torch.randn(10)
    model[0].bias, model[1].bias = torch.nn.Parameter(memory[:5]), torch.nn.Parameter(memory[5:])


def hooked(model: Any) -> None:
    model[0].register_load_state_dict_pre_hook(lambda *_: None)


@pytest.mark.parametrize(
    ("make", "staged"),
    [(transposed, {"0.weight"}), (sliced, {"0.bias", "1.bias"}), (hooked, set(training()["model"].state_dict()))],
)
def test_what_is_not_simple_goes_by_way_of_new_memory(
    tmp_path: Path, make: Callable[[Any], None], staged: set[str]
) -> None:
    saved, live = training(seed=1), training(seed=2)
    make(live["model"])
    save(tmp_path, {"model": saved["model"]})
    chosen = {"model": live["model"]}
    keys = {key.removeprefix("model/") for key in homes(tmp_path, chosen)}
    assert keys == live["model"].state_dict().keys() - staged - {"empty"}
    load(tmp_path, chosen)
    assert bits(chosen) == bits({"model": saved["model"]})


def test_moments_of_another_dtype_are_not_read_as_they_are(tmp_path: Path) -> None:
    saved, live = training(steps=2), training(steps=1, seed=3)
    save(tmp_path, saved)
    for slots in live["optimizer"].state.values():
        slots["exp_avg"] = slots["exp_avg"].double()
    assert not {key for key in homes(tmp_path, live) if key.endswith("/exp_avg")}
    load(tmp_path, live)
    assert bits(live) == bits(saved)


def test_what_a_dict_holds_of_a_weight_does_not_become_that_weight(tmp_path: Path) -> None:
    """Restored, it has always been a tensor of its own."""
    saved, live = training(seed=1), training(seed=2)
    kept = {"best": saved["model"][0].bias.detach()}
    save(tmp_path, {"model": saved["model"], "kept": kept})
    before, mine = deepcopy(kept), dict[str, Any]()
    load(tmp_path, {"model": live["model"], "kept": mine})
    change(live)
    assert torch.equal(mine["best"], before["best"])
