"""Requests checked against botocore's own service model, so that what is wrong is said as AWS says it; answers made by it."""

from __future__ import annotations

import json
import math
import re
from datetime import datetime, timezone
from functools import cache
from typing import Any, Iterator, Mapping

from botocore.model import ServiceModel
from botocore.session import Session

from nightspot.emulator.errors import ApiError, invalid

# Java's classes of characters, as Python has them, inside a [class].
CLASSES = {r"\p{L}\p{Z}\p{N}": r"\w\s", r"\p{Alnum}": "a-zA-Z0-9"}
KINDS: Mapping[str, type | tuple[type, ...]] = {
    "structure": dict,
    "map": dict,
    "list": list,
    "string": str,
    "integer": int,
    "long": int,
    "double": (int, float),
    "float": (int, float),
    "boolean": bool,
    "timestamp": (int, float, str),
}
LONGEST_SHOWN = 200


@cache
def service_model(name: str) -> ServiceModel:
    """The model of a service, by its name in botocore."""
    session = Session()
    return session.get_service_model(name)


def checked(shape: Any, value: Any) -> Any:
    """The value without what the shape does not know. ApiError where it is not of that shape."""
    clean = _typed(shape, value)
    faults = list(_faults(shape, clean, ""))
    if faults:
        many = "validation error" if len(faults) == 1 else "validation errors"
        raise invalid(f"{len(faults)} {many} detected: " + "; ".join(faults))
    return clean


def _typed(shape: Any, value: Any) -> Any:
    """Types first: with a wrong one AWS does not even begin to look at constraints."""
    expected = KINDS.get(shape.type_name)
    wrong_bool = isinstance(value, bool) and shape.type_name != "boolean"
    if expected is not None and (not isinstance(value, expected) or wrong_bool):
        raise ApiError("SerializationException", f"{_json_kind(value)} cannot be converted to {shape.type_name}")
    if shape.type_name == "structure":
        return {
            name: _typed(shape.members[name], v) for name, v in value.items() if name in shape.members and v is not None
        }
    if shape.type_name == "map":
        return {name: _typed(shape.value, v) for name, v in value.items()}
    if shape.type_name == "list":
        return [_typed(shape.member, v) for v in value]
    return epoch(value) if shape.type_name == "timestamp" else value


def _json_kind(value: Any) -> str:
    names: dict[type, str] = {bool: "BOOLEAN_VALUE", str: "STRING_VALUE", dict: "START_OBJECT", list: "START_ARRAY"}
    return names.get(type(value), "NULL_VALUE" if value is None else "NUMBER_VALUE")


def epoch(value: float | str) -> float:
    """A timestamp of a request: seconds, or ISO 8601."""
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
            return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
        seconds = float(value)
    except (ValueError, OverflowError):
        seconds = math.nan
    if not math.isfinite(seconds):
        raise ApiError("SerializationException", f"{value!r} is no timestamp")
    return seconds


def _faults(shape: Any, value: Any, path: str) -> Iterator[str]:
    if shape.type_name == "structure":
        for name in shape.required_members:
            if name not in value:
                yield _fault(None, _join(path, _lower(name)), "Member must not be null")
        for name, member in value.items():
            yield from _faults(shape.members[name], member, _join(path, _lower(name)))
        return
    yield from (_fault(value, path, text) for text in _constraints(shape, value))
    if shape.type_name == "list":
        for number, member in enumerate(value, start=1):
            yield from _faults(shape.member, member, f"{path}.{number}.member")
    elif shape.type_name == "map":
        for key, member in value.items():
            yield from _faults(shape.key, key, f"{path}.key")
            yield from _faults(shape.value, member, f"{path}.{key}.member")


def _constraints(shape: Any, value: Any) -> Iterator[str]:
    meta = shape.metadata
    if shape.type_name in ("string", "list", "map"):
        size = len(value)
        if size < meta.get("min", 0):
            yield f"Member must have length greater than or equal to {meta['min']}"
        if size > meta.get("max", math.inf):
            yield f"Member must have length less than or equal to {meta['max']}"
        elif not _matches(meta.get("pattern"), value):
            yield f"Member must satisfy regular expression pattern: {meta['pattern']}"
        if meta.get("enum") and value not in meta["enum"]:
            yield f"Member must satisfy enum value set: [{', '.join(meta['enum'])}]"
    elif shape.type_name in ("integer", "long", "double", "float"):
        if value < meta.get("min", -math.inf):
            yield f"Member must have value greater than or equal to {meta['min']}"
        if value > meta.get("max", math.inf):
            yield f"Member must have value less than or equal to {meta['max']}"


def _matches(pattern: str | None, value: Any) -> bool:
    if pattern is None or not isinstance(value, str):
        return True
    compiled = _compiled(pattern)
    return compiled is None or compiled.fullmatch(value) is not None


@cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    """None for what only Java understands: then AWS would be stricter than we are."""
    for java, python in CLASSES.items():
        pattern = pattern.replace(java, python)
    try:
        return re.compile(pattern)
    except re.error:
        return None


def _fault(value: Any, path: str, constraint: str) -> str:
    shown = "null" if value is None else f"'{_shown(value)}'"
    return f"Value {shown} at '{path}' failed to satisfy constraint: {constraint}"


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "..."


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def fitting(shape: Any, value: Any) -> Any:
    """Of an answer, what the shape has a place for. Times are seconds since the epoch, as the JSON protocol has them."""
    if shape.type_name == "structure":
        return {n: fitting(shape.members[n], v) for n, v in value.items() if n in shape.members and v is not None}
    if shape.type_name == "list":
        return [fitting(shape.member, member) for member in value]
    if shape.type_name == "map":
        return {key: fitting(shape.value, member) for key, member in value.items()}
    return round(float(value), 3) if shape.type_name == "timestamp" else value
