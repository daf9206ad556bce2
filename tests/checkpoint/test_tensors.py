"""Tensors come back with the same bits, whatever they are made of, or are refused by name."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nightspot.checkpoint import DamagedError, Session, StateError, _torch_memory, layout, manifest, pieces, reading
from nightspot.checkpoint.arena import Arena
from nightspot.checkpoint.pieces import ITEM_BYTES
from tests.checkpoint.helpers import flip_a_bit

NEWEST = "step-000000001"


def save(folder: Path, states: dict[str, Any], *, background: bool = False) -> None:
    with Session(states, folder=folder, interval_s=0, background=background) as session:
        session.restore()
        session.step(1)


def load(folder: Path, states: dict[str, Any]) -> None:
    with Session(states, folder=folder) as session:
        assert session.restore() is not None


def there_and_back(folder: Path, tensors: dict[str, Any]) -> dict[str, Any]:
    save(folder, {"loop": tensors})
    again: dict[str, Any] = {}
    load(folder, {"loop": again})
    return again


def bits(tensor: torch.Tensor) -> bytes:
    if not tensor.numel():
        return b""
    return bytes(tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8).numpy())


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return (one.dtype, one.shape, bits(one)) == (other.dtype, other.shape, bits(other))


def index_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / NEWEST / "index.json").read_text())["tensors"]
    return found


def dtypes() -> Iterator[torch.dtype]:
    """Every one that this torch has, but the quantised."""
    for dtype in {value for value in vars(torch).values() if isinstance(value, torch.dtype)}:
        if not str(dtype).startswith(("torch.qint", "torch.quint")):
            yield dtype


def test_every_dtype_comes_back_with_every_bit(tmp_path: Path) -> None:
    """Any bits: NaNs that carry something, numbers without a sense in their type."""
    tensors = {}
    for dtype in dtypes():
        raw = bytearray(os.urandom(96)) if dtype is not torch.bool else bytearray(n % 2 for n in range(96))
        tensors[str(dtype)] = torch.frombuffer(raw, dtype=dtype)
    again = there_and_back(tmp_path, tensors)
    assert len(again) > 25
    for name, tensor in tensors.items():
        assert again[name].dtype is tensor.dtype
        assert bits(again[name]) == bits(tensor), name


def test_sizes_of_dtypes_are_torchs_own() -> None:
    for dtype in dtypes():
        assert ITEM_BYTES[str(dtype).removeprefix("torch.")] == dtype.itemsize, dtype


BASE = torch.arange(120.0).reshape(2, 3, 4, 5)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(3.5),
        torch.empty(0),
        torch.empty(3, 0, 2, dtype=torch.int64),
        BASE.transpose(0, 3),
        BASE[:, 1:, ::2, 1:],
        BASE[0, 0, 0].expand(7, 5),
        BASE.to(torch.complex64).conj(),
        torch.complex(BASE, -BASE).imag._neg_view(),
        BASE.contiguous(memory_format=torch.channels_last),
        torch.tensor([True, False]),
    ],
)
def test_shapes_and_strides_of_any_kind_come_back(tmp_path: Path, tensor: torch.Tensor) -> None:
    again = there_and_back(tmp_path, {"it": tensor})["it"]
    assert same(again, tensor.resolve_conj().resolve_neg())


def test_a_dense_tensor_keeps_the_order_of_its_dimensions(tmp_path: Path) -> None:
    tensor = BASE.contiguous(memory_format=torch.channels_last)
    again = there_and_back(tmp_path, {"it": tensor, "turned": BASE.permute(3, 1, 0, 2)})
    assert again["it"].stride() == tensor.stride()
    assert again["turned"].stride() == BASE.permute(3, 1, 0, 2).stride()


def test_parameters_in_plain_dicts_stay_parameters_and_leaves_keep_their_gradient(tmp_path: Path) -> None:
    tensors = {
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "frozen": torch.nn.Parameter(torch.ones(2), requires_grad=False),
        "leaf": torch.ones(2, requires_grad=True),
    }
    again = there_and_back(tmp_path, tensors)
    assert [(type(it), it.requires_grad, it.is_leaf) for it in again.values()] == [
        (torch.nn.Parameter, True, True),
        (torch.nn.Parameter, False, True),
        (torch.Tensor, True, True),
    ]


EYE = torch.eye(4)[[0, 2, 2, 1]] * 3
UNCOALESCED = torch.sparse_coo_tensor(torch.tensor([[1, 1], [0, 0]]), torch.tensor([2.0, 5.0]), (3, 3))


@pytest.mark.parametrize(
    "sparse",
    [
        UNCOALESCED,
        UNCOALESCED.coalesce(),
        EYE.to_sparse_csr(),
        EYE.to_sparse_csc(),
        EYE.to_sparse_bsr((2, 2)),
        EYE.to_sparse_bsc((2, 2)),
        torch.zeros(4, 2).to_sparse(),
    ],
)
def test_sparse_tensors_come_back_as_they_were(tmp_path: Path, sparse: torch.Tensor) -> None:
    again = there_and_back(tmp_path, {"it": sparse})["it"]
    assert (again.layout, again.shape) == (sparse.layout, sparse.shape)
    assert torch.equal(again.to_dense(), sparse.to_dense())
    if sparse.layout is torch.sparse_coo:
        assert again.is_coalesced() == sparse.is_coalesced()
        assert again._nnz() == sparse._nnz()


class Labelled(torch.Tensor):
    """A tensor with more to it than a tensor."""


@pytest.mark.parametrize(
    ("tensor", "why"),
    [
        (torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), r"quantised \(torch.qint8\)"),
        (torch.nested.nested_tensor([torch.ones(1), torch.ones(2)]), "a nested tensor"),
        (torch.empty(2, device="meta"), "on the device meta"),
        (torch.ones(2).as_subclass(Labelled), r"a .*test_tensors\.Labelled"),
        (torch.ones(2, 2).to_mkldnn(), "of the layout torch._mkldnn"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name_before_the_first_step(
    tmp_path: Path, tensor: torch.Tensor, why: str
) -> None:
    with (
        Session({"loop": {"kept": [tensor]}}, folder=tmp_path) as session,
        pytest.raises(StateError, match=rf"loop\['kept'\]\[0\] is {why}"),
    ):
        session.restore()


class Tied(torch.nn.Module):
    """Weights of an input embedding that are those of the output, too."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = torch.nn.Embedding(9, 4), torch.nn.Linear(4, 9, bias=False)
        self.outer.weight = self.inner.weight


def test_tied_weights_are_stored_once_and_stay_tied(tmp_path: Path) -> None:
    torch.manual_seed(1)
    before, after = Tied(), Tied()
    save(tmp_path, {"model": before})
    load(tmp_path, {"model": after})
    assert list(index_of(tmp_path)) == ["model/inner.weight"]
    assert after.outer.weight is after.inner.weight
    assert same(after.outer.weight, before.inner.weight)


def test_one_tensor_in_two_states_is_stored_once(tmp_path: Path) -> None:
    model = torch.nn.Linear(3, 3, bias=False)
    save(tmp_path, {"model": model, "loop": {"best": model.weight.detach(), "copy": model.weight.detach().clone()}})
    assert sorted(index_of(tmp_path)) == ["loop/copy", "model/weight"]
    loop: dict[str, Any] = {}
    load(tmp_path, {"model": torch.nn.Linear(3, 3, bias=False), "loop": loop})
    assert same(loop["best"], model.weight)


def test_keys_that_look_alike_are_told_apart(tmp_path: Path) -> None:
    tensors: dict[Any, Any] = {1: torch.ones(1), "1": torch.zeros(1), "a/b": torch.ones(2), "a": {"b": torch.zeros(2)}}
    again: dict[Any, Any] = there_and_back(tmp_path, tensors)
    assert [again[1].item(), again["1"].item(), again["a/b"].sum().item(), again["a"]["b"].sum().item()] == [1, 0, 2, 0]


def test_a_lazy_module_can_be_named_before_it_has_a_shape(tmp_path: Path) -> None:
    save(tmp_path, {"model": torch.nn.LazyLinear(3)})
    again = torch.nn.LazyLinear(3)
    load(tmp_path, {"model": again})
    again(torch.ones(1, 5))
    assert again.weight.shape == (3, 5)


def test_another_dtype_than_the_modules_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path, {"model": torch.nn.Linear(2, 2)})
    with pytest.raises(SystemExit) as raised:
        load(tmp_path, {"model": torch.nn.Linear(2, 2).to(torch.bfloat16)})
    assert raised.value.code == 78
    assert "dtype float32 in the checkpoint, the shape (2, 2) and the dtype bfloat16 here" in capsys.readouterr().err


@pytest.mark.parametrize("background", [False, True])
def test_a_large_tensor_is_cut_into_rows_over_files_and_comes_back_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, background: bool
) -> None:
    monkeypatch.setattr(pieces, "FILE_BYTES", 1000)
    tensors = {"large": torch.randn(100, 7), "wide": torch.randn(2, 400), "small": torch.randn(3)}
    save(tmp_path, {"loop": tensors}, background=background)
    sizes = [file.size_bytes for file in manifest.read(tmp_path / NEWEST).files if file.name.endswith(".bin")]
    assert len(sizes) == 3 + 2 + 1
    assert [size for size in sizes if size > 1000] == [1600, 1600], "a row is not cut"
    again: dict[str, Any] = {}
    load(tmp_path, {"loop": again})
    assert all(same(again[name], tensor) for name, tensor in tensors.items())


def test_a_module_and_its_optimizer_lie_in_files_of_their_own(tmp_path: Path) -> None:
    model = torch.nn.Linear(3, 3)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    save(tmp_path, {"model": model, "optimizer": optimizer})
    owners: dict[str, set[str]] = {}
    for key, entry in index_of(tmp_path).items():
        for piece in entry["pieces"]:
            owners.setdefault(piece["file"], set()).add(key.partition("/")[0])
    assert owners == {"data-0-000.bin": {"model"}, "data-0-001.bin": {"optimizer"}}


def test_equal_states_have_equal_digests_whatever_was_in_memory_before(tmp_path: Path) -> None:
    """Between tensors there is room; in memory that is used again it must not hold what was there."""
    digests = []
    for number, first in enumerate([torch.full((1000,), 7.0), torch.ones(3)]):
        loop: dict[str, Any] = {"a": first, "b": torch.ones(5)}
        with Session({"loop": loop}, folder=tmp_path / str(number), interval_s=0) as session:
            session.restore()
            torch.manual_seed(4)
            session.step(1)
            loop.update(a=torch.ones(3))
            session.step(2)
        found = manifest.newest_valid(tmp_path / str(number))
        assert found is not None
        digests.append(found.digest)
    assert digests[0] == digests[1]


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One tensor, in two times three boxes."""
    folder = tmp_path_factory.mktemp("cut")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pieces, "whole", _in_boxes)
        save(folder, {"loop": {"it": torch.arange(77.0).reshape(7, 11)}})
    return folder / NEWEST


def _in_boxes(tensors: dict[str, torch.Tensor]) -> list[pieces.Piece]:
    ((key, tensor),) = tensors.items()
    found = []
    for low, high in ((0, 3), (3, 7)):
        for left, right in ((0, 4), (4, 5), (5, 11)):
            box = tensor[low:high, left:right]
            found.append(pieces.Piece(key, "float32", (7, 11), (low, left), tuple(box.shape), box))
    return found


@settings(max_examples=60, deadline=None)
@given(rows=st.tuples(st.integers(0, 7), st.integers(0, 7)), columns=st.tuples(st.integers(0, 11), st.integers(0, 11)))
def test_any_box_of_a_tensor_can_be_read_from_its_pieces(
    cut: Path, rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    (low, high), (left, right) = sorted(rows), sorted(columns)
    index = json.loads((cut / "index.json").read_text())["tensors"]
    wanted = {"loop/it": ([low, left], [high - low, right - left])}
    read = reading.read_tensors(cut, manifest.read(cut), index, wanted)
    assert torch.equal(read["loop/it"], torch.arange(77.0).reshape(7, 11)[low:high, left:right])


def test_pieces_that_do_not_cover_a_tensor_are_damage(cut: Path) -> None:
    index = json.loads((cut / "index.json").read_text())["tensors"]
    index["loop/it"]["pieces"].pop()
    with pytest.raises(DamagedError, match="53 elements of loop/it, not for 77"):
        layout.targets(index, {"loop/it": ([0, 0], [7, 11])})


def test_a_bit_flipped_in_any_file_of_tensors_is_noticed_while_reading(tmp_path: Path) -> None:
    save(tmp_path, {"loop": {"a": torch.ones(5), "b": torch.ones(5)}})
    whole = manifest.read(tmp_path / NEWEST)
    for offset in (0, 19, 20, 63, 64, 83):  # in a tensor, and in the room between two
        flip_a_bit(tmp_path / NEWEST / "data-0-000.bin", offset)
        with pytest.raises(DamagedError, match="does not have the hash"):
            reading.read(tmp_path / NEWEST, whole)
        flip_a_bit(tmp_path / NEWEST / "data-0-000.bin", offset)
    assert set(reading.read(tmp_path / NEWEST, whole).tensors) == {"loop/a", "loop/b"}


class Runtime:
    """Stands for the CUDA runtime: what it was asked to lock."""

    def __init__(self) -> None:
        self.locked: dict[int, int] = {}

    def cudaHostRegister(self, address: int, size_bytes: int, _flags: int) -> int:  # noqa: N802 - CUDA's name
        self.locked[address] = size_bytes
        return 0

    def cudaHostUnregister(self, address: int) -> int:  # noqa: N802
        del self.locked[address]
        return 0


def test_memory_is_locked_for_copies_from_cuda_once_that_is_in_use_and_let_go_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arena, runtime = Arena.private(5000), Runtime()
    assert _torch_memory.pin(arena.memory) is None
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "cudart", lambda: runtime)
    arena.unpin = _torch_memory.pin(arena.memory)
    view = torch.frombuffer(arena.memory, dtype=torch.uint8)
    assert runtime.locked == {view.data_ptr(): 8192}
    arena.close()
    assert runtime.locked == {}
