"""`nightspot stop`: end a night before its end, and be sure of it."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from nightspot.cli.find import find_run
from nightspot.cli.home import Home
from nightspot.cli.interrupts import LeaveNow, OnInterrupt
from nightspot.cli.lock import OtherControllerError, controller_pid, controlling
from nightspot.cli.opening import resume
from nightspot.cli.screen import Nobody
from nightspot.cli.shell import Shell, shell_of
from nightspot.errors import StoppedError
from nightspot.model.facts import RunFacts, facts_of
from nightspot.model.state import RunState, replay
from nightspot.night.journal import Journal, events_of
from nightspot.report.words import verdict

PAUSE_S = 0.1


def stop(
    context: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's id or its beginning, a job file, or `last`.")],
    *,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until everything is confirmed ended.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Print the run as one JSON object.")] = False,
) -> None:
    """End a run: its attempt is told to stop, saves once more, and the run is closed as cancelled.

    A controller that is at work on it does that; where there is none, this command does. It returns when nothing
    of the run bills any more. A run that is over already stays as it is.

    Example: nightspot stop last
    """
    shell = shell_of(context)
    journal = shell.home.read_journal()
    run_id = find_run(journal, run)
    facts = _stop(shell, journal, run_id, wait=wait)
    if json:
        shell.print_json(facts)
    elif facts.outcome is None:
        shell.say(f"{run_id} was asked to stop; {shell.home.command(f'status {run_id}')} shows when it has")
    else:
        shell.out.print(f"{run_id} {verdict(facts)}", markup=False, soft_wrap=True)


def _stop(shell: Shell, journal: Journal, run_id: str, *, wait: bool) -> RunFacts:
    if _state(journal, run_id).outcome is None:
        _ask(shell.home, run_id)
    while _state(journal, run_id).outcome is None:
        if controller_pid(shell.home, run_id) is None:
            _act(shell, journal, run_id, wait=wait)
        if not wait:
            break
        time.sleep(PAUSE_S)
    return facts_of(journal.read(run_id))


def _state(journal: Journal, run_id: str) -> RunState:
    return replay(events_of(journal, run_id))


def _ask(home: Home, run_id: str) -> None:
    try:
        home.stop_file(run_id).touch()
    except OSError as error:
        raise home.unusable(error) from error


def _act(shell: Shell, journal: Journal, run_id: str, *, wait: bool) -> None:
    """Be the controller that stops it. Somebody who was faster does it instead."""
    try:
        with controlling(shell.home, run_id):
            controller = resume(shell.home, journal, _state(journal, run_id), Nobody(), OnInterrupt.LEAVE)
            if not wait:
                controller.turn()
                return
            with controller.interrupts.listening():
                outcome = controller.run()
    except OtherControllerError:
        return
    except LeaveNow:
        outcome = None
    if outcome is None:
        raise StoppedError(
            f"{run_id} was asked to stop, and is not confirmed ended: {shell.home.command(f'stop {run_id}')} goes on"
        )
