"""Who writes what: together the ranks write each tensor exactly once, and nothing that may differ is taken for the same."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.debug import _clear_sharding_prop_cache
from torch.nn.parallel import DistributedDataParallel
from torch.testing._internal.distributed.fake_pg import FakeStore

from nightspot.checkpoint import ConfigError, StateError, pieces
from nightspot.checkpoint.many import _dtensor, _plan, shards, states
from nightspot.checkpoint.many.ranks import Alone
from nightspot.checkpoint.pieces import Piece

Tensors = Mapping[str, Any]


@contextmanager
def as_rank(rank: int, size: int) -> Iterator[None]:
    """torch's own double of a process group: this process is one rank, and collectives do nothing."""
    forget: Any = _clear_sharding_prop_cache  # it would hand the meshes of one rank to the next
    forget()
    dist.init_process_group("fake", rank=rank, world_size=size, store=FakeStore())
    try:
        yield
    finally:
        dist.destroy_process_group()


def make(rank: int, size: int, placements: list[Any], shape: tuple[int, ...], mesh_shape: tuple[int, ...]) -> Any:
    mesh = init_device_mesh("cpu", mesh_shape)
    whole = torch.arange(math.prod(shape), dtype=torch.float32).reshape(shape)
    return distribute_tensor(whole, mesh, placements, src_data_rank=None)


def proposed(tensors: Tensors, *, rank: int) -> Any:
    """What a rank brings to the planning; while it is that rank."""
    planner = _plan.planner()
    return planner, _plan.local_plan(planner, tensors, coordinator=rank == 0)


def planned(proposals: list[Any]) -> list[list[Piece]]:
    """As `Sharing` does with the plans of all ranks, here in one process."""
    shares = _plan.global_plan(proposals[0][0], [plan for _, plan in proposals])
    return [_plan.cut(share.items, planner) for share, (planner, _) in zip(shares, proposals, strict=True)]


def laid_together(found: list[list[Piece]]) -> dict[str, torch.Tensor]:
    """How often each element is written."""
    counts: dict[str, torch.Tensor] = {}
    for piece in (piece for share in found for piece in share):
        count = counts.setdefault(piece.key, torch.zeros(piece.shape, dtype=torch.int64))
        box = tuple(slice(first, first + size) for first, size in zip(piece.offsets, piece.sizes, strict=True))
        assert tuple(piece.tensor.shape) == piece.sizes
        count[box] += 1
    return counts


@st.composite
def layouts(draw: st.DrawFn) -> tuple[tuple[int, ...], list[tuple[tuple[int, ...], list[Any]]]]:
    mesh = draw(st.sampled_from([(1,), (2,), (3,), (4,), (2, 2), (2, 3), (3, 2)]))
    tensors = []
    for _ in range(draw(st.integers(1, 4))):
        shape = tuple(draw(st.lists(st.integers(1, 7), min_size=1, max_size=3)))
        kinds = [Replicate(), *(Shard(dimension) for dimension in range(len(shape)))]
        tensors.append((shape, draw(st.lists(st.sampled_from(kinds), min_size=len(mesh), max_size=len(mesh)))))
    return mesh, tensors


@given(layouts(), st.lists(st.lists(st.integers(0, 5), max_size=3), max_size=3))
@settings(max_examples=40, deadline=None)
def test_the_ranks_pieces_cover_each_tensor_exactly_once(
    layout: tuple[tuple[int, ...], list[tuple[tuple[int, ...], list[Any]]]], plain: list[list[int]]
) -> None:
    mesh, tensors = layout
    size = math.prod(mesh)
    proposals = []
    for rank in range(size):
        with as_rank(rank, size):
            mine = {f"m/{number}": make(rank, size, how, shape, mesh) for number, (shape, how) in enumerate(tensors)}
            mine |= {f"p/{number}": torch.zeros(shape) for number, shape in enumerate(plain)}
            proposals.append(proposed(mine, rank=rank))
    found = planned(proposals)
    counts = laid_together(found)
    assert counts.keys() == mine.keys()
    assert all(bool((count == 1).all()) for count in counts.values())
    for piece in (piece for share in found for piece in share if piece.key.startswith("m/")):
        whole = torch.arange(math.prod(piece.shape), dtype=torch.float32).reshape(piece.shape)
        box = tuple(slice(first, first + size) for first, size in zip(piece.offsets, piece.sizes, strict=True))
        assert torch.equal(piece.tensor, whole[box])


def test_what_all_have_is_spread_over_the_ranks_by_size() -> None:
    tensors = {f"m/{number}": torch.zeros(100) for number in range(8)} | {"m/large": torch.zeros(800)}
    written = [
        sum(piece.size_bytes for piece in share)
        for share in planned([proposed(tensors, rank=rank) for rank in range(2)])
    ]
    assert written == [3200, 3200]


def test_one_key_with_two_shapes_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"m/w .*\(2,\).* on rank 0, .*\(3,\).* on rank 1"):
        planned([proposed({"m/w": torch.zeros(2 + rank)}, rank=rank) for rank in range(2)])


def test_one_process_writes_whole_tensors_and_needs_no_process_group() -> None:
    tensors = {"m/w": torch.zeros(2, 3), "o/state/w/step": torch.tensor(1.0)}
    assert shards.Sharing({}, Alone()).pieces(tensors) == pieces.whole(tensors)


def test_a_dtensor_of_one_process_is_written_whole() -> None:
    with as_rank(0, 1):
        tensor = make(0, 1, [Shard(0)], (4, 2), (1,))
        (piece,) = shards.Sharing({}, Alone()).pieces({"m/w": tensor})
    assert (piece.key, piece.shape, piece.sizes) == ("m/w", (4, 2), (4, 2))


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2)


def stepped(parameters: Iterator[torch.nn.Parameter]) -> torch.optim.Optimizer:
    kept = list(parameters)
    optimizer = torch.optim.Adam(kept)
    for parameter in kept:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return optimizer


KEYS = ["model/linear.weight", "model/norm.running_mean", "optimizer/state/linear.weight/exp_avg", "loop/ema"]


@pytest.mark.parametrize("named", ["wrapper", "inside"])
def test_parameters_under_ddp_and_their_moments_are_shared_but_no_buffer(named: str) -> None:
    with as_rank(0, 2):
        net = Net()
        wrapper = DistributedDataParallel(net)
        live: dict[str, object] = {"model": wrapper if named == "wrapper" else net, "loop": {}}
        live["optimizer"] = stepped(net.parameters())
        assert states.shared(KEYS, live, 2) == {KEYS[0], KEYS[2]}


def test_a_module_that_nothing_keeps_equal_is_each_ranks_own() -> None:
    net = Net()
    live = {"model": net, "optimizer": stepped(net.parameters()), "loop": {}}
    assert states.shared(KEYS, live, 2) == set()


def test_ddp_over_some_of_the_ranks_shares_nothing_with_all() -> None:
    with as_rank(0, 2):
        net = Net()
        wrapper = DistributedDataParallel(net)
        assert states.shared(KEYS, {"model": wrapper}, 4) == set()


def test_a_parameter_that_ddp_ignores_is_each_ranks_own() -> None:
    with as_rank(0, 2):
        net = Net()
        ignore: Any = DistributedDataParallel._set_params_and_buffers_to_ignore_for_model
        ignore(net, ["linear.weight"])
        wrapper = DistributedDataParallel(net)
        keys = ["model/linear.weight", "model/linear.bias"]
        assert states.shared(keys, {"model": wrapper}, 2) == {"model/linear.bias"}


def test_an_optimizer_is_saved_by_the_names_of_its_parameters_and_back() -> None:
    net, other = Net(), Net()
    optimizer = stepped(net.parameters())
    read, _ = states.access(optimizer, {"model": net, "optimizer": optimizer}) or pytest.fail()
    saved: Any = read()
    assert list(saved["state"]) == [name for name, _ in net.named_parameters()]
    assert saved["param_groups"][0]["params"] == list(saved["state"])
    backwards = torch.optim.Adam(reversed(list(other.parameters())))
    _, write = states.access(backwards, {"model": other, "optimizer": backwards}) or pytest.fail()
    write(saved)
    for name, parameter in other.named_parameters():
        before = optimizer.state[net.get_parameter(name)]["exp_avg"]
        assert torch.equal(backwards.state[parameter]["exp_avg"], before), "found by name, not by number"


def test_names_that_two_modules_share_are_told_apart() -> None:
    one, two = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    optimizer = stepped(iter([*one.parameters(), *two.parameters()]))
    read, _ = states.access(optimizer, {"one": one, "two": two}) or pytest.fail()
    assert list(read()["state"]) == ["one.weight", "one.bias", "two.weight", "two.bias"]  # type: ignore[index]


def test_other_parameters_in_a_group_are_refused_by_name() -> None:
    net, other = Net(), torch.nn.Linear(2, 2)
    read, _ = states.access(optimizer := stepped(net.parameters()), {"model": net}) or pytest.fail()
    assert optimizer is not None
    _, write = states.access(here := torch.optim.Adam(other.parameters()), {"model": other}) or pytest.fail()
    assert here is not None
    with pytest.raises(ConfigError, match=r"linear\.weight"):
        write(read())


def test_a_partial_dtensor_is_refused() -> None:
    with as_rank(0, 2):
        tensor = DTensor.from_local(torch.zeros(2), init_device_mesh("cpu", (2,)), [Partial()], run_check=False)
        with pytest.raises(StateError, match="Replicate"):
            _dtensor.placements(tensor)
