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
CHANNEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
LIKE_A_DURATION = 'Write it like "12min", "4h" or "1h30min".'
LIKE_A_MOMENT = 'Write "22:00", or 2026-11-25T08:00:00+01:00 for one night only.'
LIKE_A_COMMAND = 'Write "python train.py", or ["python", "train.py"].'
# Dates outside are typing errors, and the ends of the calendar have no local time everywhere.
YEARS = range(2000, 3000)
CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?", re.ASCII)


def wrong(expected: str, remedy: str, *below: Union[str, int]) -> PydanticCustomError:
    """A finding in our words. `below` leads from what is being checked to the key that is wrong."""
    context = {"expected": expected, "remedy": remedy, "below": below}
    return PydanticCustomError("nightspot", "{expected}", context)


def nearest(word: str, known: Iterable[str]) -> str:
    """A remedy that names what was probably meant, or all there is."""
    names = sorted(known)
    close = get_close_matches(word, names, n=1, cutoff=0.6)
    return f"Did you mean {close[0]!r}?" if close else f"Known here: {', '.join(names)}."


def _duration(value: Any) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        some = f"{value}" if 0 < value < 1e6 else "12"
        raise wrong("a bare number has no unit", f'Say which: "{some}min", "{some}s" or "{some}h".')
    if not isinstance(value, str):
        raise wrong("expected a duration in words", LIKE_A_DURATION)
    try:
        return parse_duration(value)
    except ValueError as error:
        raise wrong(f"expected a duration, but {error}", LIKE_A_DURATION) from None


def some_duration(value: Any) -> float:
    """Seconds, more than 0, of a duration in words; raises what `wrong` makes."""
    seconds = _duration(value)
    if seconds <= 0:
        raise wrong("must be longer than nothing", LIKE_A_DURATION)
    return seconds


def _moment(value: Any) -> Union[time, datetime]:
    moment = _moment_of_text(value.strip()) if isinstance(value, str) else value
    if isinstance(moment, datetime) and moment.year not in YEARS:
        raise wrong("this year is not meant", LIKE_A_MOMENT)
    if isinstance(moment, (datetime, time)):
        return moment
    what = "a date without a time of day" if isinstance(value, date) else "no time of day"
    raise wrong(f"this is {what}", LIKE_A_MOMENT)


def _moment_of_text(text: str) -> Union[time, datetime]:
    clock = CLOCK.fullmatch(text)
    try:
        if clock:
            return time(int(clock[1]), int(clock[2]), int(clock[3] or 0))
        if len(text) > len("2026-11-25"):
            return datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text))
    except ValueError:
        pass
    raise wrong("expected a time of day from 00:00 to 23:59, or a date with one", LIKE_A_MOMENT)


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError):
        raise wrong("there is no IANA time zone of that name", _nearest_zone(value)) from None
    return value


def _nearest_zone(value: str) -> str:
    """The zone that was probably meant: of that name in other letters, or whose city it is, or the most like it."""
    zones = sorted(available_timezones())
    wanted = value.strip().lower().replace(" ", "_")
    same = [zone for zone in zones if wanted in (zone.lower(), zone.lower().rpartition("/")[2])]
    close = sorted(same, key=len) or get_close_matches(value, zones, n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else 'Write one like "Europe/Berlin", or "UTC".'


def _name(value: str) -> str:
    if NAME.fullmatch(value) is None:
        slug = slugged(value) or "my-model"
        raise wrong("expected 1 to 40 of a-z, 0-9 and '-', beginning with no '-'", f"Call it {slug!r}.")
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
        raise wrong("expected a command", LIKE_A_COMMAND)
    if not value or not value[0]:
        raise wrong("there is nothing to run", LIKE_A_COMMAND)
    if any("\0" in word for word in value):
        raise wrong("a command cannot hold a NUL character", "Leave it out.")
    return value


def _text(value: str) -> str:
    if not value or "\0" in value:
        raise wrong("expected a text that is not empty", "Fill it in, or leave the key out.")
    return value


def _plain_table(value: dict[str, Any]) -> dict[str, Any]:
    """What JSON can hold: it goes into the Journal, and to the program."""
    for key, item in value.items():
        if not _plain(item):
            expected = "expected finite numbers, texts, true or false, or lists and tables of them"
            raise wrong(expected, "A date or a time stands in quotes.", key)
    return value


def _environment(value: dict[str, str]) -> dict[str, str]:
    for key, text in value.items():
        if not key or "=" in key or "\0" in key:
            raise wrong("a variable's name is not empty and holds no '='", "Rename it.", key)
        if "\0" in text:
            raise wrong("a variable cannot hold a NUL character", "Leave it out.", key)
    return value


def _channels(value: dict[str, str]) -> dict[str, str]:
    """Names that can be a folder's, and whose variables (`SM_CHANNEL_TRAIN`) differ."""
    variables: dict[str, str] = {}
    for key in value:
        if CHANNEL.fullmatch(key) is None:
            raise wrong("a channel's name is 1 to 64 letters, digits, '-' and '_'", "Rename it.", key)
        other = variables.setdefault(key.upper().replace("-", "_"), key)
        if other != key:
            raise wrong(f"the channel {other!r} would have the same variable", "Rename one of them.", key)
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
SomeDuration = Annotated[float, PlainValidator(some_duration), WithJsonSchema(_WORDS)]
Moment = Annotated[Union[time, datetime], PlainValidator(_moment), WithJsonSchema(_MOMENT)]
Zone = Annotated[str, AfterValidator(_zone)]
Name = Annotated[str, AfterValidator(_name), WithJsonSchema({"type": "string", "pattern": f"^{NAME.pattern}$"})]
Command = Annotated[list[str], PlainValidator(_command), WithJsonSchema(_ARGV)]
Text = Annotated[str, AfterValidator(_text), WithJsonSchema({"type": "string", "minLength": 1})]
PlainTable = Annotated[dict[str, Any], AfterValidator(_plain_table)]
Environment = Annotated[dict[str, str], AfterValidator(_environment)]
Channels = Annotated[dict[str, Text], AfterValidator(_channels)]
