"""One night for the reports, with all that can be told of one."""

from __future__ import annotations

from nightspot.model.attempt import AttemptOutcome, Phase, Role, RunOutcome
from nightspot.model.capacity import Bounds, Market, Pool, Sight
from nightspot.model.decision import Want
from nightspot.model.events import (
    AttemptEnded,
    AttemptSeen,
    CheckpointSeen,
    DecisionChanged,
    Event,
    InterruptionSeen,
    LaunchRequested,
    Limit,
    LimitHit,
    OfferChanged,
    PhaseChanged,
    Record,
    RunClosed,
    RunOpened,
    Told,
    Warned,
)
from nightspot.model.facts import RunFacts, facts_of
from nightspot.model.job import Job, PolicyChoice, Training, Work

HOUR = 3600.0
START = 1795546800.0  # 2026-11-24 19:00 UTC, 20:00 in Berlin
DEADLINE = START + 12 * HOUR
POOLS = (Pool("spot", "local", Market.SPOT, 1.0), Pool("od", "local", Market.ON_DEMAND, 3.0))


def opened(time_scale: float = 1.0) -> RunOpened:
    job = Job(
        "shop",
        Training(("true",), artifact="model.pt", fingerprint="f00d"),
        Work(10, "epoch", 1800.0),
        POOLS,
        PolicyChoice("reserve"),
        time_scale=time_scale,
        miss_means="The shop shows yesterday's list.",
        timezone="Europe/Berlin",
    )
    return RunOpened(START, "shop-1", "n", job, START, DEADLINE, START, {"od": Bounds(HOUR / 2)}, "0.1.0")


def story(time_scale: float = 1.0, late: bool = False) -> list[Event]:
    """Three hours on Spot, one of waiting, four on on-demand."""
    end = DEADLINE + 0.5 * HOUR if late else START + 8 * HOUR
    return [
        opened(time_scale),
        OfferChanged(START, "spot", Sight.UP),
        DecisionChanged(START, (Want("spot"),), "Spot is there", "policy"),
        LaunchRequested(START, 1, "t1", "spot", Role.TRAIN, DEADLINE),
        AttemptSeen(START, 1, ""),
        PhaseChanged(START + 600, 1, Phase.TRAINING, 1, 0.0),
        CheckpointSeen(START + 600 + 4 * 1800, 1, 4.0),
        InterruptionSeen(START + 3 * HOUR - 120, 1, START + 3 * HOUR),
        AttemptEnded(START + 3 * HOUR, 1, AttemptOutcome.INTERRUPTED, 5.0, 3 * HOUR, 3.0, 75),
        DecisionChanged(START + 3 * HOUR, (), "waiting for Spot within the reserve", "policy"),
        LimitHit(START + 3.5 * HOUR, Limit.RISK, "slack is 4 min"),
        Told(START + 3.5 * HOUR, 0, "hook:risk", "the hook ran"),
        DecisionChanged(START + 4 * HOUR, (Want("od"),), "slack is spent", "guard"),
        LaunchRequested(START + 4 * HOUR, 2, "t2", "od", Role.TRAIN, DEADLINE),
        AttemptSeen(START + 4 * HOUR, 2, ""),
        PhaseChanged(START + 4.5 * HOUR, 2, Phase.TRAINING, 1, 4.0),
        Warned(START + 5 * HOUR, 2, "a damaged [checkpoint] was skipped"),
        AttemptEnded(
            end,
            2,
            AttemptOutcome.COMPLETED,
            10.0,
            end - START - 4 * HOUR,
            12.0,
            0,
            "aa11",
            {"recall": 0.31},
            {"data": "beef"},
        ),
        RunClosed(end, RunOutcome.COMPLETED, late, "the work is done"),
    ]


def facts(events: list[Event] | None = None, now_utc: float | None = None) -> RunFacts:
    told = story() if events is None else events
    return facts_of([Record(n, 0.0, event) for n, event in enumerate(told, start=1)], now_utc)
