"""Lists in pages. A token says after which key to go on, so that what comes and goes meanwhile neither repeats nor hides others."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any, Callable, Generic, Sequence, TypeVar

from nightspot.emulator.errors import invalid

Item = TypeVar("Item")
Key = tuple[Any, str]


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """`next_token`: None on the last one."""

    items: list[Item]
    next_token: str | None


def page(
    items: Sequence[Item], key: Callable[[Item], Key], most: int, token: str | None, *, descending: bool = False
) -> Page[Item]:
    """The items in the order of their keys, `most` of them at most, after the one that the token names. ApiError for a bad token."""
    ordered = sorted(items, key=key, reverse=descending)
    if token is not None:
        after = _read(token)
        try:
            ordered = [item for item in ordered if (key(item) < after if descending else key(item) > after)]
        except TypeError:
            raise invalid("Invalid NextToken") from None
    shown = ordered[:most]
    return Page(shown, _token(key(shown[-1])) if len(ordered) > most else None)


def _token(key: Key) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode()


def _read(token: str) -> Key:
    try:
        first, second = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (ValueError, TypeError):
        raise invalid("Invalid NextToken") from None
    return first, str(second)
