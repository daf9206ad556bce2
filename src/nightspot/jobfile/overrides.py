"""`--set key=value`: one key of the job file, for this command only."""

from __future__ import annotations

import copy
from typing import Any, Iterable, Mapping

from nightspot.errors import JobFileError
from nightspot.jobfile.tomltext import parse_value

FLAG = "--set"
# Keys that may be written short, and the key of the table that the short form stands for.
SHORT_FORMS = {"policy": "name", "artifact": "path"}


def apply_overrides(document: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """A copy with each `work.units=5`, `pools.0.price=3` or `pools.spot-a.price=3` in its place. JobFileError where there is none.

    The value is read as TOML; what is no TOML is a text: `deadline.at=08:00`.
    """
    changed = copy.deepcopy(dict(document))
    for override in overrides:
        key, equals, text = override.partition("=")
        path = [part.strip() for part in key.split(".")]
        if not equals or not all(path):
            raise JobFileError(FLAG, "", override, "expected key=value", "Write, for example, --set work.units=5.")
        _put(changed, path, parse_value(text.strip()), override)
    return changed


def _put(document: dict[str, Any], path: list[str], value: Any, override: str) -> None:
    here: Any = document
    for depth, part in enumerate(path[:-1]):
        listed = isinstance(here, list)
        here = here[_index(here, part, override)] if listed else _table(here, part, path[: depth + 1], override)
    if isinstance(here, list):
        here[_index(here, path[-1], override)] = value
    else:
        here[path[-1]] = value


def _table(here: dict[str, Any], part: str, path: list[str], override: str) -> Any:
    below = here.setdefault(part, {})
    if isinstance(below, str) and len(path) == 1 and part in SHORT_FORMS:
        below = here[part] = {SHORT_FORMS[part]: below}
    if not isinstance(below, (dict, list)):
        raise JobFileError(
            FLAG, ".".join(path), below, "this is one value, with nothing below it", f"Correct {override!r}."
        )
    return below


def _index(items: list[Any], part: str, override: str) -> int:
    """A place in a list, by the `id` of what stands there, or by its number from 0."""
    for index, item in enumerate(items):
        if isinstance(item, dict) and item.get("id") == part:
            return index
    if part.isascii() and part.isdigit() and int(part) < len(items):
        return int(part)
    ids = [str(item["id"]) for item in items if isinstance(item, dict) and "id" in item]
    known = ", ".join([f"0 to {len(items) - 1}" if len(items) > 1 else "0", *ids])
    raise JobFileError(FLAG, part, override, "the list has nothing of that id or number", f"There are: {known}.")
