"""What a writer is told: which parts of the arena become which checkpoint. Standard library only."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from nightspot.checkpoint.manifest import Head
from nightspot.checkpoint.pieces import Part


@dataclass(frozen=True, slots=True)
class Order:
    """One save. Paths are absolute: the writer process works elsewhere.

    name, token: the checkpoint is written as `staging/NAME.tmp-TOKEN` and becomes `folder/NAME`.
    parts: its files. entries: where this rank's part of `index.json` lies in the arena, as JSON.
    keep, keep_every, bad: what retention needs (see there). rank, size: of the processes that train; peers: which these are (see
        `many.life`), by rank.
    base: the tables of this save were copied ahead, into the same folder (see the room `ahead`).
    """

    name: str
    token: str
    folder: str
    staging: str
    head: Head
    parts: tuple[Part, ...]
    entries: Part
    keep: int
    keep_every: int | None = None
    bad: tuple[str, ...] = ()
    rank: int = 0
    size: int = 1
    base: bool = False
    peers: tuple[str, ...] = ()

    @property
    def unfinished(self) -> Path:
        """Where it is written."""
        return Path(self.staging) / f"{self.name}.tmp-{self.token}"

    @property
    def final(self) -> Path:
        """What it becomes."""
        return Path(self.folder) / self.name

    def to_bytes(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self), allow_nan=False).encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Order:
        """What `to_bytes` wrote."""
        told = json.loads(raw)
        told["head"] = Head(**told["head"])
        told["parts"] = tuple(Part(**part) for part in told["parts"])
        told["entries"], told["bad"], told["peers"] = Part(**told["entries"]), tuple(told["bad"]), tuple(told["peers"])
        return cls(**told)
