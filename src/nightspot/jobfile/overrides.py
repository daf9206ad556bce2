"""`--set key=value`: one key of the job file, for this command only."""

from __future__ import annotations

import copy
from typing import Any, Iterable, Mapping

from nightspot.errors import JobFileError
from nightspot.jobfile.tomltext import DEEPEST, checked, parse_value, short

FLAG = "--set"
EXAMPLE = "Write, for example, --set work.units=5."
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
        if not equals or not all(path) or len(path) > DEEPEST:
            raise JobFileError(FLAG, "the setting", short(override), "expected key=value", EXAMPLE)
        _put(changed, path, checked(parse_value(text.strip()), FLAG, path))
    return changed


def _put(document: dict[str, Any], path: list[str], value: Any) -> None:
    here: Any = document
    for depth in range(1, len(path)):
        here = _below(here, path[:depth])
    here[_key(here, path)] = value


def _below(here: Any, path: list[str]) -> Any:
    """The table or list that stands there; made where nothing does."""
    key = _key(here, path)
    below = here[key] if isinstance(here, list) else here.setdefault(key, {})
    if isinstance(below, str) and len(path) == 1 and key in SHORT_FORMS:
        below = here[key] = {SHORT_FORMS[key]: below}
    if not isinstance(below, (dict, list)):
        expected = "this is one value, with no keys below it"
        raise JobFileError(FLAG, ".".join(path), short(below), expected, f"Set it as a whole: {'.'.join(path)}=...")
    return below


def _key(here: Any, path: list[str]) -> Any:
    """The key itself in a table; in a list the place of what has that `id`, or that number, from 0."""
    if not isinstance(here, list):
        return path[-1]
    ids = [str(item["id"]) if isinstance(item, dict) and "id" in item else None for item in here]
    numbers = [str(index) for index in range(len(here))]
    for known in (ids, numbers):
        if path[-1] in known:
            return known.index(path[-1])
    remedy = f"There are: {', '.join([*numbers, *filter(None, ids)]) or 'none'}."
    raise JobFileError(FLAG, ".".join(path[:-1]), path[-1], "the list has nothing of that id or number", remedy)
