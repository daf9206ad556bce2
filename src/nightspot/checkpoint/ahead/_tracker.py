"""Notes which rows of tables the optimizers touch, and whether anything else writes to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from nightspot.checkpoint.ahead._tables import Table, why_all_rows
from nightspot.checkpoint.ahead.base import Range

SAMPLED_ROWS = 64  # of each column: what writes to all rows, and not through torch, is found by these


class Tracker:
    """From its making until `stop`. `broken`: why what it noted is not all that changed; None as long as it is.

    Rows are noted before a step changes them, so a step that raises midway is covered, too. Every change that torch makes in
    place raises a tensor's version: between two steps of optimizers it must stay. Changes around torch (through numpy, `.data`,
    another process) are looked for in a sample of rows.
    """

    def __init__(self, tables: Sequence[Table], sampled_rows: int = SAMPLED_ROWS) -> None:
        self.broken: str | None = None
        self._tables = tables
        self._by_weight = {id(table.weight): number for number, table in enumerate(tables)}
        self._touched = [torch.zeros(table.weight.shape[0], dtype=torch.bool) for table in tables]
        self._pointers = [_pointers(table) for table in tables]
        self._versions = [_versions(table) for table in tables]
        # By table: the gradient that a step began with, and its version. Held, so that no other can take its place in memory.
        self._noted: dict[int, tuple[torch.Tensor, int]] = {}
        self._samples = [_Sample(table, sampled_rows) for table in tables]
        self._hooks: list[Any] = [
            register_optimizer_step_pre_hook(self._before),
            register_optimizer_step_post_hook(self._after),
        ]

    def forget(self, ranges: Sequence[Range]) -> None:
        """What was touched in these rows does not count: nothing of them was read yet."""
        for one in ranges:
            touched, end = self._touched[one.table], one.first_row + one.rows
            self._samples[one.table].refresh(touched, one.first_row, end)
            touched[one.first_row : end] = False

    def rows(self) -> list[torch.Tensor]:
        """For each table int64 [n], ascending: the rows touched."""
        return [touched.nonzero().squeeze(1) for touched in self._touched]

    def check(self) -> str | None:
        """`broken`, after a last look at everything."""
        for number, table in enumerate(self._tables):
            if _pointers(table) != self._pointers[number]:
                self._break(table, "its memory is another one now")
            elif _versions(table) != self._versions[number]:
                self._break(table, "something else than an optimizer wrote to it")
            elif (key := self._samples[number].changed(self._touched[number])) is not None:
                self._break(table, f"rows of {key} have changed that no gradient names")
        return self.broken

    def stop(self) -> None:
        """No more hooks."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def _before(self, optimizer: torch.optim.Optimizer, _args: object, _kwargs: object) -> None:
        for number, table, group in self._held(optimizer):
            if (why := why_all_rows(optimizer, group)) is not None:
                self._break(table, why)
            if _versions(table) != self._versions[number]:
                self._break(table, "something else than an optimizer wrote to it")
            self._noted.pop(number, None)
            self._note(number, table)

    def _after(self, optimizer: torch.optim.Optimizer, _args: object, _kwargs: object) -> None:
        """Once more: a closure may have made other gradients."""
        for number, table, _ in self._held(optimizer):
            self._note(number, table)
            self._noted.pop(number, None)
            self._versions[number] = _versions(table)

    def _held(self, optimizer: torch.optim.Optimizer) -> Iterator[tuple[int, Table, dict[str, Any]]]:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if (number := self._by_weight.get(id(parameter))) is not None:
                    yield number, self._tables[number], group

    def _note(self, number: int, table: Table) -> None:
        gradient = table.weight.grad
        if gradient is None:
            return
        if not gradient.is_sparse:
            self._break(table, "it has a dense gradient")
            return
        noted, version = self._noted.get(number, (None, 0))
        if noted is not gradient or version != gradient._version:  # noqa: SLF001 - torch has no other name for it
            self._noted[number] = gradient, gradient._version  # noqa: SLF001
            self._touched[number].index_fill_(0, gradient._indices()[0], True)  # noqa: FBT003, SLF001

    def _break(self, table: Table, why: str) -> None:
        self.broken = self.broken or f"{table.key}: {why}"


class _Sample:
    """Rows of each column as they were; the same rows of every column, drawn without any global random state."""

    def __init__(self, table: Table, most: int) -> None:
        count = table.weight.shape[0]
        chosen = torch.randperm(count, generator=torch.Generator().manual_seed(count)) if count <= most else None
        if chosen is None:
            chosen = torch.randint(count, (most,), generator=torch.Generator().manual_seed(count))
        self._rows, self._columns = chosen, table.columns
        self._were = {key: _picked(column, chosen) for key, column in table.columns.items()}

    def refresh(self, touched: torch.Tensor, first: int, end: int) -> None:
        """Touched rows from `first` to before `end` are now as they shall be later."""
        inside = (self._rows >= first) & (self._rows < end) & _picked(touched, self._rows)
        chosen = inside.nonzero().squeeze(1)
        if len(chosen):
            for key, were in self._were.items():
                were.index_copy_(0, chosen, _picked(self._columns[key], _picked(self._rows, chosen)))

    def changed(self, touched: torch.Tensor) -> str | None:
        """The key of a column where an untouched row of the sample is not what it was, to the bit."""
        kept = (~_picked(touched, self._rows)).nonzero().squeeze(1)
        for key, were in self._were.items():
            now = _picked(self._columns[key], _picked(self._rows, kept))
            if not torch.equal(_bits(now), _bits(_picked(were, kept))):
                return key
        return None


class Rows:
    """Rows of a column that are still to be gathered: stands for a tensor of [n, ...] in a Piece."""

    is_cuda = False

    def __init__(self, column: torch.Tensor, rows: torch.Tensor) -> None:
        self._column, self._rows = column, rows
        self.dtype, self.device = column.dtype, column.device
        self.shape = (len(rows), *column.shape[1:])

    def detach(self) -> Rows:
        """Itself: it has no gradient."""
        return self

    def narrow(self, dim: int, start: int, length: int) -> Rows:
        """Some of these rows. dim: 0, always."""
        return Rows(self._column, self._rows.narrow(dim, start, length))

    def fill(self, into: torch.Tensor) -> None:
        """Copy the rows to where they shall be."""
        torch.index_select(self._column.detach(), 0, self._rows, out=into)


def _picked(tensor: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Unlike tensor[rows], it wakes no other thread for so few, which on a busy machine takes milliseconds."""
    return tensor.detach().index_select(0, rows)


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().view(-1).view(torch.uint8)


def _pointers(table: Table) -> list[int]:
    return [column.data_ptr() for column in table.columns.values()]


def _versions(table: Table) -> list[int]:
    return [column._version for column in table.columns.values()]  # noqa: SLF001
