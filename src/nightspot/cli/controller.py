"""One controller of one Run: step, tell, look at what the user wants, sleep. All that matters is in the Journal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nightspot.cli.hearing import HeardJournal
from nightspot.cli.hooks import HookRunner
from nightspot.cli.interrupts import QUESTION, Interrupts, OnInterrupt
from nightspot.cli.troubles import Troubles
from nightspot.cli.world import World
from nightspot.model.attempt import RunOutcome
from nightspot.model.events import UserAsked
from nightspot.night.night import Night
from nightspot.night.observe import observe
from nightspot.night.step import Wake, step
from nightspot.policy.base import Policy
from nightspot.policy.guard import slack_s
from nightspot.report.live import View


class Audience(Protocol):
    """Who watches a night: a terminal, a log, nobody."""

    def show(self, view: View) -> None:
        """How things stand now."""
        ...

    def ask(self, question: str) -> None:
        """Show a question; its answer comes from elsewhere."""
        ...


@dataclass(slots=True)
class Controller:
    """`run` returns how the Run ended, or None where the user left it."""

    night: Night
    heard: HeardJournal
    world: World
    policy: Policy
    hooks: HookRunner
    interrupts: Interrupts
    audience: Audience
    troubles: Troubles
    stop_file: Path
    stop_wanted: bool = False

    def run(self) -> RunOutcome | None:
        """Until the Run is closed, or the user leaves."""
        while True:
            wake = self.turn()
            if isinstance(wake, RunOutcome):
                self._finish()
                return wake
            wish = self._wish()
            if wish is OnInterrupt.LEAVE:
                return None
            self._sleep(wake)

    def _sleep(self, wake: Wake) -> None:
        """Until then, or there may be news. After a failed step there is none but the user's."""
        clock = self.world.clock
        if not self._must_stop():
            clock.sleep_until(wake.at_utc)
        while self.troubles.in_a_row and clock.now_utc() < wake.at_utc and not self.interrupts.heard:
            clock.sleep_until(wake.at_utc)

    def _must_stop(self) -> bool:
        """Whether the user wants it to end, and the Journal does not know yet."""
        wanted = self.stop_wanted or self.stop_file.exists()
        return wanted and self.night.state.asked is None and self.night.state.outcome is None

    def turn(self) -> Wake | RunOutcome:
        """One step, and what follows from it. A fault of the moment is waited out, and the night found again in the Journal."""
        try:
            if self.troubles.in_a_row:
                self.night = Night.resume(self.heard, self.night.state.run_id, self.night.settings)
            if self._must_stop():
                self.night.record(UserAsked(self.world.clock.now_utc(), "stop"))
            result = step(self.night, self.world.backends, self.policy, self.world.clock)
            self._tell()
        except Exception as error:
            return self._waited_out(error)
        self.troubles.over()
        return result

    def _waited_out(self, error: Exception) -> Wake:
        """When to try again. After the last moment at which the Run could still end well, not any more."""
        now_utc, state = self.world.clock.now_utc(), self.night.state
        in_vain = now_utc > state.deadline_utc + state.job.extend_s
        return Wake(now_utc + self.troubles.happened(error, in_vain=in_vain) * state.job.time_scale)

    def _tell(self) -> None:
        now_utc = self.world.clock.now_utc()
        facts = self.heard.facts(now_utc)
        self.hooks.look(self.night, facts, now_utc)
        self.audience.show(self.view(now_utc))

    def _wish(self) -> OnInterrupt | None:
        wish = self.interrupts.verdict()
        if wish is OnInterrupt.ASK:
            self.audience.ask(QUESTION)
        self.stop_wanted = self.stop_wanted or wish is OnInterrupt.STOP
        return wish

    def _finish(self) -> None:
        now_utc = self.world.clock.now_utc()
        self.hooks.finish(self.night, self.heard.facts(now_utc), now_utc)
        self.stop_file.unlink(missing_ok=True)

    def view(self, now_utc: float) -> View:
        """How things stand, for whoever watches."""
        live, foremost = self.night.state.live, self.night.state.foremost
        reported = [self.night.reports[a.number].units_done for a in live if a.number in self.night.reports]
        begun = now_utc >= self.night.state.start_utc and self.night.state.outcome is None
        return View(
            facts=self.heard.facts(now_utc),
            at_utc=now_utc,
            slack_s=slack_s(observe(self.night, self.world.backends, now_utc)) if begun else None,
            units_now=max([self.night.state.durable_units, *reported]),
            phase=foremost.phase.value if foremost is not None else "",
            note=QUESTION if self.interrupts.asking else "",
        )
