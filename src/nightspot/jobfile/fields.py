"""The kinds of value a job file has, each with its check, its JSON Schema and what to do if it is wrong."""

from __future__ import annotations

import math
import re
import shlex
from datetime import date, datetime, time
from difflib import get_close_matches
from typing import Annotated, Any, Iterable, Union
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from nightspot.jobfile.durations import PATTERN, parse_duration

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?", re.ASCII)


def wrong(expected: str, remedy: str, field: str = "") -> PydanticCustomError:
    """A finding in our words. `field` is a key below the one that is being checked."""
    context = {"expected": expected, "remedy": remedy, "field": field}
    return PydanticCustomError("nightspot", "{expected}", context)


def nearest(word: str, known: Iterable[str]) -> str:
    """A remedy that names what was probably meant, or all there is."""
    names = sorted(known)
    close = get_close_matches(word, names, n=1, cutoff=0.6)
    return f"Did you mean {close[0]!r}?" if close else f"Known here: {', '.join(names)}."


def _duration(value: Any) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise wrong("a bare number has no unit", f'Say which: "{value}min", "{value}s" or "{value}h".')
    if not isinstance(value, str):
        raise wrong("expected a duration in words", 'Write it like "12min", "4h" or "1h30min".')
    try:
        return parse_duration(value)
    except ValueError as error:
        raise wrong(f"expected a duration, but {error}", 'Write it like "12min", "4h" or "1h30min".') from None


def _some_duration(value: Any) -> float:
    seconds = _duration(value)
    if seconds <= 0:
        raise wrong("must be longer than nothing", 'Write it like "12min", "4h" or "1h30min".')
    return seconds


def _moment(value: Any) -> Union[time, datetime]:
    if isinstance(value, datetime) or (isinstance(value, time) and value.tzinfo is None):
        return value
    if isinstance(value, str):
        return _moment_of_text(value.strip())
    what = "a date without a time of day" if isinstance(value, date) else "no time of day"
    raise wrong(f"this is {what}", 'Write "22:00", or 2026-11-25T08:00:00+01:00 for one night only.')


def _moment_of_text(text: str) -> Union[time, datetime]:
    clock = CLOCK.fullmatch(text)
    try:
        if clock:
            return time(int(clock[1]), int(clock[2]), int(clock[3] or 0))
        if len(text) > len("2026-11-25"):
            return datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text))
    except ValueError:
        pass
    raise wrong("expected a time of day, or a date with one", 'Write "22:00", or "2026-11-25T08:00:00+01:00".')


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError):
        close = get_close_matches(value, sorted(available_timezones()), n=1, cutoff=0.5)
        hint = f"Did you mean {close[0]!r}?" if close else 'Write one like "Europe/Berlin", or "UTC".'
        raise wrong("there is no IANA time zone of that name", hint) from None
    return value


def _name(value: str) -> str:
    if NAME.fullmatch(value) is None:
        slug = slugged(value)
        raise wrong("expected 1 to 40 of a-z, 0-9 and '-', beginning with no '-'", f"Call it {slug!r}." if slug else "")
    return value


def slugged(text: str) -> str:
    """The nearest name to a text; empty where nothing of it can stay."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:40].strip("-")


def _command(value: Any) -> list[str]:
    if isinstance(value, str):
        try:
            value = shlex.split(value)
        except ValueError as error:
            raise wrong(
                f"it cannot be split into words ({error})", 'Close the quotation, or write ["a", "list"].'
            ) from None
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise wrong("expected a command", 'Write "python train.py", or ["python", "train.py"].')
    if not value or not value[0]:
        raise wrong("there is nothing to run", 'Write "python train.py", or ["python", "train.py"].')
    if any("\0" in word for word in value):
        raise wrong("a command cannot hold a NUL character", "Leave it out.")
    return value


def _text(value: str) -> str:
    if not value or "\0" in value:
        raise wrong("expected a text that is not empty", "Fill it in, or leave the key out.")
    return value


def _hyperparameters(value: dict[str, Any]) -> dict[str, Any]:
    for key, item in value.items():
        if not _plain(item):
            raise wrong("expected numbers, texts, truth values, lists or tables of them", "Quote it.", key)
    return value


def _plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_plain(item) for item in value.values())
    if isinstance(value, list):
        return all(_plain(item) for item in value)
    return isinstance(value, (str, bool, int)) or (isinstance(value, float) and math.isfinite(value))


_WORDS: dict[str, Any] = {"type": "string", "pattern": PATTERN}
_MOMENT: dict[str, Any] = {"type": "string", "description": 'A time of day ("22:00"), or a date with one.'}
_ARGV: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}

Duration = Annotated[float, PlainValidator(_duration), WithJsonSchema(_WORDS)]
SomeDuration = Annotated[float, PlainValidator(_some_duration), WithJsonSchema(_WORDS)]
Moment = Annotated[Union[time, datetime], PlainValidator(_moment), WithJsonSchema(_MOMENT)]
Zone = Annotated[str, AfterValidator(_zone)]
Name = Annotated[str, AfterValidator(_name), WithJsonSchema({"type": "string", "pattern": f"^{NAME.pattern}$"})]
Command = Annotated[list[str], PlainValidator(_command), WithJsonSchema(_ARGV)]
Text = Annotated[str, AfterValidator(_text), WithJsonSchema({"type": "string", "minLength": 1})]
Hyperparameters = Annotated[dict[str, Any], AfterValidator(_hyperparameters)]
