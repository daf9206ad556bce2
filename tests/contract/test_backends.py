"""What every backend must do, whatever it runs on: docs/backends.md says it in words."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Iterator

import pytest

from nightspot.model.attempt import Phase, Role
from nightspot.model.capacity import Abilities, Sight
from nightspot.model.events import RefusalReason
from nightspot.night.ports import (
    Backend,
    Bill,
    Ended,
    EndKind,
    Handle,
    LaunchSpec,
    News,
    NoticeSeen,
    PhaseSeen,
    Refused,
    Report,
    SavedCheckpoint,
)
from tests.contract.worlds import BRIEF_S, LEAD_S, START_UTC, STOP_S, UNIT_S, WORLDS, World, spec

STEP_S = 6.0
# Market seconds: more than a process on two busy cores needs for anything here.
PATIENCE_S = 1800.0
ENDLESS = 1e6


@pytest.fixture(params=sorted(WORLDS))
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    made = WORLDS[request.param](tmp_path)
    try:
        yield made
    finally:
        made.close()


@dataclass
class Watch:
    """An Attempt looked at again and again, with the cursor handed on as the loop does."""

    world: World
    backend: Backend
    handle: Handle
    cursor: int = 0
    reports: list[Report] = field(default_factory=list)

    def look(self) -> Report:
        report = self.backend.poll(self.handle, self.cursor, self.world.now_utc())
        self.cursor = report.cursor
        self.reports.append(report)
        return report

    def until(self, wanted: Callable[[Report], bool]) -> Report:
        end_utc = self.world.now_utc() + PATIENCE_S
        while not wanted(report := self.look()):
            assert self.world.now_utc() < end_utc, self.reports[-3:]
            self.world.let_pass(STEP_S)
        return report

    def to_the_end(self) -> Ended:
        ended = self.until(self._over).ended
        assert ended is not None
        return ended

    def _over(self, report: Report) -> bool:
        """What waits for capacity once more would wait for ever: it is let go, as the guard does."""
        if any(back_in_the_queue(news) for news in report.news):
            self.backend.tell(self.handle, "stop", self.world.now_utc())
        return report.ended is not None

    @property
    def news(self) -> list[News]:
        return [news for report in self.reports for news in report.news]


def launched(world: World, asked: LaunchSpec) -> Watch:
    backend = world.backend()
    handle = backend.launch(asked, world.now_utc())
    assert isinstance(handle, Handle), handle
    return Watch(world, backend, handle)


def trains(report: Report) -> bool:
    return any(isinstance(news, PhaseSeen) and news.phase is Phase.TRAINING for news in report.news)


def back_in_the_queue(news: News) -> bool:
    return isinstance(news, PhaseSeen) and news.phase is Phase.QUEUED and news.incarnation > 1


def can(world: World) -> Abilities:
    return world.backend().abilities(world.pool("steady"))


def saves(report: Report) -> bool:
    return any(isinstance(news, SavedCheckpoint) for news in report.news)


def test_the_same_token_launches_once_however_often_and_by_whomever_it_is_asked_for(world: World) -> None:
    asked = spec(world, units=ENDLESS)
    handles = [b.launch(asked, world.now_utc()) for b in (world.backend(), world.backend(), world.backend())]
    assert len(set(handles)) == 1
    assert list(world.backend().live(asked.run_id)) == [handles[0]]


def test_without_capacity_a_launch_is_refused_and_leaves_nothing(world: World) -> None:
    asked = spec(world, "none")
    if can(world).queues:
        waits_until_stopped(launched(world, asked))
        return
    answer = world.backend().launch(asked, world.now_utc())
    assert isinstance(answer, Refused)
    assert answer.reason is RefusalReason.NO_CAPACITY
    assert "none" in answer.message
    assert list(world.backend().live(asked.run_id)) == []
    assert world.backend().find(asked.token) is None


def waits_until_stopped(watch: Watch) -> None:
    """The queued request is the probe: it stays QUEUED, costs nothing, and ends as what it was."""
    watch.until(lambda _: bool(watch.news))
    watch.world.let_pass(LEAD_S)
    watch.look()
    assert [(n.phase, n.incarnation) for n in watch.news if isinstance(n, PhaseSeen)] == [(Phase.QUEUED, 1)]
    assert list(watch.backend.live("contract-20261125T0700Z")) == [watch.handle]
    watch.backend.tell(watch.handle, "stop", watch.world.now_utc())
    assert watch.to_the_end().kind is EndKind.NO_CAPACITY
    assert watch.backend.bill(watch.handle, watch.world.now_utc()) == Bill(0.0, 0.0)
    assert list(watch.backend.live("contract-20261125T0700Z")) == []


def test_a_refused_token_stays_refused_when_capacity_is_there(world: World) -> None:
    refused = spec(world, "none")
    if can(world).queues:
        watch = launched(world, refused)
        watch.backend.tell(watch.handle, "stop", world.now_utc())
        ended = watch.to_the_end()
        assert launched(world, spec(world, "steady")).look().ended == ended
        return
    world.backend().launch(refused, world.now_utc())
    assert isinstance(world.backend().launch(spec(world, "steady"), world.now_utc()), Refused)
    assert list(world.backend().live(refused.run_id)) == []


def test_a_token_that_was_not_found_can_never_start_any_more(world: World) -> None:
    asked = spec(world)
    assert world.backend().find(asked.token) is None
    assert isinstance(world.backend().launch(asked, world.now_utc()), Refused)
    world.let_pass(LEAD_S)
    assert list(world.backend().live(asked.run_id)) == []
    assert world.backend().find(asked.token) is None


def test_a_restarted_controller_finds_what_was_launched_and_goes_on_with_it(world: World) -> None:
    asked = spec(world)
    first = launched(world, asked)
    handle = world.backend().find(asked.token)
    assert handle == first.handle
    assert Watch(world, world.backend(), handle).to_the_end().kind is EndKind.SUCCEEDED


def test_what_has_ended_is_found_too(world: World) -> None:
    asked = spec(world)
    ended = launched(world, asked).to_the_end()
    handle = world.backend().find(asked.token)
    assert handle is not None
    assert world.backend().poll(handle, 0, world.now_utc()).ended == ended


def test_all_work_done_is_a_success_with_the_models_digest(world: World) -> None:
    watch = launched(world, spec(world, units=5.0))
    ended = watch.to_the_end()
    assert (ended.kind, ended.exit_code) == (EndKind.SUCCEEDED, 0)
    assert ended.artifact_sha256
    assert watch.reports[-1].units_done == 5.0


def test_training_is_told_once_and_after_the_launch(world: World) -> None:
    asked_utc = world.now_utc()
    watch = launched(world, spec(world))
    watch.to_the_end()
    begun = [n.at_utc for n in watch.news if isinstance(n, PhaseSeen) and n.phase is Phase.TRAINING]
    assert len(begun) == 1
    assert asked_utc <= begun[0] <= asked_utc + PATIENCE_S


def test_checkpoints_are_told_with_the_units_they_hold(world: World) -> None:
    watch = launched(world, spec(world, units=5.0))
    watch.to_the_end()
    units = [n.units_done for n in watch.news if isinstance(n, SavedCheckpoint)]
    assert units == sorted(set(units))
    assert units[-1] == 5.0


def test_news_are_told_in_their_order_and_from_the_past(world: World) -> None:
    watch = launched(world, spec(world, "brief", units=ENDLESS))
    watch.to_the_end()
    times = [news.at_utc for news in watch.news]
    assert times == sorted(times)
    assert [time for time in times if not START_UTC <= time <= world.now_utc()] == []


def test_units_done_never_go_back(world: World) -> None:
    watch = launched(world, spec(world, "brief", units=ENDLESS))
    watch.to_the_end()
    units = [report.units_done for report in watch.reports]
    assert all(before <= after for before, after in itertools.pairwise(units))
    assert units[-1] > 0


def test_with_the_cursor_handed_on_nothing_is_told_twice(world: World) -> None:
    watch = launched(world, spec(world, units=5.0))
    watch.to_the_end()
    assert len(watch.news) == len(set(watch.news)) > 2
    again = watch.look()
    assert (list(again.news), again.cursor) == ([], watch.reports[-2].cursor)


def test_a_restarted_controller_is_told_everything_again_in_the_same_order(world: World) -> None:
    watch = launched(world, spec(world, units=5.0))
    watch.to_the_end()
    whole = world.backend().poll(watch.handle, 0, world.now_utc())
    assert list(whole.news) == watch.news
    halves = [world.backend().poll(watch.handle, cursor, world.now_utc()) for cursor in (1, 3)]
    assert [list(half.news) for half in halves] == [watch.news[1:], watch.news[3:]]


def test_how_it_ended_never_changes(world: World) -> None:
    watch = launched(world, spec(world, "brief", units=ENDLESS))
    ended = watch.to_the_end()
    for word in ("stop", "checkpoint", "go"):
        watch.backend.tell(watch.handle, word, world.now_utc())
    world.let_pass(STOP_S)
    assert watch.look().ended == ended
    assert world.backend().poll(watch.handle, watch.cursor, world.now_utc()).ended == ended


def test_a_stop_said_twice_ends_it_once_within_the_bound(world: World) -> None:
    watch = launched(world, spec(world, units=ENDLESS))
    watch.until(trains)
    told_utc = world.now_utc()
    watch.backend.tell(watch.handle, "stop", told_utc)
    world.backend().tell(watch.handle, "stop", world.now_utc())
    ended = watch.to_the_end()
    assert ended.kind is EndKind.STOPPED
    assert told_utc <= ended.at_utc <= told_utc + STOP_S


def test_a_stop_before_it_trains_ends_it_too(world: World) -> None:
    watch = launched(world, spec(world, units=ENDLESS))
    watch.backend.tell(watch.handle, "stop", world.now_utc())
    kinds = (EndKind.STOPPED, EndKind.NO_CAPACITY) if can(world).queues else (EndKind.STOPPED,)
    assert watch.to_the_end().kind in kinds
    assert list(watch.backend.live("contract-20261125T0700Z")) == []


def test_a_checkpoint_asked_for_is_made_and_training_goes_on(world: World) -> None:
    watch = launched(world, spec(world, units=ENDLESS, save_every=ENDLESS))
    watch.until(lambda report: report.units_done >= 2.0)
    watch.backend.tell(watch.handle, "checkpoint", world.now_utc())
    watch.until(saves)
    units = watch.reports[-1].units_done
    watch.until(lambda report: report.units_done > units)


def test_it_ends_itself_when_it_must_not_run_any_longer(world: World) -> None:
    asked = spec(world, units=ENDLESS, for_s=LEAD_S + STOP_S)
    watch = launched(world, asked)
    ended = watch.to_the_end()
    assert ended.kind is EndKind.STOPPED
    assert ended.at_utc <= asked.not_after_utc + STEP_S
    assert list(world.backend().live(asked.run_id)) == []


def test_capacity_that_goes_away_takes_it_along(world: World) -> None:
    watch = launched(world, spec(world, "brief", units=ENDLESS))
    ended = watch.to_the_end()
    taken_utc = START_UTC + BRIEF_S
    assert ended.kind is EndKind.TAKEN
    if can(world).restarts_inside:
        back = next(n for n in watch.news if back_in_the_queue(n))
        assert taken_utc - STEP_S <= back.at_utc <= ended.at_utc <= taken_utc + 2 * STOP_S
        return
    assert ended.at_utc <= taken_utc + STEP_S
    notices = [news for news in watch.news if isinstance(news, NoticeSeen)]
    assert len(notices) <= 1
    assert all(n.at_utc <= ended.at_utc and n.kill_utc in (None, taken_utc) for n in notices)


def test_what_is_offered_is_what_a_launch_would_find(world: World) -> None:
    pools = [world.pool(pool_id) for pool_id in ("steady", "none", "brief")]
    now_utc = world.now_utc()
    before = {offer.pool_id: offer for offer in world.backend().offers(pools, now_utc)}
    if can(world).queues:  # nobody can say before a request is granted
        assert all(o.seen is Sight.UNKNOWN and o.since_utc <= now_utc for o in before.values())
        return
    assert {p: o.seen for p, o in before.items()} == {"steady": Sight.UP, "none": Sight.DOWN, "brief": Sight.UP}
    assert all(offer.since_utc <= now_utc for offer in before.values())
    world.let_pass(START_UTC + BRIEF_S - now_utc + STEP_S)
    (after,) = world.backend().offers([world.pool("brief")], world.now_utc())
    assert (after.seen, after.since_utc) == (Sight.DOWN, START_UTC + BRIEF_S)


def test_live_lists_what_has_not_ended_of_that_run_and_nothing_else(world: World) -> None:
    ended = launched(world, spec(world, number=1))
    ended.to_the_end()
    running = launched(world, spec(world, number=2, units=ENDLESS))
    other = launched(world, spec(world, run_id="contract-20261125T0700Z-again", units=ENDLESS))
    assert list(world.backend().live("contract-20261125T0700Z")) == [running.handle]
    assert list(world.backend().live("contract-20261125T0700Z-again")) == [other.handle]
    assert list(world.backend().live("contract")) == []


def test_the_bill_grows_until_the_end_and_then_stays(world: World) -> None:
    asked = spec(world, units=ENDLESS)
    watch = launched(world, asked)
    watch.until(trains)
    bills = [watch.backend.bill(watch.handle, world.now_utc())]
    world.let_pass(STEP_S)
    bills.append(watch.backend.bill(watch.handle, world.now_utc()))
    watch.backend.tell(watch.handle, "stop", world.now_utc())
    ended = watch.to_the_end()
    bills += [world.backend().bill(watch.handle, ended.at_utc + later_s) for later_s in (0.0, 3600.0)]
    billable_s = [bill.billable_s for bill in bills if bill is not None]
    assert 0 < billable_s[0] < billable_s[1] <= billable_s[2] == billable_s[3]
    assert all(bill is not None and bill.cost_usd == pytest.approx(bill.billable_s * 3.6 / 3600) for bill in bills)


def test_a_successor_goes_on_where_the_last_checkpoint_was(world: World) -> None:
    first = launched(world, spec(world, number=1, units=40.0))
    first.until(saves)
    first.backend.tell(first.handle, "stop", world.now_utc())
    first.to_the_end()
    durable = max(n.units_done for n in first.news if isinstance(n, SavedCheckpoint))
    second = launched(world, spec(world, number=2, units=40.0, units_start=durable))
    ended = second.to_the_end()
    assert ended.kind is EndKind.SUCCEEDED
    assert second.reports[0].units_done >= durable
    assert second.reports[-1].units_done == 40.0
    begun = [n for n in second.news if isinstance(n, PhaseSeen) and n.phase is Phase.TRAINING]
    assert begun[0].units_done >= durable
    assert ended.at_utc - begun[0].at_utc >= (40.0 - begun[0].units_done - 1) * UNIT_S * 0.9


def test_a_probe_waits_for_go_and_then_goes_on_where_the_other_was_let_go(world: World) -> None:
    if not can(world).beside:
        pytest.skip("it holds one at a time")
    first = launched(world, spec(world, number=1, units=40.0, save_every=5.0))
    first.until(saves)
    probe = launched(world, spec(world, number=2, units=40.0, save_every=5.0, role=Role.PROBE))
    probe.until(lambda report: any(isinstance(n, PhaseSeen) and n.phase is Phase.READY for n in report.news))
    assert len(world.backend().live("contract-20261125T0700Z")) == 2
    first.backend.tell(first.handle, "checkpoint", world.now_utc())
    first.backend.tell(first.handle, "stop", world.now_utc())
    first.to_the_end()
    probe.look()
    assert not any(trains(report) or saves(report) for report in probe.reports)
    durable = max(n.units_done for n in first.news if isinstance(n, SavedCheckpoint))
    probe.backend.tell(probe.handle, "go", world.now_utc())
    world.backend().tell(probe.handle, "go", world.now_utc())
    assert probe.to_the_end().kind is EndKind.SUCCEEDED
    begun = [n for n in probe.news if isinstance(n, PhaseSeen) and n.phase is Phase.TRAINING]
    assert [n.units_done >= durable for n in begun] == [True]
    assert probe.reports[-1].units_done == 40.0


def test_a_probe_that_is_told_to_stop_has_never_trained(world: World) -> None:
    if not can(world).beside:
        pytest.skip("it holds one at a time")
    probe = launched(world, spec(world, units=ENDLESS, role=Role.PROBE))
    probe.until(lambda report: any(isinstance(n, PhaseSeen) and n.phase is Phase.READY for n in report.news))
    probe.backend.tell(probe.handle, "stop", world.now_utc())
    ended = probe.to_the_end()
    assert ended.kind is EndKind.STOPPED
    assert not any(trains(report) or saves(report) or report.units_done for report in probe.reports)
    bill = probe.backend.bill(probe.handle, world.now_utc())
    assert bill is None or bill.billable_s > 0.0


def test_a_sound_job_has_no_fatal_finding(world: World) -> None:
    assert [f for f in world.backend().check(world.job(5.0, 1.0)) if f.fatal] == []
