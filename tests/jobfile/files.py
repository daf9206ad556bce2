"""Job files to write, and the one night all of these tests look at."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from nightspot.jobfile import JobFile, load_job

# A November evening in Berlin, an hour before the window of the job below opens.
EVENING_UTC = datetime(2026, 11, 24, 18, 0, tzinfo=timezone.utc).timestamp()

JOB = """\
name = "demo"
command = "{python} train.py"

[work]
units = 20
unit = "epoch"
each = "12min"

[deadline]
start = "20:00"
at = "08:00"
timezone = "Europe/Berlin"

[[pools]]
id = "spot"
market = "spot"
price = 1.0

[[pools]]
id = "backup"
market = "on-demand"
price = 3.0
"""


def utc(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> float:
    """That instant in UTC."""
    return datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc).timestamp()


def written(folder: Path, text: str = JOB, name: str = "night.toml") -> Path:
    """The path of a job file with that text."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def job_in(folder: Path, *settings: str) -> JobFile:
    """The job above with those `key=value` settings, read."""
    return load_job(written(folder), settings)
