"""What the ranks of one training settle among themselves; a training of one process takes the same way.

`Alone` answers at once. `Group` (in `_group`) asks the others, over a gloo group of our own: the training's own
collectives are never mixed with ours.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol, TypeVar

from nightspot.checkpoint import _torch, errors
from nightspot.checkpoint.errors import CheckpointError, ConfigError
from nightspot.checkpoint.manifest import File

T = TypeVar("T")
NONCE = "ranks-"  # beginning of the name of a file by which ranks see that they share a folder


@dataclass(frozen=True, slots=True)
class Wants:
    """What a rank wants of the next save, or what all together want.

    notice: this process was told that it is about to end. asked: somebody asks for a checkpoint. due: its time has come.
    busy: a save is in flight. always: one is saved after every step, which every rank knows by itself.
    """

    notice: bool = False
    asked: bool = False
    due: bool = False
    busy: bool = False
    always: bool = False

    @property
    def save(self) -> bool:
        """A checkpoint is to be saved now, by all ranks."""
        return self.notice or ((self.asked or self.due or self.always) and not self.busy)

    def sent(self, agreed: Wants, *, first: bool) -> Wants:
        """What of it the others have to hear of: not what the save that is agreed on now fulfils; `due` from the first rank."""
        if agreed.save:
            return Wants(notice=self.notice)
        return Wants(self.notice, self.asked, self.due and first, self.busy)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an action went on one rank: `error` and its class's name, or None and None."""

    kind: str | None = None
    error: str | None = None
    value: Any = None


class Ranks(Protocol):
    """All ranks must call the same methods in the same order."""

    rank: int
    size: int

    def exchange(self, wants: Wants, units_done: float) -> Wants:
        """Once a step: what all ranks wanted at the last step (alone: at this one). Only rank 0's `due` counts.

        Raises ConfigError if the ranks have other `units_done`, RankLostError if one no longer answers.
        """

    def outcomes(self, mine: Outcome) -> list[Outcome]:
        """Of every rank, by rank. Raises RankLostError."""

    def differing(self, digests: Mapping[str, str]) -> set[str]:
        """The names whose digests are not the same on all ranks; the names must be. Raises RankLostError."""


class Alone:
    """One process."""

    rank = 0
    size = 1

    def exchange(self, wants: Wants, units_done: float) -> Wants:  # noqa: ARG002 - a rank among many compares it
        """At once."""
        return wants

    def outcomes(self, mine: Outcome) -> list[Outcome]:
        """Of this process."""
        return [mine]

    def differing(self, digests: Mapping[str, str]) -> set[str]:  # noqa: ARG002 - nobody else has any
        """None."""
        return set()


def join(world_size: int) -> Ranks:
    """Of this process. world_size: what `$WORLD_SIZE` says, 1 if it is not set.

    Raises ConfigError if there are more processes, and they cannot talk to each other yet.
    """
    if _torch.in_use():
        from nightspot.checkpoint.many import _group

        if (size := _group.world_size()) is not None:
            return _group.Group() if size > 1 else Alone()
    if world_size > 1:
        raise ConfigError(
            f"$WORLD_SIZE = {world_size}, and the ranks cannot talk yet: "
            "call torch.distributed.init_process_group() before restore()"
        )
    return Alone()


def together(ranks: Ranks, action: Callable[[], T]) -> T:
    """Every rank does it; where it fails on one, it fails on all: each raises its own error, else the first other's."""
    mine: Exception | None = None
    result: Any = None
    try:
        result = action()
    except Exception as error:
        mine = error
    everybody = ranks.outcomes(Outcome() if mine is None else _outcome(mine))
    if mine is not None:
        raise mine
    for rank, outcome in enumerate(everybody):
        if outcome.kind is not None:
            raise _error(outcome, rank)
    made: T = result
    return made


def first(ranks: Ranks, action: Callable[[], T]) -> T:
    """Rank 0 does it, all have the result (plain data) or the error."""
    value: T | None = None
    mine: Exception | None = None
    told = Outcome()
    if ranks.rank == 0:
        try:
            value = action()
            told = Outcome(value=value)
        except Exception as error:
            mine, told = error, _outcome(error)
    theirs = ranks.outcomes(told)[0]
    if mine is not None:
        raise mine
    if theirs.kind is not None:
        raise _error(theirs, 0)
    result: T = theirs.value
    return result


def same_folder(ranks: Ranks, folder: Path) -> None:
    """Raises ConfigError unless all ranks see the same folder: a checkpoint of half the ranks is none."""
    if ranks.size == 1:
        return
    name = first(ranks, lambda: _leave_nonce(folder))
    try:
        seen = [outcome.value for outcome in ranks.outcomes(Outcome(value=_sees(folder / name)))]
    finally:
        if ranks.rank == 0:
            (folder / name).unlink(missing_ok=True)
    if blind := [rank for rank, sees in enumerate(seen) if not sees]:
        raise ConfigError(
            f"{folder} is another folder on rank {', '.join(map(str, blind))} than on rank 0: "
            "all ranks must see one folder (a shared file system: EFS, FSx, NFS)"
        )


def same(ranks: Ranks, what: str, mine: object, remedy: str) -> None:
    """Raises ConfigError unless `mine`, which is named `what`, is equal on all ranks."""
    told = [outcome.value for outcome in ranks.outcomes(Outcome(value=mine))]
    for rank, theirs in enumerate(told):
        if theirs != told[0]:
            raise ConfigError(f"{what}: {told[0]} on rank 0, {theirs} on rank {rank}; {remedy}")


def shares(files: Iterable[File], size: int) -> list[list[File]]:
    """The files dealt out to `size` ranks, about the same number of bytes to each; the same on every rank."""
    dealt: list[list[File]] = [[] for _ in range(size)]
    loads_bytes = [0] * size
    for file in sorted(files, key=lambda file: (-file.size_bytes, file.name)):
        rank = loads_bytes.index(min(loads_bytes))
        dealt[rank].append(file)
        loads_bytes[rank] += file.size_bytes
    return dealt


def pack(wants: Wants) -> list[float]:
    """As numbers whose maximum over ranks is what any of them wants."""
    return [float(getattr(wants, field.name)) for field in fields(wants)]


def unpack(numbers: Iterable[float]) -> Wants:
    """What `pack` packed."""
    return Wants(*(number > 0 for number in numbers))


def _outcome(error: Exception) -> Outcome:
    return Outcome("OSError" if isinstance(error, OSError) else type(error).__name__, str(error) or repr(error))


def _error(outcome: Outcome, rank: int) -> Exception:
    """Of the same class where it is one of ours: what a caller does about it must be the same on all ranks."""
    text = f"rank {rank}: {outcome.error}"
    kind = getattr(errors, outcome.kind or "", None)
    if isinstance(kind, type) and issubclass(kind, CheckpointError):
        return kind(text)
    return OSError(text) if outcome.kind == "OSError" else CheckpointError(f"{text} ({outcome.kind})")


def _leave_nonce(folder: Path) -> str:
    name = f"{NONCE}{os.urandom(8).hex()}"
    (folder / name).touch(exist_ok=False)
    return name


def _sees(path: Path) -> bool:
    """A listing first: a network file system may remember for a while that a name is not there."""
    try:
        return path in path.parent.iterdir()
    except OSError:
        return False
