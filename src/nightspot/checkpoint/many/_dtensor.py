"""DTensors: which box of a tensor is this rank's, and how to make one of a box. torch is imported only where there are any."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nightspot.checkpoint.errors import StateError

if TYPE_CHECKING:
    import torch

_SHARD = re.compile(r"S(\d+)")
# Where they are in torch 2.5 and newer, and in 2.3 and 2.4.
_HOMES = ("torch.distributed.tensor", "torch.distributed._tensor")
Offsets = tuple[int, ...]
Sizes = tuple[int, ...]


def is_dtensor(value: object) -> bool:
    """A tensor of which each rank has a part."""
    return any(isinstance(value, kind) for kind in map(_kind, _HOMES) if kind is not None)


def ranks(tensor: Any) -> list[int]:
    """Those that have a part of a DTensor."""
    found: list[int] = tensor.device_mesh.mesh.flatten().tolist()
    return found


def placements(tensor: Any) -> list[str]:
    """How a DTensor lies along each dimension of its mesh: `R` (all of it), `S0` (sharded by dimension 0).

    Raises StateError for one that is not yet summed up.
    """
    return [_said(placement) for placement in tensor.placements]


def box(shape: Sequence[int], like: Any, said: Sequence[str] | None = None) -> tuple[Offsets, Sizes]:
    """Offsets and sizes of this rank's part of a tensor of `shape`, placed like the DTensor `like`, or as `said`."""
    compute = importlib.import_module(f"{_home()}._utils").compute_local_shape_and_global_offset
    sizes, offsets = compute(_size(shape), like.device_mesh, _placements(like, said))
    return tuple(offsets), tuple(sizes)


def made(local: torch.Tensor, shape: Sequence[int], like: Any, said: Sequence[str] | None = None) -> Any:
    """A DTensor of `shape` of which `local` is this rank's part, placed like `like`, or as `said`."""
    moved = local.to(like.to_local().device)
    where, size = _placements(like, said), _size(shape)
    return type(like).from_local(moved, like.device_mesh, where, run_check=False, shape=size, stride=_strides(shape))


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    """For plain tensors: NaN equals itself, and 0 is not -0."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return not one.numel() or _bytes(one).equal(_bytes(other))


def _bytes(tensor: torch.Tensor) -> torch.Tensor:
    import torch

    return tensor.contiguous().reshape(-1).view(torch.uint8)


def _strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Of a dense array, row by row."""
    found, step = [], 1
    for size in reversed(shape):
        found.append(step)
        step *= max(size, 1)
    return tuple(reversed(found))


def _placements(like: Any, said: Sequence[str] | None) -> Sequence[Any]:
    return tuple(like.placements) if said is None else tuple(_placement(name) for name in said)


def _said(placement: Any) -> str:
    if placement.is_replicate():
        return "R"
    if placement.is_shard():
        return f"S{placement.dim}"
    raise StateError(f"a DTensor placed as {placement}: expected Replicate() or Shard(dim)")


def _placement(said: str) -> Any:
    module: Any = sys.modules[_home()]
    shard = _SHARD.fullmatch(said)
    return module.Replicate() if shard is None else module.Shard(int(shard[1]))


def _home() -> str:
    return next(home for home in _HOMES if home in sys.modules)


def _size(shape: Sequence[int]) -> torch.Size:
    import torch

    return torch.Size(shape)


def _kind(home: str) -> Any:
    return getattr(sys.modules.get(home), "DTensor", None)
