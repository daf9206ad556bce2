"""A checkpoint into this rank's memory: what it needs, whatever number of ranks wrote it; together the ranks verify every byte."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nightspot.checkpoint import _torch, manifest, reading
from nightspot.checkpoint.capture import RANDOM
from nightspot.checkpoint.errors import ConfigError, DamagedError
from nightspot.checkpoint.manifest import INDEX, STATE, File, Manifest, rank_file
from nightspot.checkpoint.many.loading import Box, Loading
from nightspot.checkpoint.many.ranks import Ranks, shares
from nightspot.checkpoint.many.shards import placeholders
from nightspot.checkpoint.random_state import NEW_SEED, SEED_WARNING
from nightspot.checkpoint.reading import Contents


def read(checkpoint: Path, head: Manifest, live: Mapping[str, object], among: Ranks) -> Contents:
    """Trees and tensors for this rank, verified as they are read, and this rank's share of all other files.

    Tensors are by the key in a placeholder, DTensors where they are such in `live`.
    Raises DamagedError, UnverifiableError, OSError; ConfigError where another number of ranks cannot go on with it.
    """
    written_by = head.head.world_size
    same = written_by == among.size
    trees, index = reading.read_trees(checkpoint, head, among.rank if same else 0)
    if not same:
        trees = _for_another_number(trees, _own(checkpoint, head), head, among)
    try:
        loading = Loading(trees, index, live, among, written_by)
    except KeyError as error:
        raise DamagedError(f"{checkpoint.name}: its index lacks {error}") from error
    boxes = loading.boxes()
    homes = _homes(trees, index, live) if among.size == written_by == 1 else {}
    memories = {key: home.memory for key, home in homes.items() if key in boxes}
    tensors, put = reading.read_around(checkpoint, head, index, boxes, memories)
    tensors = {key: homes[key].tensor for key in memories} | tensors
    _verify_rest(checkpoint, head, set(_files(index, boxes)) | {STATE, INDEX, rank_file(among.rank)}, among)
    loading.check(tensors)
    return Contents(trees, index, {told["key"]: loading.tensor(told, tensors) for told in placeholders(trees)}, put)


def _homes(trees: Mapping[str, Any], index: Mapping[str, Any], live: Mapping[str, object]) -> dict[str, Any]:
    if not _torch.in_use():
        return {}
    from nightspot.checkpoint import _torch_homes

    return dict(_torch_homes.find(trees, index, live))


def _for_another_number(trees: Mapping[str, Any], own: Sequence[str], head: Manifest, among: Ranks) -> dict[str, Any]:
    """What all ranks had alike is given to all; each rank's own is refused, but for random states, which begin anew."""
    there = head.head
    if own:
        raise ConfigError(
            f"{head.name} was written by {there.world_size} ranks, and each had its own {', '.join(own)}: "
            f"this cannot be given to {among.size}; start it with {there.world_size} ranks"
        )
    seed = hashlib.sha256(f"{there.units_done}:{among.rank}:{among.size}".encode()).digest()
    anew: dict[str, Any] = {NEW_SEED: int.from_bytes(seed[:4], "big")}
    if among.rank == 0:
        anew[SEED_WARNING] = (
            f"{head.name} was written by {there.world_size} ranks, {among.size} go on with it: not bit-exact; random "
            "states begin anew, and a position that counts one rank's samples means another place in the data"
        )
    return {**trees, RANDOM: anew}


def _own(checkpoint: Path, head: Manifest) -> list[str]:
    """Names of the states that differed by rank."""
    return sorted(reading.read_own(checkpoint, head, 0).keys() - {RANDOM})


def _verify_rest(checkpoint: Path, head: Manifest, done: set[str], among: Ranks) -> None:
    for file in _share(head.files, among):
        if file.name not in done:
            manifest.verify_file(checkpoint, file, head.algorithm)


def _share(files: Sequence[File], among: Ranks) -> list[File]:
    return shares(files, among.size)[among.rank]


def _files(index: Mapping[str, Any], boxes: Mapping[str, Box]) -> Iterator[str]:
    """Those that hold something of the boxes, and are read for it."""
    for key, box in boxes.items():
        for piece in index[key]["pieces"]:
            if _overlap(piece, box):
                yield piece["file"]


def _overlap(piece: Mapping[str, Any], box: Box) -> bool:
    return all(
        max(one, other) < min(one + one_size, other + other_size)
        for one, one_size, other, other_size in zip(piece["offsets"], piece["sizes"], *box, strict=True)
    )
