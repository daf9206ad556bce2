"""Tensors to and from plain memory, as fast as that goes. With `_torch`, the only module here that touches torch."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from nightspot.checkpoint.layout import Target
from nightspot.checkpoint.pieces import ITEM_BYTES, Filled, Piece

_COPIED = ("bool", "uint8", "int8", *(name for name in ITEM_BYTES if name.startswith("float8")))

if TYPE_CHECKING:
    import mmap

    import torch


def view(memory: Any, offset_bytes: int, dtype: str, sizes: Sequence[int]) -> torch.Tensor:
    """A dense tensor of `sizes` over writable memory, without copying; it keeps the memory alive."""
    import torch

    kind = getattr(torch, dtype)
    count = math.prod(sizes)
    if count == 0:
        return torch.empty(tuple(sizes), dtype=kind)
    raw = torch.frombuffer(memory, dtype=torch.uint8, count=count * ITEM_BYTES[dtype], offset=offset_bytes)
    return raw.view(kind).view(tuple(sizes))


def assemble(target: Target, dtype: str) -> torch.Tensor:
    """The wanted box, once its spans are filled."""
    whole = view(target.memory, target.offset_bytes, dtype, target.sizes)
    for part in target.scattered:
        whole[part.target] = view(part.memory, 0, dtype, part.sizes)[part.source]
    return whole


class Copying:
    """Copies the pieces of one plan into an arena, again and again.

    Copies between CPU memories run in torch's threads. From CUDA the memory is pinned, the copies run on a stream of
    their own once all that was queued on the device is done, and `copy` waits for them.
    """

    def __init__(self, memory: mmap.mmap, files: Sequence[Filled]) -> None:
        self._targets = [
            view(memory, filled.part.start_bytes + place.offset_bytes, place.piece.dtype, place.piece.sizes)
            for filled in files
            for place in filled.places
        ]

    def copy(self, pieces: Sequence[Piece]) -> None:
        """Values of `pieces`, in the order of the plan's places."""
        import torch

        sources = [piece.tensor.detach() for piece in pieces]
        with torch.no_grad():
            if any(source.is_cuda for source in sources):
                self._copy_cuda(sources)
            else:
                for target, source in zip(self._targets, sources, strict=True):
                    _fill(target, source)

    def _copy_cuda(self, sources: Sequence[torch.Tensor]) -> None:
        import torch

        make: Any = torch.cuda.Stream
        streams = {source.device: make(source.device) for source in sources if source.is_cuda}
        for device in streams:  # not its current stream alone: an optimizer may work on one of its own
            torch.cuda.synchronize(device)
        for target, source in zip(self._targets, sources, strict=True):
            with torch.cuda.stream(streams.get(source.device)):
                _fill(target, source)
        for stream in streams.values():
            stream.synchronize()


def _fill(target: torch.Tensor, source: Any) -> None:
    """From a tensor, or from what stands for one and fills itself in: rows of a table."""
    import torch

    if isinstance(source, torch.Tensor):
        if source.dtype in _without_copies():
            target, source = target.view(torch.uint8), source.view(torch.uint8)
        target.copy_(source, non_blocking=source.is_cuda)  # from other devices nobody would wait for it
    else:
        source.fill(target)


@lru_cache(maxsize=1)
def _without_copies() -> frozenset[torch.dtype]:
    """Types of one byte that torch knows by name and cannot copy: their bytes can be."""
    import torch

    names = [name for name, size_bytes in ITEM_BYTES.items() if size_bytes == 1 and name not in _COPIED]
    return frozenset(getattr(torch, name) for name in names if hasattr(torch, name))


def pin(memory: mmap.mmap) -> Callable[[], None] | None:
    """Lock memory for copies from CUDA devices, once CUDA is in use; returns how to let go. None: not needed, or refused."""
    import torch

    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return None
    runtime: Any = torch.cuda.cudart()  # type: ignore[no-untyped-call]
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    if int(runtime.cudaHostRegister(address, len(memory), 0)) != 0:
        return None
    return lambda: runtime.cudaHostUnregister(address)
