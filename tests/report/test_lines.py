"""Plain lines, and JSON."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from nightspot.model.attempt import AttemptOutcome, Phase, Role
from nightspot.model.capacity import Sight
from nightspot.model.events import (
    AttemptEnded,
    AttemptSeen,
    CheckpointSeen,
    Event,
    LaunchRefused,
    LaunchRequested,
    OfferChanged,
    PhaseChanged,
    RefusalReason,
    SightLost,
    SightRegained,
    Told,
    UserAsked,
)
from nightspot.report.document import as_json, document, jsonable
from nightspot.report.lines import Narrator
from nightspot.report.words import Moments, count, money, plural, span, units
from tests.report.nights import START, facts, opened, story

LINES = """\
20:00:00  run shop-1 begins: 10 epochs, about 5h of work, by Wed 25 Nov 2026 08:00 Europe/Berlin (07:00 UTC); policy reserve.
20:00:00  spot: there is capacity
20:00:00  policy decides: hold spot (Spot is there)
20:00:00  attempt 1 on spot asked for, at $1.00 an hour
20:10:00  attempt 1 on spot trains, from 0 of 10 epochs
22:10:00  checkpoint at 4 of 10 epochs
22:58:00  attempt 1 on spot: notice, its capacity is taken back at 23:00:00
23:00:00  attempt 1 on spot interrupted at 5 of 10 epochs; 3h billed, $3.00
23:00:00  policy decides: hold nothing (waiting for Spot within the reserve)
23:30:00  RISK: slack is 4 min
23:30:00  hook risk: the hook ran
00:00:00  guard decides: hold od (slack is spent)
00:00:00  attempt 2 on od asked for, at $3.00 an hour
00:30:00  attempt 2 on od trains, from 4 of 10 epochs
01:00:00  WARNING from attempt 2 on od: a damaged [checkpoint] was skipped
04:00:00  attempt 2 on od completed at 10 of 10 epochs; 4h billed, $12.00
04:00:00  run completed, 4h before the deadline: the work is done"""


def test_a_night_in_plain_lines() -> None:
    narrator = Narrator()
    assert [line for line in map(narrator.tell, story()) if line] == LINES.splitlines()


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (LaunchRefused(START, 1, RefusalReason.QUOTA, "quota reached"), "attempt 1 on spot refused: quota reached"),
        (LaunchRefused(START, 1, RefusalReason.ABSENT), "attempt 1 on spot refused: absent"),
        (PhaseChanged(START, 1, Phase.QUEUED), "attempt 1 on spot waits in the queue"),
        (
            PhaseChanged(START, 1, Phase.TRAINING, 3, 2.0),
            "from 2 of 10 epochs, started again by its backend: incarnation 3",
        ),
        (
            SightLost(START, 1, "no answer"),
            "WARNING: attempt 1 on spot is out of sight, and held to be alive: no answer",
        ),
        (SightRegained(START, 1), "attempt 1 on spot is in sight again"),
        (Told(START, 1, "stop"), "attempt 1 on spot is told to stop"),
        (CheckpointSeen(START, 1, 2.5, verified=False), "checkpoint at 2.5 of 10 epochs (unverified)"),
        (
            AttemptEnded(START, 1, AttemptOutcome.FAILED, 2, 60, 0.02, 1, detail="exit code 1"),
            "FAILED at 2 of 10 epochs",
        ),
        (UserAsked(START, "stop"), "the user asks: stop"),
    ],
)
def test_what_is_rarer_has_a_line_of_its_own(event: Event, said: str) -> None:
    narrator = Narrator()
    narrator.tell(opened())
    narrator.tell(LaunchRequested(START, 1, "t", "spot", Role.TRAIN, START))
    assert said in (narrator.tell(event) or "")


def test_what_changes_nothing_for_the_user_has_no_line() -> None:
    narrator = Narrator()
    assert narrator.tell(AttemptSeen(START, 1, "")) is None
    assert narrator.tell(PhaseChanged(START, 1, Phase.BOOTING)) is None


def test_json_has_times_as_text_and_nothing_that_json_does_not_know() -> None:
    told = json.loads(as_json(facts()))
    assert told["deadline_utc"] == "2026-11-25T07:00:00Z"
    assert told["attempts"][1]["training_utc"] == "2026-11-24T23:30:00Z"
    assert told["decisions"][2]["wants"] == ["od"]
    assert told == document(facts())
    assert jsonable({"until_utc": math.inf, "cost_usd": 0.1 + 0.2}) == {"until_utc": None, "cost_usd": 0.3}


def test_numbers_are_said_in_one_way() -> None:
    assert [span(s) for s in (45, 599, 3661, -90)] == ["45s", "9min59s", "1h1min", "-1min30s"]
    assert [money(usd) for usd in (1.005, 0.0123, 0.0, -2.5)] == ["$1.00", "$0.012", "$0.00", "-$2.50"]
    assert [count(n) for n in (3.0, 2.5, 1 / 3)] == ["3", "2.5", "0.33"]
    assert [plural(n, "attempt") for n in (1, 2)] == ["1 attempt", "2 attempts"]
    assert [units(n, u) for n, u in ((1, "epoch"), (2, "epoch"), (3, "batches"))] == [
        "1 epoch",
        "2 epochs",
        "3 batches",
    ]
    assert Moments("UTC").full(START) == "Tue 24 Nov 2026 19:00 UTC"


def test_what_is_never_seen_is_not_said_to_be_unseen_and_what_is_lost_from_sight_is() -> None:
    narrator = Narrator()
    narrator.tell(opened())
    unseen = OfferChanged(START, "spot", Sight.UNKNOWN)
    assert narrator.tell(unseen) is None
    assert "there is capacity" in (narrator.tell(OfferChanged(START, "spot", Sight.UP)) or "")
    assert "cannot be seen" in (narrator.tell(unseen) or "")


def test_a_price_that_nobody_knows_is_not_told_as_nothing() -> None:
    begun = opened()
    pools = tuple(replace(pool, price_usd_per_hour=0.0, options={"price_known": False}) for pool in begun.job.pools)
    narrator = Narrator()
    narrator.tell(replace(begun, job=replace(begun.job, pools=pools)))
    assert "at a price that nobody knows" in (
        narrator.tell(LaunchRequested(START, 1, "t", "spot", Role.TRAIN, START)) or ""
    )
    ended = AttemptEnded(START, 1, AttemptOutcome.COMPLETED, 10, 60, 0.0)
    assert "1min billed, nobody knows what" in (narrator.tell(ended) or "")


def test_a_night_that_waits_for_its_window_says_so() -> None:
    begun = replace(opened(), start_utc=START + 2 * 3600.0)
    assert "The window opens at" in (Narrator().tell(begun) or "")
    assert "in 2h: nothing is asked for before" in (Narrator().tell(begun) or "")


def test_a_long_refusal_does_not_fill_the_screen() -> None:
    narrator = Narrator()
    narrator.tell(opened())
    line = narrator.tell(LaunchRefused(START, 1, RefusalReason.INVALID, "no " * 1000)) or ""
    assert line.endswith("...")
    assert len(line) < 300
