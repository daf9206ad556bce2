"""What people read."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console, RenderableType

from nightspot.model.events import AttemptEnded
from nightspot.model.facts import RunFacts
from nightspot.report.live import View, live
from nightspot.report.tables import history
from nightspot.report.text import report, summary
from nightspot.report.timeline import timeline
from tests.report.nights import DEADLINE, HOUR, START, facts, story


def text(what: RenderableType, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(what)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())  # type: ignore[attr-defined]


SUMMARY = """\
shop-1  completed in time, 4h before the deadline
  deadline  Wed 25 Nov 2026 08:00 Europe/Berlin (07:00 UTC)
  ended     Wed 25 Nov 2026 04:00 Europe/Berlin (03:00 UTC)
  cost      $15.00, against $18.00 on od throughout: 17 % saved
  work      10 of 10 epochs, 33min each; 33min of work redone
  attempts  2, 1 interruption, on-demand used; policy reserve
  model     sha256 aa11
  metrics   recall 0.31

  20:00 ▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓x······████████████████████████████                           │ 08:00
        ▓ Spot   █ on-demand   · nothing held   x interrupted   │ deadline"""


def test_the_first_screen_says_how_it_ended_what_it_cost_and_shows_the_night() -> None:
    assert text(summary(facts(), DEADLINE)) == SUMMARY


def test_the_report_tells_each_attempt_and_each_decision_with_its_reason() -> None:
    told = text(report(facts(), DEADLINE))
    for row in (
        "1  spot  spot       interrupted  20:00:00  20:10:00  23:00:00  3h   $3.00       5   33min",
        "2  od    on-demand  completed    00:00:00  00:30:00  04:00:00  4h  $12.00      10       -",
        "00:00:00  od       guard   slack is spent",
        "23:00:00  nothing  policy  waiting for Spot within the reserve",
        "23:30:00  risk       slack is 4 min",
        "23:30:00  hook:risk  the hook ran",
        "attempt 2: a damaged [checkpoint] was skipped",
    ):
        assert " ".join(row.split()) in " ".join(told.split())
    assert "fingerprint  f00d" in told


def test_a_late_night_says_by_how_much_and_what_that_means() -> None:
    told = text(summary(facts(story(late=True)), DEADLINE))
    assert "completed LATE, 30min after the deadline" in told
    assert "The shop shows yesterday's list." in told


def test_a_night_dearer_than_on_demand_is_not_called_a_saving() -> None:
    events = [replace(e, cost_usd=20.0) if isinstance(e, AttemptEnded) else e for e in story()]
    assert "$40.00, against $18.00 on od throughout: $22.00 more" in text(summary(facts(events), DEADLINE))


def test_compressed_time_is_said_and_real_time_is_not_mentioned() -> None:
    assert "passes 60 times as fast" in text(summary(facts(story(time_scale=60.0)), DEADLINE))
    assert "market time" not in text(summary(facts(), DEADLINE))


def test_the_timeline_shows_what_was_held_when() -> None:
    """Twelve hours in 24 characters: half an hour each; the seventh is the interruption's."""
    assert timeline(facts(), DEADLINE, 24).plain == "20:00 ▓▓▓▓▓▓x·████████       │ 08:00"


def test_the_timeline_of_an_open_night_ends_now_and_leaves_the_rest_empty() -> None:
    early = facts(story()[:6], START + 2 * HOUR)
    assert timeline(early, START + 2 * HOUR, 24).plain == "20:00 ▓▓▓▓                   │ 08:00"


def test_the_timeline_of_a_late_night_goes_beyond_the_deadline() -> None:
    line = timeline(facts(story(late=True)), DEADLINE, 25).plain
    assert line == "20:00 ▓▓▓▓▓▓x·████████████████│ 08:30"


def view(now_h: float, **changes: object) -> tuple[View, float]:
    now_utc = START + now_h * HOUR
    before = [event for event in story()[:-1] if event.at_utc <= now_utc]
    given = {"slack_s": 2000.0, "units_now": 4.5, "phase": "training", **changes}
    return View(facts(before, now_utc), now_utc, **given), now_utc  # type: ignore[arg-type]


def test_the_live_view_shows_deadline_holding_work_slack_cost_and_the_last_decision() -> None:
    shown = text(live(*view(5.0)))
    for said in (
        "7h to the deadline at 08:00",
        "holding  od  attempt 2, training, for 1h",
        "4.5 of 10 epochs  4 safe",
        "slack    33min",
        "$6.00 so far; as much work on od throughout: $7.50; 1 interruption",
        "decided  slack is spent (guard, 00:00:00)",
        "RISK: slack is 4 min",
    ):
        assert said in shown, said


def test_the_live_view_says_when_it_is_late_and_when_nothing_is_held() -> None:
    assert "LATE by 1h" in text(live(view(5.0)[0], DEADLINE + HOUR))
    assert "holding  nothing" in text(live(*view(3.2)))
    assert "none: 5min short" in text(live(*view(5.0, slack_s=-300.0)))


def test_the_live_view_fits_a_narrow_terminal() -> None:
    shown = live(*view(5.0))
    assert max(len(line) for line in text(shown, 40).splitlines()) <= 40


def test_only_a_finished_night_has_saved_anything() -> None:
    open_night = facts(story()[:9], START + 3 * HOUR)
    assert "saved" not in text(summary(open_night, START + 3 * HOUR))
    assert "%" not in text(history([open_night]))
    assert "%" in text(history([facts()]))


@pytest.mark.parametrize(
    ("night", "said"),
    [(facts(), "completed"), (facts(story(late=True)), "completed, late"), (facts(story()[:6]), "open")],
)
def test_history_has_a_row_for_each_night(night: RunFacts, said: str) -> None:
    row = text(history([night])).splitlines()[1]
    assert row.startswith("2026-11-25  shop-1")
    assert said in row
