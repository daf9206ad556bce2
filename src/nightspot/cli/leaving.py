"""How a command ends: the exit code of a night, and what to say of one that was left."""

from __future__ import annotations

from typing import Mapping

from nightspot.cli.home import Home
from nightspot.errors import ExitCode
from nightspot.model.facts import RunFacts
from nightspot.model.state import RunState
from nightspot.report.words import Moments, span

CODES: Mapping[str, ExitCode] = {
    "completed": ExitCode.OK,
    "failed": ExitCode.FAILED,
    "no-capacity": ExitCode.NO_CAPACITY,
    "expired": ExitCode.EXPIRED,
    "cancelled": ExitCode.CANCELLED,
}


def _again(home: Home) -> str:
    if home.emulated:  # without --emulate it would be a real night
        return f"{Home(home.path.parent).command('run --emulate')} with the same job file and options"
    return f"{home.command('run')} with the same job file and options"


def exit_code(facts: RunFacts) -> ExitCode:
    """What `run` ends with."""
    if facts.outcome is None:
        return ExitCode.LEFT_RUNNING
    return ExitCode.LATE if facts.outcome == "completed" and facts.late else CODES[facts.outcome]


def left_sentence(home: Home, state: RunState, facts: RunFacts, now_utc: float) -> str:
    """What goes on without us, until when, and how to go on with it."""
    again = f"{_again(home)} goes on with it, {home.command(f'stop {facts.run_id}')} ends it"
    attempt = state.foremost
    if attempt is None:
        return f"left {facts.run_id}: nothing of it runs, and nothing will be launched. {again}"
    if not attempt.seen:
        alone = f"attempt {attempt.number} on {attempt.pool_id} was asked for, and nobody knows yet whether it runs"
        return f"left {facts.run_id}: {alone}. {again}"
    until = Moments(facts.timezone).full(attempt.not_after_utc)
    alone = f"attempt {attempt.number} on {attempt.pool_id} goes on by itself, until it is done, taken back, or {until}"
    scale = facts.time_scale
    real = f" (in {span((attempt.not_after_utc - now_utc) / scale)} of real time)" if scale != 1 else ""
    return f"left {facts.run_id}: {alone}{real}; nobody guards the deadline meanwhile. {again}"
