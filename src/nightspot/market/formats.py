"""Recorded capacity and prices, as others write them down.

    JSON  {"metadata": {"gap_seconds": 600}, "data": [0, 1, 1]}      ticks; counts of instances, with `need`
    CSV   timestamp,available                                         a line each time something was looked at or changed
    JSON  {"SpotPriceHistory": [...]}                                 as `aws ec2 describe-spot-price-history` returns it

A price history says what Spot cost, and only indirectly whether it was to be had: what is read from it is whether the price was below
`price_cap_usd_per_hour`, as somebody who bids no more would have seen it.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
from datetime import datetime, timezone
from typing import Any, Iterable, Mapping, Sequence

from nightspot.errors import JobFileError
from nightspot.market.prices import PriceHistory
from nightspot.market.trace import Trace, parse_trace

TIMES = ("timestamp", "time", "at", "utc", "date")
STATES = ("available", "availability", "capacity", "count", "instances", "up", "state")
TRUE, FALSE = frozenset({"true", "yes", "up"}), frozenset({"false", "no", "down"})
CSV_FORMAT = (
    "A CSV trace has a header with `timestamp` (ISO 8601, or seconds since 1970) and `available` (0, 1 or a count)."
)
PRICES_FORMAT = "Give the JSON that `aws ec2 describe-spot-price-history` prints, unchanged."
PRICES = "SpotPriceHistory"


def read_traces(
    text: str, name: str, *, need: int | None = None, price_cap_usd_per_hour: float | None = None
) -> Mapping[str, Trace]:
    """The Traces in that text, by label: the file's `name`, or "ZONE TYPE" for each Pool of a price history.

    JobFileError, naming the file and the field, where it is none of the formats, or a price history comes without a cap.
    """
    start = text.lstrip()[:1]
    if not start:
        raise JobFileError(name, "", "", "it is empty", CSV_FORMAT)
    if start not in ("{", "["):
        return {name: _csv_trace(text, name, need)}
    document = _json(text, name)
    if not (isinstance(document, dict) and PRICES in document):
        return {name: parse_trace(text, name, need=need)}
    if price_cap_usd_per_hour is None:
        remedy = "Say up to which price Spot counts as to be had: --price-cap USD."
        raise JobFileError(name, PRICES, "...", "prices do not say whether there was capacity", remedy)
    histories = _histories(document[PRICES], name)
    return {label: history.trace(price_cap_usd_per_hour) for label, history in histories.items()}


def read_prices(text: str, name: str) -> Mapping[str, PriceHistory]:
    """Prices over time by "ZONE TYPE", from AWS's own JSON. JobFileError where it is something else."""
    document = _json(text, name)
    if not (isinstance(document, dict) and PRICES in document):
        raise JobFileError(name, PRICES, None, "this is no price history", PRICES_FORMAT)
    return _histories(document[PRICES], name)


def _json(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise JobFileError(name, "", text.strip()[:40], f"this is not JSON ({error})", PRICES_FORMAT) from None


def _histories(entries: Any, name: str) -> Mapping[str, PriceHistory]:
    if not isinstance(entries, list) or not entries:
        raise JobFileError(name, PRICES, None, "expected at least one price", PRICES_FORMAT)
    found: dict[str, list[tuple[float, float]]] = {}
    for index, entry in enumerate(entries):
        label, utc, usd = _price(entry, f"{PRICES}[{index}]", name)
        found.setdefault(label, []).append((utc, usd))
    end_utc = max(utc for times in found.values() for utc, _ in times)
    return {label: PriceHistory.of(times, end_utc) for label, times in sorted(found.items())}


def _price(entry: Any, field: str, name: str) -> tuple[str, float, float]:
    if not isinstance(entry, dict):
        raise JobFileError(name, field, repr(entry)[:40], "expected an object", PRICES_FORMAT)
    for key in ("AvailabilityZone", "InstanceType", "SpotPrice", "Timestamp"):
        if not isinstance(entry.get(key), str):
            raise JobFileError(name, f"{field}.{key}", entry.get(key), "expected text", PRICES_FORMAT)
    usd = _number(entry["SpotPrice"])
    if usd is None or not 0 < usd < math.inf:
        raise JobFileError(name, f"{field}.SpotPrice", entry["SpotPrice"], "expected USD for an hour", PRICES_FORMAT)
    utc = _utc(entry["Timestamp"])
    if utc is None:
        raise JobFileError(name, f"{field}.Timestamp", entry["Timestamp"], "expected an ISO 8601 time", PRICES_FORMAT)
    return f"{entry['AvailabilityZone']} {entry['InstanceType']}", utc, usd


def _csv_trace(text: str, name: str, need: int | None) -> Trace:
    """The last line's state lasts as long as the step before it: nobody wrote down when the watching ended."""
    rows = list(csv.reader(io.StringIO(text)))
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    time_at, state_at = _columns(rows, name)
    changes = [_change(row, line, time_at, state_at, name, need) for line, row in enumerate(rows[1:], 2)]
    if len(changes) < 2:
        raise JobFileError(name, "", None, "expected at least two lines under the header", CSV_FORMAT)
    for line, ((before, _), (utc, _)) in enumerate(itertools.pairwise(changes), 3):
        if utc <= before:
            raise JobFileError(name, f"line {line}", rows[line - 1][time_at], "times must increase", CSV_FORMAT)
    end_utc = changes[-1][0] + (changes[-1][0] - changes[-2][0])
    return Trace.from_changes(changes, end_utc)


def _columns(rows: Sequence[Sequence[str]], name: str) -> tuple[int, int]:
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    found = [_first(header, wanted) for wanted in (TIMES, STATES)]
    for column, wanted in zip(found, ("timestamp", "available"), strict=True):
        if column is None:
            raise JobFileError(name, wanted, None, f"the header has {', '.join(header) or 'nothing'}", CSV_FORMAT)
    return int(found[0] or 0), int(found[1] or 0)


def _first(header: Sequence[str], wanted: Iterable[str]) -> int | None:
    return next((header.index(word) for word in wanted if word in header), None)


def _change(
    row: Sequence[str], line: int, time_at: int, state_at: int, name: str, need: int | None
) -> tuple[float, bool]:
    if len(row) <= max(time_at, state_at):
        raise JobFileError(
            name, f"line {line}", ",".join(row)[:40], "expected as many cells as in the header", CSV_FORMAT
        )
    utc, count = _utc(row[time_at]), _count(row[state_at])
    if utc is None:
        raise JobFileError(name, f"line {line}", row[time_at], "expected a time", CSV_FORMAT)
    if count is None or (need is None and count not in (0, 1)):
        remedy = f"{CSV_FORMAT} With counts, say how many are needed."
        raise JobFileError(name, f"line {line}", row[state_at], "expected 0 or 1", remedy)
    return utc, count >= (need or 1)


def _count(text: str) -> float | None:
    word = text.strip().lower()
    number = 1.0 if word in TRUE else 0.0 if word in FALSE else _number(word)
    return number if number is not None and 0 <= number < math.inf else None


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return None if math.isnan(number) else number


def _utc(text: str) -> float | None:
    """Seconds since 1970, from that number or an ISO 8601 time; one without a zone is UTC."""
    number = _number(text)
    if number is not None:
        return number if math.isfinite(number) else None
    try:
        at = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        return None
    return (at if at.tzinfo is not None else at.replace(tzinfo=timezone.utc)).timestamp()
