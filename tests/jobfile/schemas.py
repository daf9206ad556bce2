"""JSON Schema, as much of it as the job file's uses. A word it does not know is an error: it never accepts by ignorance."""

from __future__ import annotations

import re
from typing import Any, Callable, Iterator, Mapping

TYPES: Mapping[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
}
SAYS_NOTHING = {"$schema", "$defs", "title", "description", "default", "examples"}
LIMITS: Mapping[str, Callable[[Any, Any], bool]] = {
    "type": lambda value, wanted: TYPES[wanted](value),
    "const": lambda value, wanted: bool(value == wanted),
    "enum": lambda value, wanted: value in wanted,
    "pattern": lambda value, wanted: not isinstance(value, str) or re.search(wanted, value) is not None,
    "minLength": lambda value, wanted: not isinstance(value, str) or len(value) >= wanted,
    "minItems": lambda value, wanted: not isinstance(value, list) or len(value) >= wanted,
    "maxItems": lambda value, wanted: not isinstance(value, list) or len(value) <= wanted,
    "minimum": lambda value, wanted: not TYPES["number"](value) or value >= wanted,
    "maximum": lambda value, wanted: not TYPES["number"](value) or value <= wanted,
    "exclusiveMinimum": lambda value, wanted: not TYPES["number"](value) or value > wanted,
    "exclusiveMaximum": lambda value, wanted: not TYPES["number"](value) or value < wanted,
    "required": lambda value, wanted: not isinstance(value, dict) or set(wanted) <= set(value),
}


def faults(value: Any, schema: Any, root: Mapping[str, Any], where: str = "") -> Iterator[str]:
    """Each place where the value is not what the schema says, and the word that says so."""
    if isinstance(schema, bool):
        if not schema:
            yield f"{where}: not allowed"
        return
    for word, wanted in schema.items():
        if word in LIMITS:
            if not LIMITS[word](value, wanted):
                yield f"{where}: {word} {wanted}"
        elif word not in SAYS_NOTHING:
            yield from BRANCHES[word](value, wanted, root, where, schema)


def _reference(value: Any, name: str, root: Mapping[str, Any], where: str, _schema: Any) -> Iterator[str]:
    yield from faults(value, root["$defs"][name.removeprefix("#/$defs/")], root, where)


def _any_of(value: Any, choices: list[Any], root: Mapping[str, Any], where: str, _schema: Any) -> Iterator[str]:
    if not any(not list(faults(value, choice, root)) for choice in choices):
        yield f"{where}: none of the choices"


def _one_of(value: Any, choices: list[Any], root: Mapping[str, Any], where: str, _schema: Any) -> Iterator[str]:
    if sum([not list(faults(value, choice, root)) for choice in choices]) != 1:
        yield f"{where}: not one of the choices"


def _items(value: Any, each: Any, root: Mapping[str, Any], where: str, _schema: Any) -> Iterator[str]:
    for index, item in enumerate(value if isinstance(value, list) else ()):
        yield from faults(item, each, root, f"{where}[{index}]")


def _properties(value: Any, known: Any, root: Mapping[str, Any], where: str, _schema: Any) -> Iterator[str]:
    for key, item in value.items() if isinstance(value, dict) else ():
        if key in known:
            yield from faults(item, known[key], root, f"{where}.{key}")


def _additional(value: Any, each: Any, root: Mapping[str, Any], where: str, schema: Any) -> Iterator[str]:
    for key, item in value.items() if isinstance(value, dict) else ():
        if key not in schema.get("properties", ()):
            yield from faults(item, each, root, f"{where}.{key}")


BRANCHES: Mapping[str, Callable[..., Iterator[str]]] = {
    "$ref": _reference,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "items": _items,
    "properties": _properties,
    "additionalProperties": _additional,
}
