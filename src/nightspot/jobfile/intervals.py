"""`[checkpoint] interval`: a time, steps, units of work or "auto", and the time that plans reckon with."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from nightspot.checkpoint.durations import SPELLINGS
from nightspot.checkpoint.errors import ConfigError
from nightspot.checkpoint.interval import COUNTED, LONGEST_S, STEP_WORDS, UNIT_WORDS, Kind, Rule, parse
from nightspot.jobfile.fields import some_duration, wrong
from nightspot.model.job import Work

LIKE_AN_INTERVAL = 'Write "auto", or it like "15min", "500 steps" or "1 epoch".'
PATTERN = r"^\s*(auto|([0-9]+(\.[0-9]+)?\s*[A-Za-z]+\s*)+)\s*$"
TIME_WORDS = frozenset(spelling for names in SPELLINGS.values() for spelling in names)


def _interval(value: Any) -> str:
    """As it was written. Whether a word is the job's unit is checked where the unit is known."""
    text = value.strip() if isinstance(value, str) else ""
    counted = COUNTED.fullmatch(text)
    word = counted[2].lower() if counted else ""
    if word in (*STEP_WORDS, *UNIT_WORDS):
        _check(text)
    elif text[:1].isalpha() and text.lower() != "auto":
        raise wrong("expected how often to save", LIKE_AN_INTERVAL)
    elif text.lower() != "auto" and (not word or word in TIME_WORDS):
        some_duration(value)
    return text


def _check(text: str) -> None:
    try:
        parse(text)
    except ConfigError as error:
        reason = str(error).partition(": ")[2].rpartition("; ")[0]
        raise wrong(reason, LIKE_AN_INTERVAL) from None


def rule_of(interval: str, unit: str) -> Rule:
    """What an interval means for work counted in `unit`. Raises what `wrong` makes for a word that is neither a time nor the unit."""
    counted = COUNTED.fullmatch(interval)
    word = counted[2].lower() if counted else ""
    if not counted or word in TIME_WORDS or word in STEP_WORDS:
        return parse(interval)
    if float(counted[1]) <= 0:
        raise wrong("must be more than nothing", LIKE_AN_INTERVAL, "checkpoint", "interval")
    if word not in {"unit", "units", unit.lower(), f"{unit.lower()}s"}:
        expected = f"{counted[2]!r} is neither a unit of time nor what [work] counts, which is {unit!r}"
        raise wrong(expected, f'Write it like "15min", "500 steps" or "{counted[1]} {unit}".', "checkpoint", "interval")
    return Rule(Kind.UNITS, float(counted[1]))


def planned_s(rule: Rule, work: Work) -> float:
    """Market seconds between two checkpoints, to plan with: what "auto" never exceeds, and where nothing better is known the same."""
    if rule.kind is Kind.TIME:
        return rule.amount
    if rule.kind is Kind.UNITS or (rule.kind is Kind.STEPS and work.unit.lower() in STEP_WORDS):
        return rule.amount * work.unit_s
    return LONGEST_S


Interval = Annotated[str, PlainValidator(_interval), WithJsonSchema({"type": "string", "pattern": PATTERN})]
