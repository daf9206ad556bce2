"""What a base consists of: stretches of live memory, in files, in units. Standard library only.

A unit is read in one go, and holds a range of rows of a table with all that belongs to these rows: what is touched before it is begun
does not count. Several small tables share one. The fewer and larger the units, the more rows count as touched; the more and smaller,
the more files there are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nightspot.checkpoint.pieces import FILE_BYTES, PIECE_ALIGNMENT_BYTES, aligned

LEAST_UNIT_BYTES, MOST_UNIT_BYTES = 48 << 20, FILE_BYTES
UNITS = 24  # so many of them, where that makes neither tiny nor huge ones
PATCH = "!patch/"  # no key of a state begins so: a state's name begins with a letter
ROWS, VALUES = f"{PATCH}rows/", f"{PATCH}values/"


@dataclass(frozen=True, slots=True)
class Column:
    """One tensor with a row for each row of a table: dense, row-major, in CPU memory at `address`."""

    key: str
    dtype: str
    shape: tuple[int, ...]
    address: int
    row_bytes: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows of a column: what a file holds from `offset_bytes` on."""

    column: Column
    first_row: int
    rows: int
    offset_bytes: int

    @property
    def address(self) -> int:
        """Where it lies in the memory of the trainer."""
        return self.column.address + self.first_row * self.column.row_bytes

    @property
    def size_bytes(self) -> int:
        """Of all its rows."""
        return self.rows * self.column.row_bytes


@dataclass(frozen=True, slots=True)
class BaseFile:
    """A file to be."""

    name: str
    stretches: tuple[Stretch, ...]

    @property
    def size_bytes(self) -> int:
        """Up to the end of its last stretch."""
        return self.stretches[-1].offset_bytes + self.stretches[-1].size_bytes


@dataclass(frozen=True, slots=True)
class Range:
    """Rows of a table, by the table's number."""

    table: int
    first_row: int
    rows: int


@dataclass(frozen=True, slots=True)
class Unit:
    """Files that are written in one go, and the rows of tables that they hold."""

    ranges: tuple[Range, ...]
    files: tuple[BaseFile, ...]


@dataclass(frozen=True, slots=True)
class BaseOrder:
    """What the writer is told. Paths are absolute. name, token, staging: as in `order.Order`, of the save that will be made of it.

    tables: for each table the keys of its columns.
    """

    name: str
    token: str
    staging: str
    units: tuple[Unit, ...]
    tables: tuple[tuple[str, ...], ...]

    def to_bytes(self) -> bytes:
        """As JSON."""
        units = [
            {"ranges": [asdict(one) for one in unit.ranges], "files": list(map(_told, unit.files))}
            for unit in self.units
        ]
        told = {"name": self.name, "token": self.token, "staging": self.staging, "units": units, "tables": self.tables}
        return json.dumps(told).encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> BaseOrder:
        """What `to_bytes` wrote."""
        told = json.loads(raw)
        units = tuple(
            Unit(tuple(Range(**one) for one in unit["ranges"]), _files(unit["files"])) for unit in told["units"]
        )
        return cls(told["name"], told["token"], told["staging"], units, tuple(map(tuple, told["tables"])))

    def entries(self) -> dict[str, Any]:
        """Key -> dtype, shape, pieces and where the patch is: what `index.json` says of the tables."""
        found: dict[str, Any] = {}
        for stretch, name in ((s, file.name) for unit in self.units for file in unit.files for s in file.stretches):
            column = stretch.column
            entry = found.setdefault(column.key, {"dtype": column.dtype, "shape": list(column.shape), "pieces": []})
            offsets, sizes = [0] * len(column.shape), list(column.shape)
            offsets[0], sizes[0] = stretch.first_row, stretch.rows
            entry["pieces"].append(
                {"file": name, "offset_bytes": stretch.offset_bytes, "offsets": offsets, "sizes": sizes}
            )
        for number, keys in enumerate(self.tables):
            for key in keys:
                found[key]["patches"] = [{"rows": f"{ROWS}{number}", "values": f"{VALUES}{key}"}]
        return found


def plan(tables: Sequence[Sequence[Column]], rank: int = 0) -> tuple[Unit, ...]:
    """Units that together hold every row of every column; all columns of a table have as many rows, one at least.

    The largest tables come first: of them, the smallest share of rows is touched while all others are read.
    """
    total_bytes = sum(_table_bytes(columns) for columns in tables)
    unit_bytes = min(MOST_UNIT_BYTES, max(LEAST_UNIT_BYTES, total_bytes // UNITS))
    order = sorted(range(len(tables)), key=lambda number: -_table_bytes(tables[number]))
    ranges = (one for number in order for one in _ranges(number, tables[number], unit_bytes))
    units, count = [], 0
    for group in _groups(ranges, tables, unit_bytes):
        files = tuple(
            _file_of(group, tables, state, f"base-{rank}-{count + n:03d}.bin") for n, state in _states(group, tables)
        )
        units.append(Unit(tuple(group), files))
        count += len(files)
    return tuple(units)


def _ranges(number: int, columns: Sequence[Column], unit_bytes: int) -> Iterator[Range]:
    rows = columns[0].shape[0]
    most = max(1, unit_bytes // sum(column.row_bytes for column in columns))
    for first in range(0, rows, most):
        yield Range(number, first, min(most, rows - first))


def _groups(ranges: Iterable[Range], tables: Sequence[Sequence[Column]], unit_bytes: int) -> Iterator[list[Range]]:
    group: list[Range] = []
    filled_bytes = 0
    for one in ranges:
        size_bytes = one.rows * sum(column.row_bytes for column in tables[one.table])
        if group and filled_bytes + size_bytes > unit_bytes:
            yield group
            group, filled_bytes = [], 0
        group.append(one)
        filled_bytes += size_bytes
    if group:
        yield group


def _states(group: Sequence[Range], tables: Sequence[Sequence[Column]]) -> Iterator[tuple[int, str]]:
    """A file holds tensors of one state, as all files do."""
    names = dict.fromkeys(_state(column) for one in group for column in tables[one.table])
    yield from enumerate(names)


def _file_of(group: Sequence[Range], tables: Sequence[Sequence[Column]], state: str, name: str) -> BaseFile:
    stretches: list[Stretch] = []
    end = 0
    for one in group:
        for column in tables[one.table]:
            if _state(column) == state:
                stretches.append(Stretch(column, one.first_row, one.rows, aligned(end, PIECE_ALIGNMENT_BYTES)))
                end = stretches[-1].offset_bytes + stretches[-1].size_bytes
    return BaseFile(name, tuple(stretches))


def _state(column: Column) -> str:
    return column.key.partition("/")[0]


def _table_bytes(columns: Sequence[Column]) -> int:
    return sum(column.shape[0] * column.row_bytes for column in columns)


def _told(file: BaseFile) -> dict[str, Any]:
    """By hand: `asdict` copies deeply, and training waits."""
    stretches = [
        {name: getattr(one, name) for name in ("first_row", "rows", "offset_bytes")}
        | {"column": {name: getattr(one.column, name) for name in Column.__slots__}}
        for one in file.stretches
    ]
    return {"name": file.name, "stretches": stretches}


def _files(told: Iterable[Any]) -> tuple[BaseFile, ...]:
    return tuple(BaseFile(file["name"], tuple(_stretch(one) for one in file["stretches"])) for file in told)


def _stretch(told: Any) -> Stretch:
    column = told["column"]
    return Stretch(
        Column(**column | {"shape": tuple(column["shape"])}), told["first_row"], told["rows"], told["offset_bytes"]
    )
