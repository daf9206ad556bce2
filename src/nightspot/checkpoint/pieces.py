"""Which bytes of which tensor go into which file: boxes of tensors, laid out in files of bounded size. Standard library only.

A key names a tensor within a checkpoint (`model/encoder.weight`); `index.json` says where its pieces lie.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from nightspot.checkpoint.errors import StateError

PIECE_ALIGNMENT_BYTES = 64  # a cache line; more than any dtype asks for
FILE_ALIGNMENT_BYTES = 4096  # what O_DIRECT asks of memory
FILE_BYTES = 256 << 20  # a file is hashed by one thread: of a few such files, several threads make one pass

ITEM_BYTES: dict[str, int] = {
    **dict.fromkeys(("bool", "uint8", "int8", "bits8"), 1),
    **dict.fromkeys(("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"), 1),
    **dict.fromkeys(("float4_e2m1fn_x2", "bits1x8", "bits2x4", "bits4x2"), 1),
    **dict.fromkeys((f"{kind}{bits}" for kind in ("int", "uint") for bits in range(1, 8)), 1),
    **dict.fromkeys(("int16", "uint16", "float16", "bfloat16", "bits16"), 2),
    **dict.fromkeys(("int32", "uint32", "float32", "complex32"), 4),
    **dict.fromkeys(("int64", "uint64", "float64", "complex64"), 8),
    "complex128": 16,
}


@dataclass(frozen=True, slots=True)
class Piece:
    """A box of one tensor: what this rank writes of it.

    dtype: torch's name without `torch.`. shape: of the whole tensor. offsets, sizes: the box within it.
    tensor: a live tensor of exactly `sizes`, on any device; None where only the place matters.
    Raises StateError for a dtype whose bytes are not known.
    """

    key: str
    dtype: str
    shape: tuple[int, ...]
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    tensor: Any = field(default=None, compare=False, repr=False)

    @property
    def size_bytes(self) -> int:
        """Of the box, as a dense row-major array."""
        if self.dtype not in ITEM_BYTES:
            raise StateError(f"{self.key} has the dtype {self.dtype}: expected one of {', '.join(sorted(ITEM_BYTES))}")
        return math.prod(self.sizes) * ITEM_BYTES[self.dtype]


@dataclass(frozen=True, slots=True)
class Part:
    """A file to be, and where in the arena its bytes are."""

    name: str
    start_bytes: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a piece lies in its file."""

    piece: Piece
    offset_bytes: int


@dataclass(frozen=True, slots=True)
class Filled:
    """A file of tensors: its part of the arena, and what is where in it. Between places there are zeros."""

    part: Part
    places: tuple[Place, ...]


def whole(tensors: Mapping[str, Any]) -> list[Piece]:
    """One piece for each tensor: all of it, as one process writes it."""
    return [_whole(key, tensor) for key, tensor in tensors.items()]


def lay_out(pieces: Iterable[Piece], rank: int = 0, start_bytes: int = 0) -> list[Filled]:
    """Files `data-RANK-NNN.bin`, in the order of the pieces, in the arena from `start_bytes` on.

    A file holds tensors of one state, so that memory of one can be let go while another lives, and at most
    FILE_BYTES, unless a single row is larger.
    """
    files: list[Filled] = []
    for places in _grouped(pieces):
        last = places[-1]
        part = Part(f"data-{rank}-{len(files):03d}.bin", start_bytes, last.offset_bytes + last.piece.size_bytes)
        files.append(Filled(part, tuple(places)))
        start_bytes = aligned(start_bytes + part.size_bytes, FILE_ALIGNMENT_BYTES)
    return files


def entries(files: Iterable[Filled]) -> dict[str, Any]:
    """Key -> dtype, shape and pieces: what `index.json` says of these files. Tensors without elements have no pieces."""
    found: dict[str, Any] = {}
    for filled in files:
        for place in filled.places:
            piece = place.piece
            entry = found.setdefault(piece.key, {"dtype": piece.dtype, "shape": list(piece.shape), "pieces": []})
            where = {"file": filled.part.name, "offset_bytes": place.offset_bytes}
            entry["pieces"].append(where | {"offsets": list(piece.offsets), "sizes": list(piece.sizes)})
    return found


def rows(piece: Piece) -> Iterator[Piece]:
    """The piece, or pieces of whole rows of it where it is larger than a file may be."""
    if piece.size_bytes <= FILE_BYTES or not piece.sizes:
        yield piece
        return
    most = max(1, FILE_BYTES * piece.sizes[0] // piece.size_bytes)
    for first in range(0, piece.sizes[0], most):
        count = min(most, piece.sizes[0] - first)
        tensor = None if piece.tensor is None else piece.tensor.narrow(0, first, count)
        offsets = (piece.offsets[0] + first, *piece.offsets[1:])
        yield Piece(piece.key, piece.dtype, piece.shape, offsets, (count, *piece.sizes[1:]), tensor)


def aligned(size_bytes: int, alignment_bytes: int) -> int:
    """The next multiple."""
    return -(-size_bytes // alignment_bytes) * alignment_bytes


def _whole(key: str, tensor: Any) -> Piece:
    shape = tuple(tensor.shape)
    return Piece(key, str(tensor.dtype).removeprefix("torch."), shape, (0,) * len(shape), shape, tensor)


def _grouped(pieces: Iterable[Piece]) -> Iterator[list[Place]]:
    places: list[Place] = []
    for piece in pieces:
        for row in rows(piece):
            if places and not _fits(places, row):
                yield places
                places = []
            places.append(Place(row, _end(places)))
    if places:
        yield places


def _fits(places: list[Place], piece: Piece) -> bool:
    same_state = state_of(places[0].piece.key) == state_of(piece.key)
    return same_state and _end(places) + piece.size_bytes <= FILE_BYTES


def _end(places: list[Place]) -> int:
    if not places:
        return 0
    return aligned(places[-1].offset_bytes + places[-1].piece.size_bytes, PIECE_ALIGNMENT_BYTES)


def state_of(key: str) -> str:
    """The state that a key belongs to; tensors of one rank have `rank-R/` before it."""
    return re.sub(r"rank-\d+/", "", key, count=1).partition("/")[0]
