"""Facts as JSON: what `--json` prints. The keys are documented in docs/reference/cli.md; times are ISO 8601 in UTC."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any, Mapping

from nightspot.model.facts import RunFacts, iso

DIGITS = 6


def document(facts: RunFacts) -> dict[str, Any]:
    """One night as one JSON object."""
    plain: dict[str, Any] = jsonable(facts)
    return plain


def jsonable(value: Any, key: str = "") -> Any:
    """Dataclasses as objects, `..._utc` as times, infinite numbers as null, the rest rounded to a millionth."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: jsonable(getattr(value, f.name), f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): jsonable(item, str(name)) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    if isinstance(value, float):
        return _number(value, key)
    return value


def _number(value: float, key: str) -> Any:
    if not math.isfinite(value):
        return None
    return iso(value) if key.endswith("_utc") else round(value, DIGITS)


def as_json(value: Any) -> str:
    """One object, over several lines, keys in the order of the documentation."""
    return json.dumps(jsonable(value), indent=2, ensure_ascii=False, allow_nan=False)
