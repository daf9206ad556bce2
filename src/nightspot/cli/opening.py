"""From a job file, or a Run in the Journal, to a Controller that is ready to act."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from typing import Callable

import nightspot
from nightspot.cli import world as worlds
from nightspot.cli.controller import Controller
from nightspot.cli.emulation import attach
from nightspot.cli.hearing import HeardJournal
from nightspot.cli.home import Home
from nightspot.cli.hooks import HookRunner
from nightspot.cli.interrupts import Interrupts, OnInterrupt
from nightspot.cli.learning import bounds_of, knowledge_if_any, taught
from nightspot.cli.quoting import quoted
from nightspot.cli.screen import Screen
from nightspot.cli.troubles import Troubles
from nightspot.cli.world import Anchors, World
from nightspot.errors import JobFileError
from nightspot.jobfile import JobFile, check_fits
from nightspot.jobfile.plan import PlannedNight as Plan
from nightspot.model.events import RunOpened
from nightspot.model.job import Job
from nightspot.model.state import RunState
from nightspot.night.journal import Journal
from nightspot.night.night import Night
from nightspot.night.ports import Kind
from nightspot.policy.guard import Guarded
from nightspot.policy.make import make_policy


def begin(
    home: Home,
    journal: Journal,
    job_file: JobFile,
    plan: Plan,
    screen: Screen,
    choice: OnInterrupt,
    real_utc: float | None = None,
) -> Controller:
    """Open a new Run. JobFileError where it could not be in time, or the surroundings do not allow it: then nothing is started.

    `real_utc`: when market time was what the plan says; None: now.
    """
    anchor_real_utc = time.time() if real_utc is None else real_utc
    anchors = Anchors(plan.market_now_utc, anchor_real_utc, plan.job.time_scale, plan.start_utc)
    world = reacting(worlds.open_world(home, anchors), plan.job)
    margin_s = world.settings.reaction_s
    job = taught(plan.job, journal, knowledge_if_any(home, screen.say))
    check_fits(job, job_file.file, max(plan.start_utc, plan.market_now_utc), plan.deadline_utc, margin_s)
    check_surroundings(world, job, job_file.file, screen.say)
    job = quoted(world.backends, job, job_file.file, time.time(), screen.say)
    opened = RunOpened(
        at_utc=plan.market_now_utc,
        run_id=plan.run_id,
        nonce=secrets.token_hex(4),
        job=job,
        start_utc=plan.start_utc,
        deadline_utc=plan.deadline_utc,
        anchor_real_utc=anchors.real_utc,
        bounds=bounds_of(job),
        version=nightspot.__version__,
    )
    heard = HeardJournal(journal, screen.hear, screen.recall)
    return _controller(home, Night.begin(heard, opened, world.settings), heard, world, screen, choice)


def resume(home: Home, journal: Journal, state: RunState, screen: Screen, choice: OnInterrupt) -> Controller:
    """Go on with a Run, by the Job that it began with; with the emulator that it began with, if that is where it was played."""
    attach(home, state)
    anchors = Anchors(state.opened_utc, state.anchor_real_utc, state.job.time_scale, state.start_utc)
    world = reacting(worlds.open_world(home, anchors), state.job)
    heard = HeardJournal(journal, screen.hear, screen.recall)
    night = Night.resume(heard, state.run_id, world.settings)
    return _controller(home, night, heard, world, screen, choice)


def reacting(world: World, job: Job) -> World:
    """The loop comes as much later as the calls to its slowest backend may take."""
    calls_s = max(world.backends[pool.backend].abilities(pool).calls_s for pool in job.pools)
    return replace(world, settings=replace(world.settings, reaction_s=world.settings.reaction_s + calls_s))


def check_surroundings(world: World, job: Job, file: str, say: Callable[[str], None]) -> None:
    """What the backends find wrong: fatal findings refuse the night, others are said."""
    for name in dict.fromkeys(pool.backend for pool in job.pools):
        for finding in world.backends[name].check(job):
            if finding.fatal:
                raise JobFileError(file, "pools", name, finding.what, finding.remedy)
            if finding.kind is Kind.WRONG:
                say(f"WARNING: {finding.what}. {finding.remedy}")


def _controller(
    home: Home, night: Night, heard: HeardJournal, world: World, screen: Screen, choice: OnInterrupt
) -> Controller:
    wake = world.clock.interrupt
    return Controller(
        night=night,
        heard=heard,
        world=world,
        policy=Guarded(make_policy(night.state.job.policy)),
        hooks=HookRunner(wake),
        interrupts=Interrupts(choice, wake),
        audience=screen,
        troubles=Troubles(home.faults, screen.say),
        stop_file=home.stop_file(night.state.run_id),
    )
