"""The writer's part of copy-ahead: bases are made, kept for the save they belong to, or dropped. Standard library only."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nightspot.checkpoint import _hashing, disk
from nightspot.checkpoint.ahead.base import BaseOrder
from nightspot.checkpoint.ahead.memory import Memory
from nightspot.checkpoint.manifest import File
from nightspot.checkpoint.order import Order

MOST_TOLD = 2000  # characters of an error
Tell = Callable[..., None]  # a message to the trainer
Disturbed = Callable[[], bool]  # the trainer has said something, or is gone


@dataclass(frozen=True, slots=True)
class Base:
    """A base that is on disk, complete: its folder, its files and its entries of `index.json`."""

    folder: Path
    files: tuple[File, ...]
    entries: Mapping[str, Any]


class Bases:
    """What a writer does of it: hears of a trainer's memory, writes bases from it, one at a time.

    | to the writer | answer |
    |---|---|
    | `memory`: pid, with a descriptor of its /proc/self/mem | |
    | `base`, with a descriptor of a file that holds the order | `unit`: number, before each; then `base`: since when, or `unbased`: why |
    | `drop` | the base is gone |

    A base is given up for any other message: the trainer wants something else.
    """

    def __init__(self, tell: Tell, disturbed: Disturbed) -> None:
        self._tell, self._disturbed = tell, disturbed
        self._memory: Memory | None = None
        self._base: Base | None = None

    def hear(self, message: Mapping[str, Any], descriptor: int | None) -> bool:
        """Do what the message says; False: it says nothing to us."""
        if message["do"] == "memory" and descriptor is not None:
            if self._memory is not None:
                self._memory.close()
            self._memory = Memory(message["pid"], descriptor)
        elif message["do"] == "base" and descriptor is not None:
            self._make(_read_order(descriptor))
        elif message["do"] == "drop":
            self.drop()
        else:
            return False
        return True

    def take(self, order: Order) -> Base | None:
        """The base made for this save, once; one that was made for no save is dropped. Raises OSError if it is not there."""
        if not order.base:
            self.drop()
            return None
        if self._base is None or self._base.folder != order.unfinished:
            raise OSError("the tables that were copied ahead for this save are gone")
        base, self._base = self._base, None
        return base

    def drop(self) -> None:
        """Remove it: no save will be made of it."""
        base, self._base = self._base, None
        if base is not None:
            shutil.rmtree(base.folder, ignore_errors=True)

    def _make(self, order: BaseOrder) -> None:
        self.drop()
        folder = Path(order.staging) / f"{order.name}.tmp-{order.token}"
        try:
            files = self._write(order, folder)
        except Exception as error:
            shutil.rmtree(folder, ignore_errors=True)
            self._tell(unbased=f"{error}"[:MOST_TOLD])
            return
        if files is None:
            shutil.rmtree(folder, ignore_errors=True)
            return
        self._base = Base(folder, files, order.entries())
        self._tell(base=time.monotonic())

    def _write(self, order: BaseOrder, folder: Path) -> tuple[File, ...] | None:
        if self._memory is None:
            raise OSError("nothing is known of the trainer's memory")
        folder.mkdir()
        files, algorithm = [], _hashing.preferred()
        for number, unit in enumerate(order.units):
            self._tell(unit=number)  # before its first byte is read: see there how much hangs on it
            for file in unit.files:
                try:
                    blocks = self._memory.blocks(file)
                    files.append(disk.write_blocks(folder / file.name, file.size_bytes, blocks, algorithm, self._go_on))
                except _DisturbedError:
                    return None
        return tuple(files)

    def _go_on(self) -> None:
        if self._disturbed():
            raise _DisturbedError


class _DisturbedError(Exception):
    """The trainer wants something else."""


def _read_order(descriptor: int) -> BaseOrder:
    with os.fdopen(descriptor, "rb") as file:
        file.seek(0)
        return BaseOrder.from_bytes(file.read())
