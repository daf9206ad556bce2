"""Which part of which tensor of a checkpoint this rank needs, whatever number of ranks wrote it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nightspot.checkpoint.errors import ConfigError
from nightspot.checkpoint.many import _dtensor, states
from nightspot.checkpoint.many.ranks import Ranks
from nightspot.checkpoint.many.shards import OF_RANK_0, PLACEMENTS, placeholders

_OF_RANKS = re.compile(r"(?:rank|ranks)-([\d-]+)/(.+)", re.DOTALL)


Box = tuple[tuple[int, ...], tuple[int, ...]]  # offsets and sizes of a part of a tensor


@dataclass(frozen=True, slots=True)
class Needed:
    """One tensor to be. names: in the index; more than one are copies that must be equal, unless the first counts.

    like: the live DTensor that it is placed like, or as `said`; None: it is a plain tensor, and the box is all of it.
    """

    names: tuple[str, ...]
    shape: tuple[int, ...]
    box: Box
    like: Any = None
    said: Sequence[str] | None = None
    first_counts: bool = False


class Loading:
    """Finds and puts together the tensors of `trees` for the live states.

    entries: those of `index.json`. written_by: the number of ranks that wrote the checkpoint.
    """

    def __init__(
        self, trees: Any, entries: Mapping[str, Any], live: Mapping[str, object], among: Ranks, written_by: int
    ) -> None:
        self._entries, self._ranks, self._written_by = entries, among, written_by
        self._known = states.targets(live)
        self._copies = _copies(entries)
        self._needed = {told["key"]: self._need(told) for told in placeholders(trees)}

    def boxes(self) -> dict[str, Box]:
        """By name in the index: what has to be read."""
        return {name: needed.box for needed in self._needed.values() for name in needed.names}

    def check(self, read: Mapping[str, Any]) -> None:
        """Raises ConfigError naming every tensor that differed by rank, where this is another number of ranks.

        read: by name in the index, what `boxes` asked for.
        """
        differing = [key for key, needed in self._needed.items() if not _agree(needed, read)]
        if differing:
            raise ConfigError(
                f"the checkpoint was written by {self._written_by} ranks, and each had its own {', '.join(differing)}: "
                f"this cannot be given to {self._ranks.size}; start it with {self._written_by} ranks"
            )

    def tensor(self, placeholder: Mapping[str, Any], read: Mapping[str, Any]) -> Any:
        """The tensor of a placeholder."""
        needed = self._needed[placeholder["key"]]
        local = read[needed.names[0]]
        return local if needed.like is None else _dtensor.made(local, needed.shape, needed.like, needed.said)

    def _need(self, placeholder: Mapping[str, Any]) -> Needed:
        key = placeholder["key"]
        names = self._names(key)
        shape = tuple(self._entries[names[0]]["shape"])
        first_counts = bool(placeholder.get(OF_RANK_0))
        like, said = self._placed(key, shape, placeholder.get(PLACEMENTS))
        if like is None:
            return Needed(names, shape, ((0,) * len(shape), shape), first_counts=first_counts)
        return Needed(names, shape, _dtensor.box(shape, like, said), like, said, first_counts)

    def _names(self, key: str) -> tuple[str, ...]:
        """In the index. Of this rank's own, where the same number of ranks wrote them; else all copies, rank 0's first."""
        copies = self._copies.get(key, {})
        if self._written_by == self._ranks.size:
            mine = [name for ranks, name in copies.items() if self._ranks.rank in ranks]
            return tuple(mine) or (key,)
        return tuple(copies[ranks] for ranks in sorted(copies)) or (key,)

    def _placed(self, key: str, shape: tuple[int, ...], said: Sequence[str] | None) -> tuple[Any, Sequence[str] | None]:
        """Like which DTensor, and how; None: not at all."""
        live = states.target(key, self._known)
        if live is None and said is not None:
            return next(self._meshes(len(said)), None), said
        if not _dtensor.is_dtensor(live):
            return None, None
        if key in self._known:
            return live, None
        return self._placed_for(live, shape, said)

    def _placed_for(
        self, parameter: Any, shape: tuple[int, ...], said: Sequence[str] | None
    ) -> tuple[Any, Sequence[str] | None]:
        """What an optimizer keeps of a sharded parameter: sharded likewise if it has its shape (moments), else as it was."""
        if shape == tuple(parameter.shape) and shape:
            return parameter, None
        same_mesh = said is not None and len(said) == parameter.device_mesh.ndim
        return (parameter, said) if same_mesh else (None, None)

    def _meshes(self, dimensions: int) -> Iterator[Any]:
        for tensor in self._known.values():
            if _dtensor.is_dtensor(tensor) and tensor.device_mesh.ndim == dimensions:
                yield tensor


def _copies(entries: Mapping[str, Any]) -> dict[str, dict[tuple[int, ...], str]]:
    """Key -> which ranks' -> name in the index, for tensors that not all ranks have in common."""
    found: dict[str, dict[tuple[int, ...], str]] = {}
    for name in entries:
        if (match := _OF_RANKS.fullmatch(name)) is not None:
            ranks = tuple(int(rank) for rank in match[1].split("-"))
            found.setdefault(match[2], {})[ranks] = name
    return found


def _agree(needed: Needed, read: Mapping[str, Any]) -> bool:
    """Whether the copies of a tensor are equal, or need not be."""
    first, *others = (read[name] for name in needed.names)
    return needed.first_counts or all(_dtensor.same_bits(first, other) for other in others)
