"""`nightspot run`: open a night or go on with it, show it, and end with its exit code."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Iterator, Optional

import typer

from nightspot.cli import emulation, gate
from nightspot.cli.choose import Choice, choose, nights_of
from nightspot.cli.controller import Controller
from nightspot.cli.home import Home
from nightspot.cli.interrupts import LeaveNow, OnInterrupt
from nightspot.cli.leaving import exit_code, left_sentence
from nightspot.cli.lock import controlling
from nightspot.cli.logs import Fetch
from nightspot.cli.opening import begin, resume
from nightspot.cli.screen import LiveScreen, Nobody, PlainLines, Screen
from nightspot.cli.shell import Shell, shell_of
from nightspot.errors import NightspotError
from nightspot.jobfile import JobFile, load_job, plan_night
from nightspot.jobfile.plan import PlannedNight as Plan
from nightspot.model.facts import RunFacts, facts_of
from nightspot.model.state import RunState, replay
from nightspot.night.journal import Journal
from nightspot.report.text import summary

JOB_FILE = "nightspot.toml"


@dataclass(frozen=True, slots=True)
class Wishes:
    """How the user wants it shown, and what Ctrl-C does."""

    json: bool = False
    plain: bool = False
    on_interrupt: OnInterrupt | None = None
    emulate: bool = False

    @property
    def choice(self) -> OnInterrupt:
        """As said; else ask where somebody can answer, and leave it running where nobody can."""
        if self.on_interrupt is not None:
            return self.on_interrupt
        return OnInterrupt.ASK if sys.stdin.isatty() and sys.stderr.isatty() else OnInterrupt.LEAVE


def run(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The job file.")] = Path(JOB_FILE),
    *,
    set_: Annotated[
        Optional[list[str]],
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change one key of the job file, for this command. May be repeated."
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Play the night again, as a new run.")] = False,
    emulate: Annotated[
        bool, typer.Option("--emulate", help="Play a SageMaker night on this machine, on an emulator; kept apart.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end; lines go to stderr.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Plain lines on a terminal, too.")] = False,
    on_interrupt: Annotated[
        Optional[OnInterrupt],
        typer.Option(help="What Ctrl-C does with the attempt. Without a terminal: leave.", show_default="ask"),
    ] = None,
) -> None:
    """Train tonight's model: on Spot while that is safe, on on-demand when the deadline needs it.

    The run is this night of this job. Run it again and it goes on where it was, whatever killed it;
    once it is over, its report is printed. The exit code says how it ended.

    Example: nightspot run nightspot.toml --set deadline.at=07:30
    """
    shell = shell_of(context)
    wishes = Wishes(json, plain, on_interrupt, emulate)
    job_file = load_job(file, set_ or ())
    if emulate:
        emulation.check_emulated(job_file)
        shell = replace(shell, home=emulation.emulated_home(shell.home))
        shell.say(f"an emulated night: it is kept apart; {shell.home.command('report last')} shows it")
    journal = shell.home.open_journal()
    choice = _choose(shell.home, journal, job_file, fresh=fresh)
    _settle(shell, journal, choice)
    raise typer.Exit(_play(shell, journal, job_file, choice, wishes))


def _choose(home: Home, journal: Journal, job_file: JobFile, *, fresh: bool) -> Choice:
    def plan(suffix: str, now_utc: float) -> Plan:
        return plan_night(job_file, now_utc, suffix, home.run_folder)

    return choose(nights_of(journal, job_file.name), job_file, plan, time.time(), fresh=fresh)


def _settle(shell: Shell, journal: Journal, choice: Choice) -> None:
    """Close earlier nights of the job that nobody closed, and say which others are open beside this one."""
    for state in choice.overdue:
        shell.say(f"{state.run_id} was left open, and its time is over: closing it first")
        try:
            with controlling(shell.home, state.run_id):
                resume(shell.home, journal, state, Nobody(), OnInterrupt.LEAVE).run()
        except NightspotError as error:
            shell.say(f"{state.run_id} could not be closed: {error}")
    for state in choice.beside:
        bills = "" if shell.home.emulated else ", and may bill"
        shell.say(f"WARNING: {state.run_id} is open, too{bills}: {shell.home.command(f'stop {state.run_id}')} ends it")


def _play(shell: Shell, journal: Journal, job_file: JobFile, choice: Choice, wishes: Wishes) -> int:
    state = choice.resume or choice.closed
    run_id = state.run_id if state is not None else choice.plan.run_id
    with controlling(shell.home, run_id):
        screen = _screen(shell, wishes)
        try:
            controller = _controller(shell, journal, job_file, choice, screen, wishes)
            return _until_the_end(shell, controller, screen, wishes)
        finally:
            _take_down(shell, journal, run_id, wishes)


def _controller(
    shell: Shell, journal: Journal, job_file: JobFile, choice: Choice, screen: Screen, wishes: Wishes
) -> Controller:
    state = choice.resume or choice.closed
    if state is not None:
        return _again(shell, journal, job_file, state, screen, wishes)
    if wishes.emulate:
        real_utc = emulation.start(shell.home, job_file, choice.plan)
        return begin(shell.home, journal, job_file, choice.plan, screen, wishes.choice, real_utc)
    plan = gate.admitted(shell, job_file, choice.plan)
    return begin(shell.home, journal, job_file, plan, screen, wishes.choice)


def _take_down(shell: Shell, journal: Journal, run_id: str, wishes: Wishes) -> None:
    """The emulator goes with the night, once what was printed is here; a night that was left goes on, and so does its emulator."""
    if not wishes.emulate:
        return
    events = [record.event for record in journal.read(run_id)]
    if events:
        state = replay(events)
        if state.outcome is None:
            return
        fetch = Fetch(shell, state)
        for attempt in state.attempts:
            fetch(attempt)
    emulation.end(shell.home, run_id)


def _again(
    shell: Shell, journal: Journal, job_file: JobFile, state: RunState, screen: Screen, wishes: Wishes
) -> Controller:
    """A Run of the Journal: one that is closed only has a hook to run, if any, and is reported."""
    goes_on = "goes on" + ("" if wishes.emulate else gate.as_it_began(job_file, state.job))
    told = "is over; --fresh plays the night again" if state.outcome is not None else goes_on
    shell.say(f"{state.run_id} {told}")
    return resume(shell.home, journal, state, screen, wishes.choice)


def _until_the_end(shell: Shell, controller: Controller, screen: Screen, wishes: Wishes) -> int:
    try:
        with controller.interrupts.listening(), _drawn(screen, controller):
            outcome = controller.run()
    except LeaveNow:
        outcome = None
    now_utc = controller.world.clock.now_utc()
    facts = facts_of(controller.heard.records, now_utc)
    if outcome is None:
        shell.say(left_sentence(shell.home, controller.night.state, facts, now_utc))
    _print_end(shell, facts, now_utc, wishes)
    return exit_code(facts)


def _print_end(shell: Shell, facts: RunFacts, now_utc: float, wishes: Wishes) -> None:
    if wishes.json:
        shell.print_json(facts)
    else:
        shell.print(summary(facts, now_utc, shell.out.width))


def _screen(shell: Shell, wishes: Wishes) -> Screen:
    if wishes.json:
        return PlainLines(shell.err, shell.err)
    return PlainLines(shell.out, shell.err) if wishes.plain or not shell.out.is_terminal else LiveScreen(shell.out)


@contextmanager
def _drawn(screen: Screen, controller: Controller) -> Iterator[None]:
    if isinstance(screen, LiveScreen):
        screen.now_utc = controller.world.clock.now_utc
    with screen.drawn() if isinstance(screen, LiveScreen) else nullcontext():
        yield
