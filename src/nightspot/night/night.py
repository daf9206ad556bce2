"""A night as the loop holds it: the Journal of one Run, and the state it folds to."""

from __future__ import annotations

from dataclasses import dataclass, field

from nightspot.model.capacity import Abilities, Pool
from nightspot.model.events import Event, RunOpened, Warned
from nightspot.model.state import RunState, apply, open_run, replay
from nightspot.night.journal import Journal, events_of
from nightspot.night.ports import Report


@dataclass(frozen=True, slots=True)
class Settings:
    """How the loop paces itself, in market seconds.

    `reaction_s`: the longest gap between wakes, and the calls' budgets. `retry_s`: how long a Pool that refused is left alone.
    """

    reaction_s: float = 60.0
    sweep_s: float = 60.0
    retry_s: float = 60.0


@dataclass(slots=True)
class Night:
    """What one controller remembers while it acts. Only `journal` matters: all else can be found again.

    `cursors` and `reports` are what the last looks at the Attempts gave, `progress_utc` when that last moved. `gone_utc`: when this
    controller last said `go` to one. `abilities`: with the job file's consent in them.
    """

    journal: Journal
    state: RunState
    settings: Settings = Settings()
    cursors: dict[int, int] = field(default_factory=dict)
    reports: dict[int, Report] = field(default_factory=dict)
    progress_utc: dict[int, float] = field(default_factory=dict)
    gone_utc: dict[int, float] = field(default_factory=dict)
    swept_utc: float = float("-inf")
    pools_by_backend: dict[str, list[Pool]] = field(default_factory=dict)
    abilities: dict[str, Abilities] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for pool in self.state.job.pools:
            self.pools_by_backend.setdefault(pool.backend, []).append(pool)

    def record(self, *events: Event) -> None:
        """Append, then apply. Raises Fenced where another controller was first: then nothing changed here."""
        self.journal.append(self.state.run_id, self.state.seq, events)
        for event in events:
            self.state = apply(self.state, event)

    def warn_once(self, now_utc: float, number: int, message: str) -> None:
        """A warning of the loop's own about an Attempt, where it has none yet."""
        if not any(warned.number == number for warned in self.state.warned):
            self.record(Warned(now_utc, number, message))

    @classmethod
    def begin(cls, journal: Journal, opened: RunOpened, settings: Settings) -> Night:
        """Open a new Run. Raises Fenced where it was opened already."""
        journal.append(opened.run_id, 0, [opened])
        return cls(journal, open_run(opened), settings)

    @classmethod
    def resume(cls, journal: Journal, run_id: str, settings: Settings) -> Night:
        """Go on with a Run. Raises NotFoundError where there is none."""
        return cls(journal, replay(events_of(journal, run_id)), settings)
