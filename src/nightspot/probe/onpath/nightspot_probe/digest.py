"""Digests of what a step begins with. Equal bits give equal digests, on one machine and one version of the probe.

Sets of tensors up to WHOLE_BYTES are hashed byte by byte. Of larger ones each tensor gives an exact 64-bit sum over all its words, which
any changed value changes, and evenly spaced blocks: two values that changed places between the blocks would go unnoticed.
"""

from __future__ import annotations

import ctypes
import dataclasses
import hashlib
import random
import sys
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Iterable, Protocol

WHOLE_BYTES = 8 << 20
BLOCK_BYTES = 4096
DIGEST_BYTES = 12
DEEPEST = 12


class Hash(Protocol):
    """What hashlib gives."""

    def update(self, data: Any, /) -> None: ...

    def hexdigest(self) -> str: ...


def new() -> Hash:
    """A hash of about 1 GB/s that every Python has."""
    return hashlib.blake2b(digest_size=DIGEST_BYTES)


def of_tensors(torch: Any, tensors: Iterable[Any]) -> str:
    """Of tensors in their order, with dtypes and shapes."""
    return of_values(torch, list(tensors))


def of_values(torch: Any, value: Any) -> str:
    """Of anything made of tensors, arrays, numbers, texts and containers. Other objects count by their attributes."""
    found = Walk(torch)
    found.walk(value, 0)
    return found.digest()


class Walk:
    """Takes a value apart: the tensors, and a text of everything around them."""

    def __init__(self, torch: Any) -> None:
        self.torch = torch
        self.around: list[str] = []
        self.tensors: list[Any] = []

    def walk(self, value: Any, depth: int) -> None:
        """Note what is in there; a value inside itself ends at DEEPEST."""
        if isinstance(value, self.torch.Tensor):
            for tensor in value.unbind() if value.is_nested else (value,):
                self._tensor(tensor)
        elif value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
            self.around.append(repr(value))
        elif depth >= DEEPEST:
            self.around.append(type(value).__name__)
        else:
            self._inside(value, depth + 1)

    def _inside(self, value: Any, depth: int) -> None:
        self.around.append(type(value).__name__)
        if isinstance(value, Mapping):
            for key in sorted(value, key=repr):  # what was saved as JSON may come back in another order
                self.around.append(repr(key))
                self.walk(value[key], depth)
        elif isinstance(value, AbstractSet):
            self.around.append(repr(sorted(map(repr, value))))
        elif isinstance(value, (list, tuple)):
            self.around.append(str(len(value)))
            for item in value:
                self.walk(item, depth)
        elif hasattr(value, "tobytes") and hasattr(value, "dtype"):  # numpy
            self.around += [str(value.dtype), str(value.shape), hashlib.blake2b(value.tobytes()).hexdigest()]
        elif dataclasses.is_dataclass(value) or hasattr(value, "__dict__"):
            self.walk({name: item for name, item in vars(value).items() if not callable(item)}, depth)

    def _tensor(self, tensor: Any) -> None:
        tensor = tensor.detach()
        self.around.append(f"{tensor.dtype} {tuple(tensor.shape)}")
        if hasattr(tensor, "to_local"):  # DTensor
            tensor = tensor.to_local()
        if tensor.layout == self.torch.sparse_coo:
            self.tensors += [tensor._indices(), tensor._values()]  # noqa: SLF001 - the public ones refuse it uncoalesced
        else:
            self.tensors.append(tensor if tensor.layout == self.torch.strided else tensor.to_dense())

    def digest(self) -> str:
        """Hex."""
        hashed = new()
        hashed.update("\0".join(self.around).encode())
        sizes = [tensor.numel() * tensor.element_size() for tensor in self.tensors]
        whole = sum(sizes) <= WHOLE_BYTES
        for tensor, size_bytes in zip(self.tensors, sizes, strict=True):
            if whole or size_bytes <= BLOCK_BYTES:
                _all(hashed, tensor)
            else:
                _sample(self.torch, hashed, tensor, int(WHOLE_BYTES * size_bytes / sum(sizes)))
        return hashed.hexdigest()


def _all(hashed: Hash, tensor: Any) -> None:
    """Every byte. By address, since torch hands its memory to numpy only where numpy is installed."""
    if tensor.device.type == "meta" or not tensor.numel():
        return
    kept = tensor.resolve_conj().resolve_neg().cpu().contiguous()
    size_bytes = kept.numel() * kept.element_size()
    hashed.update((ctypes.c_ubyte * size_bytes).from_address(kept.data_ptr()))


def _sample(torch: Any, hashed: Hash, tensor: Any, budget_bytes: int) -> None:
    """The sum of all 64-bit words, which wraps around and so is exact, and blocks of about the budget."""
    flat = tensor.resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8)
    whole_words = flat.numel() // 8 * 8
    words = flat[:whole_words]
    words = words.clone() if words.storage_offset() % 8 else words
    _all(hashed, words.view(torch.int64).sum())
    blocks = max(1, budget_bytes // BLOCK_BYTES)
    for number in range(blocks):
        start = (flat.numel() - BLOCK_BYTES) * number // max(1, blocks - 1)
        _all(hashed, flat[start : start + BLOCK_BYTES])


def of_random_states(torch: Any) -> str:
    """Of each stream by name, parted by spaces: `python=… numpy=… torch=… cuda0=…`. Reading them moves none."""
    states: dict[str, Any] = {"python": random.getstate()}
    if (numpy := sys.modules.get("numpy")) is not None and hasattr(numpy, "random"):
        states["numpy"] = numpy.random.get_state(legacy=True)
    states["torch"] = torch.get_rng_state()
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states.update({f"cuda{number}": state for number, state in enumerate(torch.cuda.get_rng_state_all())})
    return " ".join(f"{name}={of_values(torch, state)}" for name, state in states.items())
