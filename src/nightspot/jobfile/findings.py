"""What is wrong with a request: one field of it, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Union

Path = tuple[Union[int, str], ...]
Request = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wrong:
    """A field of the request, what stood there (None: nothing), what was expected, what to do."""

    path: Path
    value: Any
    expected: str
    remedy: str


def at(value: Any, *path: Union[int, str]) -> Any:
    """What stands there; None where nothing does."""
    for part in path:
        try:
            value = value[part]
        except (LookupError, TypeError):
            return None
    return value
