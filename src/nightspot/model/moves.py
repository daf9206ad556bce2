"""What one Event changes of the Attempt it is about, as fields of `Attempt`."""

from __future__ import annotations

from typing import Any

from nightspot.model.attempt import Attempt, Phase, Role
from nightspot.model.events import AttemptEnded, PhaseChanged, Told

Changes = dict[str, Any]


def moved(attempt: Attempt, event: PhaseChanged) -> Changes:
    """It reached a phase. TRAINING is reached in each incarnation once."""
    change: Changes = {
        "phase": event.phase,
        "phase_utc": event.at_utc,
        "incarnation": event.incarnation,
        "queued_s": attempt.waited_s(event.at_utc),
    }
    if event.phase is Phase.QUEUED:
        change["queued_utc"] = event.at_utc
    elif event.phase is not Phase.STOPPING and attempt.waits_for_capacity(event.incarnation):
        change["granted_utc"] = attempt.requested_utc if attempt.queued_utc is None else event.at_utc
    if event.phase is Phase.TRAINING:
        units = event.units_done
        change |= {"trained_from_utc": event.at_utc, "trained_from_units": units, "units_done": units}
        change["first_saved_utc"] = None
    return change


def told(attempt: Attempt, event: Told, durable_units: float) -> Changes:
    """A word was said to it. Told `go`, it trains from now on, from what is durable now."""
    at_utc = event.at_utc
    if event.word == "checkpoint":
        return {"save_asked_utc": at_utc}
    change: Changes = {"told": event.word, "told_utc": at_utc}
    if event.word == "stop":
        change |= {"phase": Phase.STOPPING, "phase_utc": at_utc, "queued_s": attempt.waited_s(at_utc)}
        change["stopped_in_queue"] = attempt.stopped_in_queue or attempt.shown is Phase.QUEUED
        change["stop_utc"] = at_utc if attempt.stop_utc is None else attempt.stop_utc
    elif event.word == "go" and attempt.role is Role.PROBE:
        change |= {"role": Role.TRAIN, "gone_utc": at_utc, "probed_s": attempt.waited_s(at_utc)}
        change["units_start"] = durable_units
    return change


def ended(attempt: Attempt, event: AttemptEnded) -> Changes:
    """It is over."""
    return {
        "outcome": event.outcome,
        "phase": Phase.ENDED,
        "phase_utc": event.at_utc,
        "ended_utc": event.at_utc,
        "queued_s": attempt.waited_s(event.at_utc),
        "units_done": event.units_done,
        "billable_s": event.billable_s,
        "cost_usd": event.cost_usd,
        "artifact_sha256": event.artifact_sha256,
        "exit_code": event.exit_code,
        "detail": event.detail,
    }
