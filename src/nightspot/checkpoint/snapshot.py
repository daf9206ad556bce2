"""All states at one moment, copied into the arena: the only part of a save that training waits for."""

from __future__ import annotations

import json
import mmap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from nightspot.checkpoint.arena import Arena
from nightspot.checkpoint.pieces import FILE_ALIGNMENT_BYTES, Filled, Part, Piece, aligned, entries, lay_out, rows

ENTRIES = "entries"  # name of the part that holds this rank's share of `index.json`


class Plan:
    """Where the bytes of given pieces go: files of tensors and, behind them, texts. The same as long as the pieces are alike."""

    def __init__(self, pieces: Sequence[Piece], rank: int = 0) -> None:
        self._like = [replace(piece, tensor=None) for piece in pieces]  # a plan must not keep live memory alive
        self.rank, self.files = rank, lay_out(self._like, rank)
        self.entries = json.dumps(entries(self.files), separators=(",", ":")).encode()
        self.end_bytes = _end_bytes(self.files)

    def fits(self, pieces: Sequence[Piece]) -> bool:
        """The same keys, dtypes, shapes and boxes, in the same order."""
        return self._like == list(pieces)

    def parts(self) -> list[Part]:
        """The files of tensors."""
        return [filled.part for filled in self.files]


def texts_behind(start_bytes: int, texts: Mapping[str, bytes]) -> list[Part]:
    """Parts for texts, in the arena from `start_bytes` on."""
    parts = []
    for name, text in texts.items():
        parts.append(Part(name, start_bytes, len(text)))
        start_bytes = aligned(start_bytes + len(text), FILE_ALIGNMENT_BYTES)
    return parts


def clear_gaps(memory: mmap.mmap, files: Sequence[Filled]) -> None:
    """Zeros between places: equal states shall make equal files."""
    for filled in files:
        end = filled.part.start_bytes
        for place in filled.places:
            start = filled.part.start_bytes + place.offset_bytes
            memory[end:start] = bytes(start - end)
            end = start + place.piece.size_bytes


class Snapshot:
    """Keeps plan and copying from save to save. arena: makes memory of at least so many bytes, or gives the one there is."""

    def __init__(self, arena: Callable[[int], Arena]) -> None:
        self._arena = arena
        self._plan: Plan | None = None
        self._at: Arena | None = None
        self._copying: Any = None

    def size_bytes(self, pieces: Sequence[Piece], texts: Mapping[str, bytes], rank: int = 0) -> int:
        """How much memory `take` will need."""
        plan = self._planned(pieces, rank)
        last = texts_behind(plan.end_bytes, {**texts, ENTRIES: plan.entries})[-1]
        return last.start_bytes + last.size_bytes

    def take(
        self, pieces: Sequence[Piece], texts: Mapping[str, bytes], rank: int = 0
    ) -> tuple[list[Part], Part, Arena]:
        """Copy all of it. Returns the files' parts, that of the entries, and the arena that holds them.

        Raises OSError where there is not so much memory.
        """
        plan, arena = self._planned(pieces, rank), self._arena(self.size_bytes(pieces, texts, rank))
        self._copy(plan, arena, pieces)
        everything = {**texts, ENTRIES: plan.entries}
        parts = texts_behind(plan.end_bytes, everything)
        for part, text in zip(parts, everything.values(), strict=True):
            arena.memory[part.start_bytes : part.start_bytes + part.size_bytes] = text
        return [*plan.parts(), *parts[:-1]], parts[-1], arena

    def forget(self) -> None:
        """Let go of the arena."""
        self._at = self._copying = None

    def _planned(self, pieces: Sequence[Piece], rank: int) -> Plan:
        if self._plan is None or self._plan.rank != rank or not self._plan.fits(pieces):
            self._plan, self._copying = Plan(pieces, rank), None
        return self._plan

    def _copy(self, plan: Plan, arena: Arena, pieces: Sequence[Piece]) -> None:
        if not plan.files:
            return
        if self._copying is None or self._at is not arena:
            from nightspot.checkpoint import _torch_memory

            clear_gaps(arena.memory, plan.files)
            self._copying, self._at = _torch_memory.Copying(arena.memory, plan.files), arena
        self._copying.copy([row for piece in pieces for row in rows(piece)])


def _end_bytes(files: Sequence[Filled]) -> int:
    if not files:
        return 0
    return aligned(files[-1].part.start_bytes + files[-1].part.size_bytes, FILE_ALIGNMENT_BYTES)
