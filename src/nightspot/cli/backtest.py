"""`nightspot backtest`: any policy over recorded capacity, through the very loop that runs tonight."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from nightspot.cli import backtestoptions as options
from nightspot.cli.backtesting import (
    DEFAULT,
    SHORTEST_S,
    Knowledge,
    Reading,
    Wishes,
    check_nights,
    duration,
    facts_of,
    markets,
    number,
    policies_of,
    terms_of,
)
from nightspot.cli.pictures import drawable, form_of, keep_picture
from nightspot.cli.shell import shell_of
from nightspot.planning.backtest import Plan
from nightspot.planning.backtest import backtest as play
from nightspot.report.backtest import backtest as table
from nightspot.report.backtestpicture import picture as draw


def backtest(
    context: typer.Context,
    traces: options.Traces,
    *,
    policy: options.Policies = None,
    work: options.Work = "4h",
    window: options.Window = "8h",
    overhead: options.Overhead = "3m",
    spot_price: options.SpotPrice = 0.3,
    on_demand_price: options.OnDemandPrice = 1.0,
    every: options.Every = "1h",
    from_: options.From = 0.0,
    to: options.To = 1.0,
    tick: options.Tick = "3m",
    fit: options.Fit = None,
    leave_one_out: options.LeaveOneOut = False,
    multi_pool: options.MultiPool = False,
    need: options.Need = None,
    price_cap: options.PriceCap = None,
    visibility: options.Visibility = "free",
    second_request: options.SecondRequest = False,
    handover: options.Handover = None,
    redo: options.Redo = "0s",
    jobs: options.Jobs = None,
    picture: options.Picture = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Play recorded nights with each policy, and hold what they cost against on-demand and against the best that was possible.

    The nights go through the very loop that runs tonight, guard and all. The best possible is exact: what one would have paid who
    knew the capacity of each night in advance. Nothing is launched.

    Example: nightspot backtest pools/*.json --leave-one-out --window 5h,8h,12h
    """
    shell = shell_of(context)
    path = drawable(picture)
    night = Wishes(
        work, window, overhead, tick, spot_price, on_demand_price, visibility, second_request, handover, redo
    )
    plan = Plan(
        markets(
            traces, Knowledge(fit or (), leave_one_out), Reading(need, price_cap), shell.say, multi_pool=multi_pool
        ),
        terms_of(night),
        policies_of(policy or DEFAULT),
        duration(every, "--every", SHORTEST_S),
        number(from_, "--from"),
        number(to, "--to"),
    )
    check_nights(plan)
    played = play(plan, jobs or os.cpu_count() or 1)
    facts = facts_of(played)
    if json:
        shell.print_json(facts)
    else:
        shell.print(table(facts))
    if path is not None:
        keep_picture(shell, draw(facts, form_of(path)), path)
