"""When the user's hooks run, and that each runs: at least once.

Told is recorded after a hook ran, so a controller that dies in between runs it again: to hear of a risk twice is better than never.
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, field
from typing import Callable

from nightspot.model.attempt import RunOutcome
from nightspot.model.events import Limit, Told
from nightspot.model.facts import RunFacts
from nightspot.model.state import RunState
from nightspot.night.night import Night
from nightspot.process.hooks import HookCall, run_hook
from nightspot.report.words import verdict

RISK, SUCCESS, FAILURE = "risk", "success", "failure"


@dataclass(slots=True)
class HookRunner:
    """Runs what is due beside the loop, never twice by the same controller."""

    wake: Callable[[], None]
    run: Callable[[str, HookCall], str] = run_hook
    _begun: set[str] = field(default_factory=set)
    _done: queue.SimpleQueue[tuple[str, str]] = field(default_factory=queue.SimpleQueue)
    _threads: list[threading.Thread] = field(default_factory=list)

    def look(self, night: Night, facts: RunFacts, now_utc: float) -> None:
        """Record what has run, start what is due."""
        self._record(night, now_utc)
        name = due(night.state)
        if name is None or name in self._begun:
            return
        self._begun.add(name)
        call = HookCall(night.state.run_id, outcome_word(facts, name), message(facts, name))
        thread = threading.Thread(target=self._run, args=(name, command(night.state, name), call), daemon=True)
        self._threads.append(thread)
        thread.start()

    def finish(self, night: Night, facts: RunFacts, now_utc: float) -> None:
        """After the Run is closed: start what is due, wait for all of it, record it."""
        self.look(night, facts, now_utc)
        for thread in self._threads:
            thread.join()
        self._record(night, now_utc)

    def _run(self, name: str, line: str, call: HookCall) -> None:
        self._done.put((name, self.run(line, call)))
        self.wake()

    def _record(self, night: Night, now_utc: float) -> None:
        while not self._done.empty():
            name, sentence = self._done.get()
            night.record(Told(now_utc, 0, f"hook:{name}", sentence))


def due(state: RunState) -> str | None:
    """The hook that should have run, by what the Journal says."""
    if state.outcome is not None:
        name = SUCCESS if state.outcome is RunOutcome.COMPLETED else FAILURE
    elif Limit.RISK in state.limits_hit:
        name = RISK
    else:
        return None
    return name if command(state, name) and f"hook:{name}" not in state.told else None


def command(state: RunState, name: str) -> str:
    """The user's line for that hook; empty without one."""
    return str(getattr(state.job.hooks, name) or "")


def outcome_word(facts: RunFacts, name: str) -> str:
    """What NIGHTSPOT_OUTCOME says: the outcome, "late" where it is completed late, "risk" before."""
    if name == RISK:
        return RISK
    return "late" if facts.late and facts.outcome == "completed" else str(facts.outcome)


def message(facts: RunFacts, name: str) -> str:
    """What NIGHTSPOT_MESSAGE says."""
    if name == RISK:
        said = [remark.message for remark in facts.limits if remark.kind == RISK]
        parts = [said[-1] if said else "it may become late", facts.miss_means]
    else:
        parts = [verdict(facts), facts.miss_means if name == FAILURE or facts.late else ""]
    return ". ".join(part for part in parts if part)
