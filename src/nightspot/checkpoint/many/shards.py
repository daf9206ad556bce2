"""What of which tensor this rank writes: no byte is written twice, and none that others lack is left out.

Two kinds of tensors. *Shared*: parameters under DistributedDataParallel, DTensors (FSDP2, tensor parallelism), and what
an optimizer keeps for those. torch.distributed.checkpoint's planner deals them out: what all ranks have is written once, by
the rank with the least to write, and each shard by one that has it. *Own*: everything else, buffers included, may differ
by rank and is written by every rank.

Own ones have the key `rank-R/KEY` in the index; DTensors of some ranks only (a stage of a pipeline) `ranks-R-R/KEY`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from nightspot.checkpoint import pieces
from nightspot.checkpoint.capture import RANDOM, Captured
from nightspot.checkpoint.manifest import STATE, rank_file
from nightspot.checkpoint.many import _dtensor, states
from nightspot.checkpoint.many.ranks import Ranks
from nightspot.checkpoint.pieces import Piece

PLACEMENTS = "placements"  # in a placeholder: how a DTensor lay on its mesh
OF_RANK_0 = "of_rank_0"  # in a placeholder: where ranks differ, rank 0's counts


class Sharing:
    """Deals out the writing of a training's tensors; plans anew only when keys, shapes or placements change."""

    def __init__(self, live: Mapping[str, object], among: Ranks) -> None:
        self._live, self._ranks = live, among
        self._signature: object = None
        self._plan: Any = None
        self._keys: tuple[str, ...] | None = None
        self._shared: set[str] = set()

    def pieces(self, tensors: Mapping[str, Any]) -> list[Piece]:
        """This rank's share of `tensors` (by key); together, the ranks' shares cover each tensor exactly once.

        All ranks must call it, as often. Raises ConfigError if a shared tensor has another shape on another rank.
        """
        if self._ranks.size == 1 and not any(map(_dtensor.is_dtensor, tensors.values())):
            return pieces.whole(tensors)
        from nightspot.checkpoint.many import _plan

        keyed = self.keyed(tensors)
        signature = _plan.signature(keyed)
        changed = {"plan": "as before" if signature == self._signature else f"new on rank {self._ranks.rank}"}
        if self._ranks.differing(changed) or signature != self._signature:
            self._plan, self._signature = _plan.Plan(keyed, self._ranks), signature
        found: list[Piece] = self._plan.cut(keyed)
        return found

    def annotate(self, captured: Captured) -> Captured:
        """Write into the placeholders what another number of ranks has to know of the tensors."""
        of_rank_0 = states.buffers_of_rank_0(self._live)
        for placeholder in placeholders(captured.trees):
            key = placeholder["key"]
            if _dtensor.is_dtensor(captured.tensors[key]):
                placeholder[PLACEMENTS] = _dtensor.placements(captured.tensors[key])
            if key in of_rank_0:
                placeholder[OF_RANK_0] = True
        return captured

    def texts(self, captured: Captured) -> dict[str, bytes]:
        """This rank's files of trees: `rank-R.json`, and from rank 0 those that are equal on all ranks, too.

        All ranks must call it, as often.
        """
        own = {RANDOM}
        if self._ranks.size > 1:
            own |= self._ranks.differing({name: digest(tree) for name, tree in captured.trees.items()})
        shared, mine = captured.split(own)
        found = {rank_file(self._ranks.rank): mine}
        return {STATE: shared, **found} if self._ranks.rank == 0 else found

    def keyed(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """By their names in the index."""
        if self._keys != (keys := tuple(tensors)):
            self._keys, self._shared = keys, states.shared(keys, self._live, self._ranks.size)
        return {self._key(key, tensor): tensor for key, tensor in tensors.items()}

    def _key(self, key: str, tensor: Any) -> str:
        if _dtensor.is_dtensor(tensor):
            having = _dtensor.ranks(tensor)
            return key if len(having) == self._ranks.size else f"ranks-{'-'.join(map(str, having))}/{key}"
        return key if self._ranks.size == 1 or key in self._shared else f"rank-{self._ranks.rank}/{key}"


def digest(tree: object) -> str:
    """Equal for equal trees of JSON values."""
    return hashlib.sha256(json.dumps(tree, allow_nan=False, separators=(",", ":")).encode()).hexdigest()


def placeholders(tree: Any) -> Iterator[dict[str, Any]]:
    """Of all tensors in a tree of JSON values."""
    if isinstance(tree, list):
        for item in tree:
            yield from placeholders(item)
    elif isinstance(tree, Mapping):
        if tree.get("!") == "tensor":
            yield cast("dict[str, Any]", tree)
        else:
            yield from placeholders(list(tree.values()))
