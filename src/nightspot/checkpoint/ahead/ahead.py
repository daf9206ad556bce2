"""When tables are copied ahead, and what a save then still has to copy: the trainer's part."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from nightspot.checkpoint.ahead.base import ROWS, VALUES, BaseOrder, Column, plan
from nightspot.checkpoint.capture import capture
from nightspot.checkpoint.errors import ConfigError
from nightspot.checkpoint.order import Order
from nightspot.checkpoint.pieces import Piece
from nightspot.checkpoint.voice import Voice

if TYPE_CHECKING:
    from nightspot.checkpoint.ahead._tables import Table
    from nightspot.checkpoint.ahead._tracker import Tracker

MOST_TOUCHED = 0.5  # of the bytes of all tables; from there on copying all of it in order is no slower
ROOM = 8  # memory for an eighth of the tables is made ready for patches


class BaseHand(Protocol):
    """Who makes bases: the writer process."""

    bases: list[Mapping[str, Any]]  # what was heard of the base: `unit`, `base`, `unbased`

    def base(self, order: BaseOrder) -> None:
        """Start one. Raises OSError."""


@dataclass(slots=True)
class _Making:
    """A base in the making, or complete."""

    order: Order
    base: BaseOrder
    tables: Sequence[Table]
    columns: Sequence[Sequence[Column]]
    tracker: Tracker
    began_s: float
    begun: int = 0  # units of which some may have been read
    complete: bool = False
    took_s: float = 0.0  # once it is complete


@dataclass(frozen=True, slots=True)
class Patched:
    """A save over a base: what `start` was told of it, what it still has to copy, and how long the base took."""

    order: Order
    rest: Mapping[str, Any]  # tensors by key
    patches: Sequence[Piece]
    ahead_s: float


class Ahead:
    """Of one session. wanted: keys of tables; None: every sparse embedding. sampled_rows: see Tracker; None: as it is there.

    Off for good, with a warning, once something changes tables in a way that is not noted, or in more than half of their rows.
    """

    def __init__(
        self, states: Mapping[str, object], wanted: Sequence[str] | None, voice: Voice, sampled_rows: int | None = None
    ) -> None:
        self._states, self._wanted, self._voice, self._sampled_rows = states, wanted, voice, sampled_rows
        self._making: _Making | None = None
        self._off = False

    def check(self, tensors: Mapping[str, Any]) -> None:
        """Raises ConfigError for a table that cannot be copied ahead. tensors: captured, by key."""
        from nightspot.checkpoint.ahead._tables import find

        find(self._states, tensors, self._wanted)

    @property
    def idle(self) -> bool:
        """No base is being made, and one may be."""
        return self._making is None and not self._off

    def start(self, hand: BaseHand, tensors: Mapping[str, Any], order: Order) -> None:
        """Begin a base of all tables for a save to come. tensors: captured now, at a step's end.

        Where it cannot be: off, with a warning.
        """
        from nightspot.checkpoint.ahead._tables import find
        from nightspot.checkpoint.ahead._tracker import SAMPLED_ROWS, Tracker

        began_s = time.monotonic()
        try:
            tables = find(self._states, tensors, self._wanted)
        except ConfigError as error:
            self._give_up(str(error))
            return
        if not tables:
            self._give_up("there is no table to copy ahead")
            return
        columns = [table.described() for table in tables]
        keys = tuple(tuple(table.columns) for table in tables)
        base = BaseOrder(order.name, order.token, order.staging, plan(columns), keys)
        hand.bases.clear()
        tracker = Tracker(tables, SAMPLED_ROWS if self._sampled_rows is None else self._sampled_rows)
        self._making = _Making(order, base, tables, columns, tracker, began_s)
        try:
            hand.base(base)
        except OSError as error:
            self._give_up(f"the writer process cannot read the tables: {error}")

    def ready(self, hand: BaseHand) -> bool:
        """At a step's end, after all that the hand said was heard: a save need not, or need no longer, wait for a base."""
        making = self._making
        if making is None:
            return True
        while hand.bases:
            self._understand(making, hand.bases.pop(0))
        if self._making is None or making.complete or making.tracker.broken is not None:
            return True
        # Nothing was read yet of units that are not begun: the base will have what was done until now.
        making.tracker.forget([one for unit in making.base.units[making.begun :] for one in unit.ranges])
        return False

    def take(self, tensors: Mapping[str, Any]) -> Patched | None:
        """The save to be made of the base, once; None: of all that is there. tensors: captured now, at a step's end."""
        making, self._making = self._making, None
        if making is None:
            return None
        making.tracker.stop()
        why = _moved(making, tensors) or making.tracker.check()
        if why is not None:
            self._give_up(why)
        if why is not None or not making.complete:
            return None
        rows = making.tracker.rows()
        touched = _touched(making, [len(one) for one in rows])
        if touched > MOST_TOUCHED:
            self._give_up(f"{touched:.0%} of the tables changed while they were copied")
            return None
        columns = {column.key for table in making.columns for column in table}
        rest = {key: tensor for key, tensor in tensors.items() if key not in columns}
        return Patched(making.order, rest, _patches(making, rows), making.took_s)

    def expected(self, tensors: Mapping[str, Any]) -> tuple[Mapping[str, Any], Sequence[Piece]]:
        """What a save over a base will have to copy, about: tensors, and patches without any. To make memory ready."""
        from nightspot.checkpoint.ahead._tables import find

        try:
            tables = [] if self._off else find(self._states, tensors, self._wanted)
        except ConfigError:
            tables = []
        columns = [column for table in tables for column in table.described()]
        keys = {column.key for column in columns}
        patches = [
            _piece(f"{VALUES}{one.key}", one.dtype, (one.shape[0] // ROOM + 1, *one.shape[1:])) for one in columns
        ]
        return {key: tensor for key, tensor in tensors.items() if key not in keys}, patches

    def close(self) -> None:
        """No more hooks."""
        if self._making is not None:
            self._making.tracker.stop()
        self._making = None

    def _understand(self, making: _Making, message: Mapping[str, Any]) -> None:
        if "unit" in message:
            making.begun = message["unit"] + 1
        elif "base" in message:
            # And not when a long step let us hear of it: a notice reckons with how long saves take.
            making.complete, making.took_s = True, message["base"] - making.began_s
        else:
            self._voice.warn(f"tables could not be copied ahead: {message['unbased']}")
            self.close()

    def _give_up(self, why: str) -> None:
        self.close()
        self._off = True
        self._voice.warn(f"tables are no longer copied ahead: {why}; from here on all of them are copied at once")


def ahead_of(
    states: Mapping[str, object],
    wanted: Sequence[str] | bool,  # noqa: FBT001 - as Session takes it
    voice: Voice,
    ranks: int,
) -> Ahead | None:
    """What Session's copy_ahead asks for; None: nothing.

    Raises ConfigError where several processes train, and for a table that cannot be copied ahead.
    """
    names = (wanted,) if isinstance(wanted, str) else wanted
    if not names:
        return None
    if ranks > 1:
        raise ConfigError(f"copy_ahead works where one process trains; here are {ranks}")
    ahead = Ahead(states, None if isinstance(names, bool) else tuple(names), voice)
    ahead.check(capture(states, None).tensors)
    return ahead


def _moved(making: _Making, tensors: Mapping[str, Any]) -> str | None:
    for column in (column for table in making.columns for column in table):
        tensor = tensors.get(column.key)
        if tensor is None or (tensor.data_ptr(), tuple(tensor.shape)) != (column.address, column.shape):
            return f"{column.key} is another tensor now"
    return None


def _touched(making: _Making, counts: Sequence[int]) -> float:
    """Share of bytes."""
    row_bytes = [sum(column.row_bytes for column in table) for table in making.columns]
    rows = [table[0].shape[0] for table in making.columns]
    total = sum(a * b for a, b in zip(rows, row_bytes, strict=True))
    return sum(a * b for a, b in zip(counts, row_bytes, strict=True)) / total


def _patches(making: _Making, rows: Sequence[Any]) -> list[Piece]:
    from nightspot.checkpoint.ahead._tracker import Rows

    pieces = []
    for number, (table, touched) in enumerate(zip(making.tables, rows, strict=True)):
        pieces.append(_piece(f"{ROWS}{number}", "int64", tuple(touched.shape), touched))
        for column, tensor in zip(making.columns[number], table.columns.values(), strict=True):
            gathered = Rows(tensor, touched)
            pieces.append(_piece(f"{VALUES}{column.key}", column.dtype, gathered.shape, gathered))
    return pieces


def _piece(key: str, dtype: str, shape: tuple[int, ...], tensor: Any = None) -> Piece:
    return Piece(key, dtype, shape, (0,) * len(shape), shape, tensor)
