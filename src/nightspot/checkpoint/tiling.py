"""Whether an `index.json` makes sense before anything is read by it: its form, and that its pieces are the tensors, each element once.

Hashes say that an index is the one that was written, not that it was written right, or by us. Standard library only.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from nightspot.checkpoint.errors import DamagedError

MOST_CUT = 8  # dimensions in which one tensor is cut; of n of them each piece has 2 ** n corners


def check_index(tensors: Any, name: str) -> None:
    """tensors: of the index of checkpoint `name`, by key. Raises DamagedError, which names both."""
    if not isinstance(tensors, dict):
        raise DamagedError(f"{name}: its index has no tensors by key")
    for key, entry in tensors.items():
        if not _is_entry(entry):
            raise DamagedError(f"{name}: its index has no dtype, shape and pieces for {key}")
        shape = tuple(entry["shape"])
        if not all(_is_piece(piece, shape) for piece in entry["pieces"]):
            raise DamagedError(f"{name}: its index has a piece of {key} that is no box of {list(shape)} in a file")
        if not tile(shape, entry["pieces"]):
            raise DamagedError(f"{name}: its index has pieces of {key} that overlap or leave something out")


def tile(shape: tuple[int, ...], pieces: Sequence[Mapping[str, Any]]) -> bool:
    """Whether boxes within `shape` cover each element exactly once.

    A corner of a box counts +1 or -1, by the number of its upper ends. Counts over all boxes are those of the whole exactly
    if each element is covered once: they are the differences, along all dimensions, of how often each is covered.
    """
    boxes = [(tuple(piece["offsets"]), tuple(piece["sizes"])) for piece in pieces if 0 not in piece["sizes"]]
    everything = ((0,) * len(shape), shape)
    if boxes == [everything] or 0 in shape:
        return True
    cut = [dim for dim in range(len(shape)) if any((o[dim], n[dim]) != (0, shape[dim]) for o, n in boxes)]
    if not boxes or len(cut) > MOST_CUT:
        return False
    counts: dict[tuple[int, ...], int] = {}
    for sign, box in ((-1, everything), *((1, box) for box in boxes)):
        _count(counts, sign, box, cut)
    return not any(counts.values())


def _count(
    counts: dict[tuple[int, ...], int], sign: int, box: tuple[tuple[int, ...], tuple[int, ...]], cut: Sequence[int]
) -> None:
    offsets, sizes = box
    ends = [((offsets[dim], 1), (offsets[dim] + sizes[dim], -1)) for dim in cut]
    for corner in itertools.product(*ends):
        at, upward = tuple(where for where, _ in corner), sign
        for _, turn in corner:
            upward *= turn
        counts[at] = counts.get(at, 0) + upward


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str):
        return False
    return _are_counts(entry.get("shape")) and isinstance(entry.get("pieces"), list)


def _is_piece(piece: Any, shape: tuple[int, ...]) -> bool:
    if not isinstance(piece, dict) or not isinstance(piece.get("file"), str):
        return False
    offsets: Any = piece.get("offsets")
    sizes: Any = piece.get("sizes")
    if not (_are_counts([piece.get("offset_bytes")]) and _are_counts(offsets) and _are_counts(sizes)):
        return False
    if not len(offsets) == len(sizes) == len(shape):
        return False
    return all(at + count <= size for at, count, size in zip(offsets, sizes, shape, strict=True))


def _are_counts(numbers: Any) -> bool:
    return isinstance(numbers, list) and all(type(number) is int and number >= 0 for number in numbers)
