"""What of which file goes where in memory, so that wanted boxes of tensors come out whole: arithmetic only."""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nightspot.checkpoint.errors import DamagedError
from nightspot.checkpoint.pieces import ITEM_BYTES, PIECE_ALIGNMENT_BYTES, aligned, state_of

BALLOONS = Path("/sys/bus/virtio/drivers/virtio_balloon")
REPORTING = 5  # the bit VIRTIO_BALLOON_F_REPORTING, of the features as a row of digits


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes of a file from an offset on, and the writable memory that they fill."""

    file: str
    offset_bytes: int
    memory: memoryview


@dataclass(frozen=True, slots=True)
class Scattered:
    """A piece that does not lie in its target in one stretch: read aside, then the box of it goes to a box there."""

    memory: memoryview
    sizes: tuple[int, ...]  # of the piece as read
    source: tuple[slice, ...]
    target: tuple[slice, ...]


@dataclass(slots=True)
class Target:
    """A wanted box of one tensor, at `offset_bytes` in `memory`, and what fills it."""

    key: str
    sizes: tuple[int, ...]
    memory: mmap.mmap | memoryview
    offset_bytes: int
    spans: list[Span] = field(default_factory=list)
    scattered: list[Scattered] = field(default_factory=list)


def targets(
    index: Mapping[str, Any],
    wanted: Mapping[str, tuple[Sequence[int], Sequence[int]]],
    fresh: Callable[[int], mmap.mmap] | None = None,
) -> list[Target]:
    """Memory for every wanted box, that of one state's tensors together. Raises DamagedError if pieces do not cover a box."""
    make, found = fresh or large, list[Target]()
    groups: dict[str, list[str]] = {}
    for key in wanted:
        groups.setdefault(state_of(key), []).append(key)
    for keys in groups.values():
        starts, end = [], 0
        for key in keys:
            starts.append(end)
            end = aligned(end + box_bytes(index[key]["dtype"], wanted[key][1]), PIECE_ALIGNMENT_BYTES)
        memory = make(end)
        found += [_target(key, index[key], wanted[key], memory, start) for key, start in zip(keys, starts, strict=True)]
    return found


def in_place(key: str, entry: Mapping[str, Any], memory: memoryview) -> Target | None:
    """All of a tensor, into memory that exists; None where a piece would not lie there in one stretch."""
    made = _target(key, entry, ([0] * len(entry["shape"]), entry["shape"]), memory, 0)
    return None if made.scattered else made


def large(size_bytes: int) -> mmap.mmap:
    """New memory of this process alone, in large pages where these are filled faster.

    Private: an optimizer keeps it, and a forked child (a loader's worker) must get a copy of its own, as of all else.
    Shared memory, which `mmap` gives if not told, also takes half as long again to fill.
    """
    memory = mmap.mmap(-1, max(1, size_bytes), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if not host_takes_free_memory():
        with suppress(OSError, AttributeError):
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


def host_takes_free_memory(balloons: Path = BALLOONS) -> bool:
    """Whether this is a virtual machine that gives its free memory back, in large pages, to the machine it runs on.

    To get a large page again then takes that machine 512 faults: measured, 2 s a GB, against 0.4 in small pages, which
    mostly never went. Where memory has not gone, reading into large pages took a third of the time.
    """
    with suppress(OSError):
        return any(path.read_text()[REPORTING : REPORTING + 1] == "1" for path in balloons.glob("virtio*/features"))
    return False


def _target(
    key: str,
    entry: Mapping[str, Any],
    box: tuple[Sequence[int], Sequence[int]],
    memory: mmap.mmap | memoryview,
    start: int,
) -> Target:
    offsets, sizes = tuple(box[0]), tuple(box[1])
    made, covered = Target(key, sizes, memory, start), 0
    for piece in entry["pieces"]:
        common = _common(piece["offsets"], piece["sizes"], offsets, sizes)
        if common is not None:
            _add(made, entry["dtype"], piece, common, offsets)
            covered += math.prod(high - low for low, high in common)
    if covered != math.prod(sizes):
        raise DamagedError(f"the index has pieces for {covered} elements of {key}, not for {math.prod(sizes)}")
    return made


def _common(
    one: Sequence[int], one_sizes: Sequence[int], other: Sequence[int], other_sizes: Sequence[int]
) -> list[tuple[int, int]] | None:
    """First and end, in each dimension, of what two boxes have in common; None if nothing."""
    lows = [max(a, b) for a, b in zip(one, other, strict=True)]
    highs = [min(a + n, b + m) for a, n, b, m in zip(one, one_sizes, other, other_sizes, strict=True)]
    common = list(zip(lows, highs, strict=True))
    return common if all(low < high for low, high in common) else None


def _add(
    made: Target, dtype: str, piece: Mapping[str, Any], common: Sequence[tuple[int, int]], offsets: Sequence[int]
) -> None:
    """Whole rows on both sides go straight to their place, all else by way of memory of its own."""
    sizes = [high - low for low, high in common]
    source = [low - at for (low, _), at in zip(common, piece["offsets"], strict=True)]
    target = [low - at for (low, _), at in zip(common, offsets, strict=True)]
    whole_rows = sizes[1:] == list(piece["sizes"][1:]) == list(made.sizes[1:])
    if whole_rows:
        row_bytes = box_bytes(dtype, sizes[1:])
        first, start = (source[0], target[0]) if sizes else (0, 0)
        at = made.offset_bytes + start * row_bytes
        memory = memoryview(made.memory)[at : at + box_bytes(dtype, sizes)]
        made.spans.append(Span(piece["file"], piece["offset_bytes"] + first * row_bytes, memory))
        return
    memory = memoryview(bytearray(box_bytes(dtype, piece["sizes"])))
    made.spans.append(Span(piece["file"], piece["offset_bytes"], memory))
    boxes = [tuple(slice(at, at + n) for at, n in zip(where, sizes, strict=True)) for where in (source, target)]
    made.scattered.append(Scattered(memory, tuple(piece["sizes"]), boxes[0], boxes[1]))


def box_bytes(dtype: str, sizes: Sequence[int]) -> int:
    """Of a dense box. Raises DamagedError for a dtype that is not known."""
    if dtype not in ITEM_BYTES:
        raise DamagedError(f"the index names a dtype {dtype!r}, which this version does not know")
    return math.prod(sizes) * ITEM_BYTES[dtype]
