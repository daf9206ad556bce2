"""Another number of ranks: what was shared is dealt out anew, bit for bit; what each rank had for itself is refused by name."""

import gc
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

from nightspot.checkpoint import ConfigError, capture, layout
from nightspot.checkpoint._torch_memory import view
from nightspot.checkpoint.many import commit, shards
from nightspot.checkpoint.many.loading import Loading
from nightspot.checkpoint.many.ranks import Alone
from nightspot.checkpoint.pieces import Piece
from tests.checkpoint.test_ranks_plan import as_rank, planned, proposed

States = dict[str, object]


@pytest.fixture(autouse=True, scope="module")
def without_old_objects() -> Iterator[None]:
    """Each save looks for DistributedDataParallel among all objects of the process: those of pytest are many."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


class One(Alone):
    """Which rank this process is, while all ranks take their turns in it."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size


class Model(torch.nn.Module):
    """Of parameters and buffers that are given."""

    def __init__(self, parameters: Mapping[str, Any], buffers: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        for name, tensor in parameters.items():
            self.register_parameter(name, torch.nn.Parameter(tensor))
        for name, tensor in (buffers or {}).items():
            self.register_buffer(name, tensor)


def write(ranks: Sequence[tuple[Any, Mapping[str, Any]]]) -> tuple[list[Any], dict[str, Any], bytearray]:
    """Trees by rank, the index, and the bytes of the one file that everything lies in."""
    memory, all_entries = bytearray(), []
    for share in planned([proposal for proposal, _ in ranks]):
        for piece in share:
            memory += bytes(-len(memory) % 64)
            where = {"file": "data", "offset_bytes": len(memory)}
            where |= {"offsets": list(piece.offsets), "sizes": list(piece.sizes)}
            all_entries.append({piece.key: {"dtype": piece.dtype, "shape": list(piece.shape), "pieces": [where]}})
            memory += raw(piece)
    return [trees for _, trees in ranks], commit.merged(all_entries), memory


def raw(piece: Piece) -> bytes:
    return bytes(piece.tensor.contiguous().reshape(-1).view(torch.uint8).tolist())


def captured(live: States, rank: int, size: int) -> tuple[Any, dict[str, Any]]:
    """What this rank proposes to write, and its trees: what a save begins with."""
    sharing = shards.Sharing(live, One(rank, size))
    found = sharing.annotate(capture.capture(live, None))
    trees: dict[str, Any] = json.loads(json.dumps(found.trees))
    return proposed(sharing.keyed(found.tensors), rank=rank), trees


def load(live: States, rank: int, size: int, written: tuple[list[Any], dict[str, Any], bytearray]) -> dict[str, Any]:
    """Tensors by key, as this rank's states would get them."""
    trees, index, memory = written
    mine = trees[rank if len(trees) == size else 0]
    loading = Loading(mine, index, live, One(rank, size), len(trees))
    read = {}
    for target in layout.targets(index, loading.boxes()):
        for span in target.spans:
            span.memory[:] = memory[span.offset_bytes : span.offset_bytes + len(span.memory)]
        whole = view(target.memory, target.offset_bytes, index[target.key]["dtype"], target.sizes)
        for piece in target.scattered:
            whole[piece.target] = view(piece.memory, 0, index[target.key]["dtype"], piece.sizes)[piece.source]
        read[target.key] = whole
    loading.check(read)
    return {told["key"]: loading.tensor(told, read) for told in shards.placeholders(mine)}


def values(shape: Sequence[int]) -> torch.Tensor:
    return torch.arange(math.prod(shape), dtype=torch.float32).reshape(tuple(shape))


def sharded(shape: Sequence[int], mesh: tuple[int, ...], how: Sequence[Any]) -> Any:
    return distribute_tensor(values(shape), init_device_mesh("cpu", mesh), how, src_data_rank=None)


MESHES = st.sampled_from([(1,), (2,), (3,), (4,), (2, 2)])


@given(st.data(), st.lists(st.integers(1, 7), min_size=1, max_size=3), MESHES, MESHES, st.booleans(), st.booleans())
@settings(max_examples=40, deadline=None)
def test_shards_of_some_ranks_become_shards_of_others_bit_for_bit(
    data: st.DataObject,
    shape: list[int],
    before: tuple[int, ...],
    after: tuple[int, ...],
    plain_before: bool,
    plain_after: bool,
) -> None:
    kinds = st.sampled_from([Replicate(), *(Shard(dimension) for dimension in range(len(shape)))])
    how_before = data.draw(st.lists(kinds, min_size=len(before), max_size=len(before)))
    how_after = data.draw(st.lists(kinds, min_size=len(after), max_size=len(after)))
    saved = []
    plain_before = plain_before and math.prod(before) == 1
    for rank in range(math.prod(before)):
        with as_rank(rank, math.prod(before)):
            model = Model({"w": values(shape) if plain_before else sharded(shape, before, how_before)})
            optimizer = torch.optim.SGD(model.parameters(), momentum=0.9)
            (parameter,) = model.parameters()
            optimizer.state[parameter]["momentum_buffer"] = parameter.detach() + 1
            saved.append(captured({"model": model, "optimizer": optimizer}, rank, math.prod(before)))
    written = write(saved)
    assert sorted(written[1]) == ["model/w", "optimizer/state/w/momentum_buffer"]
    for rank in range(math.prod(after)):
        with as_rank(rank, math.prod(after)):
            wanted: Any = values(shape) if plain_after else sharded(shape, after, how_after)
            model = Model({"w": torch.zeros_like(wanted)})
            live: States = {"model": model, "optimizer": torch.optim.SGD(model.parameters(), momentum=0.9)}
            found = load(live, rank, math.prod(after), written)
            for key, expected in (("model/w", wanted), ("optimizer/state/w/momentum_buffer", wanted + 1)):
                assert type(found[key]) is type(expected)
                assert torch.equal(local(found[key]), local(expected))
                assert tuple(found[key].shape) == tuple(shape)


def local(tensor: Any) -> Any:
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def own(rank: int, size: int, value: float) -> tuple[Any, dict[str, Any]]:
    return captured({"loop": {"ema": torch.tensor([value]), "zero": torch.zeros(2)}}, rank, size)


def test_each_rank_gets_its_own_back() -> None:
    written = write([own(rank, 3, rank) for rank in range(3)])
    for rank in range(3):
        assert load({"loop": {}}, rank, 3, written)["loop/ema"].item() == rank


def test_what_was_equal_on_all_ranks_is_given_to_all_of_another_number() -> None:
    written = write([own(rank, 3, 5.0) for rank in range(3)])
    for rank in range(2):
        assert load({"loop": {}}, rank, 2, written)["loop/ema"].item() == 5.0


def test_what_differed_by_rank_is_refused_by_name_with_both_numbers() -> None:
    written = write([own(rank, 3, rank) for rank in range(3)])
    with pytest.raises(ConfigError, match=r"3 ranks.*loop/ema: this cannot be given to 2"):
        load({"loop": {}}, 0, 2, written)


def test_zero_and_minus_zero_differ() -> None:
    written = write([own(rank, 2, value) for rank, value in enumerate((0.0, -0.0))])
    with pytest.raises(ConfigError, match="loop/ema"):
        load({"loop": {}}, 0, 1, written)


def test_one_process_gives_all_it_has_to_many() -> None:
    with as_rank(0, 1):
        written = write([own(0, 1, 7.0)])
    assert sorted(written[1]) == ["loop/ema", "loop/zero"]
    assert [load({"loop": {}}, rank, 2, written)["loop/ema"].item() for rank in range(2)] == [7.0, 7.0]


def test_buffers_that_ddp_itself_takes_from_rank_0_are_taken_from_rank_0() -> None:
    saved = []
    for rank in range(2):
        with as_rank(rank, 2):
            model = torch.nn.parallel.DistributedDataParallel(Model({"w": torch.ones(1)}, {"b": torch.tensor([rank])}))
            saved.append(captured({"model": model}, rank, 2))
    written = write(saved)
    assert sorted(written[1]) == ["model/w", "rank-0/model/b", "rank-1/model/b"]
    bare: States = {"model": Model({"w": torch.ones(1)}, {"b": torch.tensor([9])})}
    assert load(bare, 0, 1, written)["model/b"].item() == 0
    assert [load(bare, rank, 2, written)["model/b"].item() for rank in range(2)] == [0, 1]


def test_stages_of_a_pipeline_do_not_mix() -> None:
    """Two meshes of two ranks, the same names in both: four ranks, two tensors."""
    saved = []
    for rank in range(4):
        with as_rank(rank, 4):
            mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("stage", "part"))["part"]
            tensor = distribute_tensor(values((4,)) + 10 * (rank // 2), mesh, [Shard(0)], src_data_rank=None)
            saved.append(captured({"model": Model({"w": tensor})}, rank, 4))
    written = write(saved)
    assert sorted(written[1]) == ["ranks-0-1/model/w", "ranks-2-3/model/w"]
    for rank in range(4):
        with as_rank(rank, 4):
            mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("stage", "part"))["part"]
            live: States = {
                "model": Model({"w": distribute_tensor(torch.zeros(4), mesh, [Shard(0)], src_data_rank=None)})
            }
            expected = (values((4,)) + 10 * (rank // 2)).chunk(2)[rank % 2]
            assert torch.equal(load(live, rank, 4, written)["model/w"].to_local(), expected)
