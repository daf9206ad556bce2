"""Events to JSON and back. A kind this version does not know, or a body it cannot read, is a clear error, never a guess."""

from __future__ import annotations

import dataclasses
import json
from enum import Enum
from typing import Any, Mapping, get_args

from pydantic import TypeAdapter, ValidationError

from nightspot.errors import JournalError
from nightspot.model.events import Event

KINDS: Mapping[str, type] = {kind.__name__: kind for kind in get_args(Event)}
_ADAPTERS: dict[str, TypeAdapter[Any]] = {}


def kind_of(event: Event) -> str:
    """The name under which the Journal keeps it."""
    return type(event).__name__


def encode(event: Event) -> str:
    """One line of JSON. Infinite times become the strings that `float` reads."""
    return json.dumps(_plain(event), separators=(",", ":"), allow_nan=False)


def decode(kind: str, body: str) -> Event:
    """The Event of that JSON. Raises JournalError where kind or body are not known here."""
    if kind not in KINDS:
        raise JournalError(f"the journal holds an event of kind {kind!r}, which this version does not know: upgrade")
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(KINDS[kind])
    try:
        event: Event = _ADAPTERS[kind].validate_json(body)
    except ValidationError as error:
        raise JournalError(f"the journal holds an unreadable {kind}: {error.errors()[0]['msg']}") from error
    return event


def _plain(value: Any) -> Any:
    """Dataclasses as objects, enums as their values; dataclasses.asdict would copy deeply and keep enums."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return str(value)
    return value
