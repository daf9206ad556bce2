"""What a session says when it goes on: from where, how old that is, and who made it."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

from nightspot.checkpoint.manifest import Manifest

RECENT = timedelta(hours=12)  # what is older is told with its day


def sentence(made: Manifest, now_utc: float | None = None) -> str:
    """`resumed at 3.25 units of work from step-000000012 (saved 02:14:05 UTC by attempt 2)`.

    now_utc: seconds since the epoch; None: now. The time is the clock's of the machine that saved.
    """
    head = made.head
    by = f"by attempt {head.attempt}" if head.attempt else ""  # 0 outside a Run
    when = _when(head.saved_utc, time.time() if now_utc is None else now_utc)
    told = " ".join(part for part in (when, by) if part)
    return f"resumed at {head.units_done:.10g} units of work from {made.name}" + (f" (saved {told})" if told else "")


def _when(saved_utc: float | None, now_utc: float) -> str:
    if saved_utc is None:
        return ""
    saved, now = (datetime.fromtimestamp(one, timezone.utc) for one in (saved_utc, now_utc))
    return f"{saved:%H:%M:%S} UTC" if abs(now - saved) < RECENT else f"{saved:%Y-%m-%d %H:%M:%S} UTC"
