"""`nightspot logs`: what an Attempt's program printed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Iterator, Optional

import typer

from nightspot.cli.emulation import attach, taken_down
from nightspot.cli.find import find_run
from nightspot.cli.shell import Shell, shell_of
from nightspot.cli.show import RunArgument
from nightspot.cli.world import Anchors, World, open_world
from nightspot.errors import BackendError, NotFoundError
from nightspot.model.attempt import Attempt
from nightspot.model.state import RunState, replay
from nightspot.night.journal import Journal, events_of
from nightspot.night.look import handle_of
from nightspot.night.ports import Backends

PAUSE_S = 0.2
BLOCK_BYTES = 1 << 16
LOG = "output.log"
FETCH_EVERY_S = 5.0


def logs(
    context: typer.Context,
    run: RunArgument = "last",
    *,
    attempt: Annotated[Optional[int], typer.Option("--attempt", min=1, help="Which one. Default: the latest.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on printing until the run is over.")] = False,
    tail: Annotated[Optional[int], typer.Option("--tail", min=0, help="Begin with the last so many lines.")] = None,
) -> None:
    """Print what an attempt's program printed.

    With --follow it goes on with each next attempt until the run is over; Ctrl-C ends the printing, not the training.
    What was printed elsewhere, on SageMaker say, is fetched first, and kept.

    Example: nightspot logs last --attempt 2 --tail 50
    """
    shell = shell_of(context)
    journal = shell.home.read_journal()
    run_id = find_run(journal, run)
    fetch = Fetch(shell, _state(journal, run_id))
    chosen = _chosen(_state(journal, run_id), fetch, attempt)
    stream = _followed(journal, run_id, fetch, chosen, only=attempt) if follow else iter([chosen])
    skip_to = tail
    for one in stream:
        _print(fetch, journal, run_id, one, tail=skip_to, follow=follow)
        skip_to = None


@dataclass(slots=True)
class Fetch:
    """An Attempt's output as a file of this machine, brought up to date from wherever it is printed."""

    shell: Shell
    state: RunState
    _world: World | None = None
    _next_s: dict[int, float] = field(default_factory=dict)
    _said: bool = False

    def __call__(self, attempt: Attempt) -> Path:
        """Where it is, or would be."""
        path = self.shell.home.attempts / attempt.token / LOG
        if attempt.seen and time.monotonic() >= self._next_s.get(attempt.number, 0.0):
            self._next_s[attempt.number] = time.monotonic() + FETCH_EVERY_S
            self._fetch(attempt, path)
        return path

    def _fetch(self, attempt: Attempt, path: Path) -> None:
        if taken_down(self.shell.home, self.state):
            return
        try:
            self._backends()[self.state.job.pool(attempt.pool_id).backend].fetch_output(handle_of(attempt), path)
        except (BackendError, OSError) as error:
            self._complain(str(error))

    def _backends(self) -> Backends:
        if self._world is None:
            attach(self.shell.home, self.state)
            state = self.state
            anchors = Anchors(state.opened_utc, state.anchor_real_utc, state.job.time_scale, state.start_utc)
            self._world = open_world(self.shell.home, anchors)
        return self._world.backends

    def _complain(self, reason: str) -> None:
        """Once: what was fetched before is printed all the same."""
        if not self._said:
            self.shell.say(f"WARNING: {reason}")
        self._said = True


def _state(journal: Journal, run_id: str) -> RunState:
    return replay(events_of(journal, run_id))


def _chosen(state: RunState, fetch: Fetch, number: int | None) -> Attempt:
    """That Attempt, or the latest that printed anything."""
    if number is not None:
        found = [a for a in state.attempts if a.number == number]
        missing = f"{state.run_id} has no attempt {number}; it has {len(state.attempts)}"
    else:
        found = [a for a in state.attempts if fetch(a).is_file()] or list(state.attempts)
        missing = f"{state.run_id} has no attempts yet"
    if not found:
        raise NotFoundError(missing)
    if not fetch(found[-1]).is_file() and found[-1].outcome is not None:
        raise NotFoundError(f"attempt {found[-1].number} of {state.run_id} left no log on this machine")
    return found[-1]


def _followed(journal: Journal, run_id: str, fetch: Fetch, first: Attempt, *, only: int | None) -> Iterator[Attempt]:
    """That Attempt, and each later one that prints."""
    yield first
    number = first.number
    while only is None:
        state = _state(journal, run_id)
        later = [a for a in state.attempts if a.number > number and fetch(a).is_file()]
        if later:
            number = later[0].number
            yield later[0]
        elif state.outcome is not None:
            return
        else:
            time.sleep(PAUSE_S)


def _print(fetch: Fetch, journal: Journal, run_id: str, attempt: Attempt, *, tail: int | None, follow: bool) -> None:
    path = fetch(attempt)
    position = _start(path, tail)
    while True:
        over = not follow or _state(journal, run_id).attempt(attempt.number).outcome is not None
        fetch(attempt)
        position = _copy(path, position)
        if over:
            return
        time.sleep(PAUSE_S)


def _start(path: Path, tail: int | None) -> int:
    """Where the last so many lines begin."""
    if tail is None or not path.is_file():
        return 0
    data = path.read_bytes()
    lines = data.splitlines(keepends=True)
    return len(data) - sum(len(line) for line in (lines[-tail:] if tail else []))


def _copy(path: Path, position: int) -> int:
    if not path.is_file():
        return position
    with path.open("rb") as stream:
        stream.seek(position)
        while block := stream.read(BLOCK_BYTES):
            typer.echo(block, nl=False)
        return stream.tell()
