"""Patches in `index.json`, and laying them over a base that was read. Standard library only; tensors are handed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nightspot.checkpoint.ahead.base import PATCH

Boxes = Mapping[str, tuple[Sequence[int], Sequence[int]]]  # key -> offsets and sizes


def is_patch(key: str) -> bool:
    """The key belongs to a patch, and to no state."""
    return key.startswith(PATCH)


def merge(base: Mapping[str, Any], entries: Mapping[str, Any]) -> dict[str, Any]:
    """Entries of `index.json`: of the base, and of all that was copied at the boundary.

    Raises ValueError where a patch is missing: its table would come back as it never was.
    """
    for key, entry in base.items():
        for name in (name for patch in entry["patches"] for name in patch.values()):
            if name not in entries:
                raise ValueError(f"{key}: its base has no patch {name}")
    return {**base, **entries}


def with_patches(entries: Mapping[str, Any], boxes: Boxes) -> Boxes:
    """What has to be read for these boxes: themselves, and all of the patches of their tensors."""
    names = {name for key in boxes for patch in entries[key].get("patches", ()) for name in patch.values()}
    return {**boxes, **{name: ([0] * len(entries[name]["shape"]), entries[name]["shape"]) for name in sorted(names)}}


def lay_over(entries: Mapping[str, Any], tensors: dict[str, Any], boxes: Boxes) -> None:
    """Put the rows of all patches into their tensors, in order, and take the patches themselves away.

    entries: of `index.json`. boxes: what `tensors` hold, by key; int64 [n] rows and [n, ...] values among them.
    """
    for key in [key for key in tensors if not is_patch(key)]:
        for patch in entries[key].get("patches", ()):
            _put(tensors[key], tensors[patch["rows"]], tensors[patch["values"]], boxes[key])
    for key in [key for key in tensors if is_patch(key)]:
        del tensors[key]


def _put(into: Any, rows: Any, values: Any, box: tuple[Sequence[int], Sequence[int]]) -> None:
    offsets, sizes = box
    inside = (rows >= offsets[0]) & (rows < offsets[0] + sizes[0])
    for dim in range(1, len(sizes)):
        values = values.narrow(dim, offsets[dim], sizes[dim])
    if not inside.all():
        rows, values = rows[inside], values[inside]
    into.index_copy_(0, rows - offsets[0], values)
