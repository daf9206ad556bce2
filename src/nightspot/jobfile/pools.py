"""`[[pools]]` as Pools: ids, bounds and a local Pool's own options."""

from __future__ import annotations

from itertools import chain, count
from pathlib import Path
from typing import Any, Optional, Sequence, Union

from nightspot.errors import JobFileError
from nightspot.jobfile.fields import slugged
from nightspot.jobfile.places import absolute
from nightspot.jobfile.pooltable import BoundsTable, CapacityTable, PoolTable
from nightspot.market.trace import parse_trace
from nightspot.model.capacity import Bounds, Market, Pool

LONGEST_TRACE_BYTES = 64 << 20
A_TRACE = "Name a recorded trace, or write capacity = { seed = 7 }."
LAUNCH_DELAY_S, NOTICE_S, GRACE_S = 0.0, 120.0, 20.0
# Bounds of another backend whose `lead` alone is given.
STOP_S, REFUSAL_S, SAVE_S = 120.0, 60.0, 60.0


def pools(tables: Sequence[PoolTable], time_scale: float, base: Path) -> tuple[Pool, ...]:
    """The Pools in file order, each with an id of its own."""
    ids = pool_ids(tables)
    return tuple([_pool(table, id_, time_scale, base) for table, id_ in zip(tables, ids, strict=True)])


def pool_ids(tables: Sequence[PoolTable]) -> list[str]:
    """Given ids stay; the others are made of place, instance type and market, and numbered where they would be the same."""
    taken = {table.id for table in tables if table.id is not None}
    ids = []
    for table in tables:
        id_ = table.id or _free(_derived(table), taken)
        taken.add(id_)
        ids.append(id_)
    return ids


def _derived(table: PoolTable) -> str:
    what = [slugged(word) for word in (table.place, table.machine) if slugged(word)]
    return "-".join([*(what or [table.backend]), table.market])


def _free(wish: str, taken: set[str]) -> str:
    wish = wish[-40:].strip("-")
    numbered = (f"{wish[:36]}-{number}" for number in count(2))
    return next(id_ for id_ in chain([wish], numbered) if id_ not in taken)


def _pool(table: PoolTable, id_: str, time_scale: float, base: Path) -> Pool:
    local = table.backend == "local"
    options = local_options(table, base) if local else dict(table.options)
    return Pool(
        id=id_,
        backend=table.backend,
        market=Market(table.market),
        price_usd_per_hour=float(table.price or 0.0),
        instance_type=table.instance_type,
        place=table.place,
        speed=float(table.speed),
        world_size=table.world_size,
        bounds=bounds_with(table.bounds, local_bounds(table, time_scale) if local else None),
        options=options,
    )


def local_bounds(table: PoolTable, time_scale: float) -> Bounds:
    """What a local Pool takes by itself: a minute to start at least, and a few real seconds however fast market time passes."""
    launch_delay_s = LAUNCH_DELAY_S if table.launch_delay is None else table.launch_delay
    grace_s = GRACE_S if table.grace is None else table.grace
    return Bounds(
        lead_s=launch_delay_s + max(60.0, 3.0 * time_scale),
        stop_s=max(30.0, 3.5 * time_scale, grace_s + 1.5 * time_scale),
        refusal_s=max(5.0, 0.5 * time_scale),
        save_s=max(10.0, 1.0 * time_scale),
    )


def bounds_with(given: Optional[BoundsTable], usual: Optional[Bounds]) -> Optional[Bounds]:
    """The given Bounds, completed by the usual ones of that kind of Pool; None where there are neither."""
    if given is None:
        return usual
    usual = usual or Bounds(given.lead, STOP_S, REFUSAL_S, SAVE_S)
    return Bounds(
        lead_s=given.lead,
        stop_s=usual.stop_s if given.stop is None else given.stop,
        refusal_s=usual.refusal_s if given.refusal is None else given.refusal,
        save_s=usual.save_s if given.save is None else given.save,
    )


def local_options(table: PoolTable, base: Path) -> dict[str, Any]:
    """`capacity` (see `market.capacity_trace`), `launch_delay_s`, `notice_s`, `grace_s`: always all four, all spans in market seconds."""
    return {
        "capacity": _capacity(table.capacity, base),
        "launch_delay_s": LAUNCH_DELAY_S if table.launch_delay is None else table.launch_delay,
        "notice_s": NOTICE_S if table.notice is None else table.notice,
        "grace_s": GRACE_S if table.grace is None else table.grace,
    }


def _capacity(setting: Union[str, CapacityTable, None], base: Path) -> Any:
    if not isinstance(setting, CapacityTable):
        return setting or "always"
    if setting.trace is not None:
        return {"trace": str(base / Path(setting.trace).expanduser()), "from": setting.from_ or 0.0}
    given = {
        "seed": setting.seed,
        "loss": setting.loss,
        "recovery": setting.recovery,
        "scale_s": setting.scale,
        "warm_up_s": setting.warm_up,
        "first": setting.first,
    }
    return {key: value for key, value in given.items() if value is not None}


def check_traces(tables: Sequence[PoolTable], base: Path, file: str) -> None:
    """JobFileError where a pool's trace cannot be read, or is none."""
    for index, table in enumerate(tables):
        if isinstance(table.capacity, CapacityTable) and table.capacity.trace is not None:
            field = f"pools[{index}].capacity.trace"
            text = _trace_text(Path(absolute(table.capacity.trace, base, file, field)), file, field)
            parse_trace(text, table.capacity.trace)


def _trace_text(path: Path, file: str, field: str) -> str:
    try:
        if path.exists() and not path.is_file():
            raise JobFileError(file, field, str(path), "this is not a file", A_TRACE)
        if path.stat().st_size > LONGEST_TRACE_BYTES:
            raise JobFileError(file, field, str(path), "this is larger than 64 MiB", A_TRACE)
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise JobFileError(file, field, str(path), "there is no such file", A_TRACE) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise JobFileError(file, field, str(path), f"it cannot be read ({reason})", A_TRACE) from None
