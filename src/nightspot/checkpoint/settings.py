"""What a session is told from outside: by nightspot's environment, or by its arguments on a laptop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nightspot.checkpoint.errors import ConfigError
from nightspot.checkpoint.hazard import Hazard
from nightspot.checkpoint.interval import AUTO, LONGEST_S, Kind, Rule, parse

NO_STORE = "none"  # of $NIGHTSPOT_CHECKPOINT_STORE: not even the script's own


@dataclass(frozen=True, slots=True)
class Settings:
    """folder: None for no checkpoints. attempt: 0 outside a Run.

    rule: how often to save; longest_s, hazard: what "auto" reckons with. Times are of this process's own clock.
    staging: a folder on the same file system where nobody looks, if somebody looks into `folder` at any moment and copies it.
    store: s3://bucket/prefix, where committed checkpoints are uploaded to; None: nowhere.
    background: saves by a process of their own; None: as the script wishes. waits: training goes on only once a save is durable.
    """

    folder: Path | None
    rule: Rule
    fingerprint: str | None
    progress: Path | None
    notice: Path | None
    save_request: Path | None
    attempt: int
    world_size: int
    staging: Path | None = None
    store: str | None = None
    longest_s: float = LONGEST_S
    hazard: Hazard = field(default_factory=Hazard)
    background: bool | None = None
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the script asks for; nightspot's environment comes first, so one script serves both places."""

    folder: Path | None
    interval: str | float | None
    fingerprint: str | None
    store: str | None = None


def read(environment: Mapping[str, str], wishes: Wishes) -> Settings:
    """Raises ConfigError for a variable that makes no sense."""
    seconds = environment.get("NIGHTSPOT_CHECKPOINT_INTERVAL_S")
    rule = _rule(environment, wishes)
    folder, store = _path(environment, "NIGHTSPOT_CHECKPOINT_DIR") or wishes.folder, _store(environment, wishes)
    if store is not None and folder is None:
        raise ConfigError(f"store {store}: expected a folder, too: checkpoints are written there first")
    return Settings(
        folder=folder,
        rule=rule,
        fingerprint=environment.get("NIGHTSPOT_FINGERPRINT") or wishes.fingerprint,
        progress=_path(environment, "NIGHTSPOT_PROGRESS"),
        notice=_path(environment, "NIGHTSPOT_NOTICE"),
        save_request=_path(environment, "NIGHTSPOT_SAVE_REQUEST"),
        attempt=_count(environment, "NIGHTSPOT_ATTEMPT", 0),
        world_size=_count(environment, "WORLD_SIZE", 1),
        staging=_path(environment, "NIGHTSPOT_CHECKPOINT_STAGING"),
        store=store,
        longest_s=_seconds("checkpoint interval", seconds) if seconds and rule.kind is not Kind.TIME else LONGEST_S,
        hazard=_hazard(environment),
        background=_switch(environment, "NIGHTSPOT_CHECKPOINT_BACKGROUND"),
        waits=_switch(environment, "NIGHTSPOT_CHECKPOINT_WAIT") or False,
    )


def _rule(environment: Mapping[str, str], wishes: Wishes) -> Rule:
    """In words, before the number that goes with them; else the number; else as the script wishes."""
    if words := environment.get("NIGHTSPOT_CHECKPOINT_INTERVAL"):
        return parse(words)
    if seconds := environment.get("NIGHTSPOT_CHECKPOINT_INTERVAL_S"):
        return Rule(Kind.TIME, _seconds("checkpoint interval", seconds))
    return AUTO if wishes.interval is None else parse(wishes.interval)


def _store(environment: Mapping[str, str], wishes: Wishes) -> str | None:
    """The suffix is for somebody who plays the training, and must not touch its real checkpoints."""
    store = environment.get("NIGHTSPOT_CHECKPOINT_STORE") or wishes.store
    suffix = environment.get("NIGHTSPOT_CHECKPOINT_STORE_SUFFIX", "").strip("/")
    if not store or store == NO_STORE:
        return None
    return f"{store.rstrip('/')}/{suffix}" if suffix else store


def _hazard(environment: Mapping[str, str]) -> Hazard:
    every, scale = (environment.get(f"NIGHTSPOT_{name}") for name in ("INTERRUPTION_EVERY_S", "TIME_SCALE"))
    every_s = _seconds("$NIGHTSPOT_INTERRUPTION_EVERY_S", every, more=True) if every else None
    time_scale = _seconds("$NIGHTSPOT_TIME_SCALE", scale, more=True) if scale else 1.0
    return Hazard(every_s, time_scale)


def _path(environment: Mapping[str, str], name: str) -> Path | None:
    value = environment.get(name)
    return Path(value) if value else None


def _seconds(what: str, value: str, *, more: bool = False) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not (seconds > 0 if more else seconds >= 0):  # also false for NaN
        raise ConfigError(f"{what} {value!r}: expected {'a number above 0' if more else 'seconds, 0 or more'}")
    return seconds


def _count(environment: Mapping[str, str], name: str, absent: int) -> int:
    value = environment.get(name) or str(absent)
    if not value.isdecimal():
        raise ConfigError(f"${name} = {value!r}: expected a whole number")
    return int(value)


def _switch(environment: Mapping[str, str], name: str) -> bool | None:
    value = environment.get(name)
    if value not in (None, "", "0", "1"):
        raise ConfigError(f"${name} = {value!r}: expected 0 or 1")
    return None if not value else value == "1"
