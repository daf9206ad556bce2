"""What a session is told from outside: by nightspot's environment, or by its arguments on a laptop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nightspot.checkpoint.errors import ConfigError

STANDALONE_INTERVAL_S = 600.0


@dataclass(frozen=True, slots=True)
class Settings:
    """folder: None for no checkpoints. interval_s: of this process's own clock. attempt: 0 outside a Run.

    staging: a folder on the same file system where nobody looks, if somebody looks into `folder` at any moment and copies it.
    """

    folder: Path | None
    interval_s: float
    fingerprint: str | None
    progress: Path | None
    notice: Path | None
    save_request: Path | None
    attempt: int
    world_size: int
    staging: Path | None = None


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the script asks for; nightspot's environment comes first, so one script serves both places."""

    folder: Path | None
    interval_s: float | None
    fingerprint: str | None


def read(environment: Mapping[str, str], wishes: Wishes) -> Settings:
    """Raises ConfigError for a variable that makes no sense."""
    folder = _path(environment, "NIGHTSPOT_CHECKPOINT_DIR") or wishes.folder
    wished_s = STANDALONE_INTERVAL_S if wishes.interval_s is None else wishes.interval_s
    return Settings(
        folder=folder,
        interval_s=_seconds(environment.get("NIGHTSPOT_CHECKPOINT_INTERVAL_S") or wished_s),
        fingerprint=environment.get("NIGHTSPOT_FINGERPRINT") or wishes.fingerprint,
        progress=_path(environment, "NIGHTSPOT_PROGRESS"),
        notice=_path(environment, "NIGHTSPOT_NOTICE"),
        save_request=_path(environment, "NIGHTSPOT_SAVE_REQUEST"),
        attempt=_count(environment, "NIGHTSPOT_ATTEMPT", 0),
        world_size=_count(environment, "WORLD_SIZE", 1),
        staging=_path(environment, "NIGHTSPOT_CHECKPOINT_STAGING"),
    )


def _path(environment: Mapping[str, str], name: str) -> Path | None:
    value = environment.get(name)
    return Path(value) if value else None


def _seconds(value: str | float) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not seconds >= 0:  # also false for NaN
        raise ConfigError(f"checkpoint interval {value!r}: expected seconds, 0 or more")
    return seconds


def _count(environment: Mapping[str, str], name: str, absent: int) -> int:
    value = environment.get(name) or str(absent)
    if not value.isdecimal():
        raise ConfigError(f"${name} = {value!r}: expected a whole number")
    return int(value)
