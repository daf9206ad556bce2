"""`nightspot market fit | show`: what is known of Spot capacity, where it came from, and what it means for tonight."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Optional

import typer

from nightspot.cli.home import Home
from nightspot.cli.learning import knowledge_of, nights_of, with_nights
from nightspot.cli.pictures import drawable, form_of, keep_picture, write_whole
from nightspot.cli.shell import Shell, shell_of
from nightspot.errors import ExitCode, JobFileError, NightspotError
from nightspot.jobfile import load_job, plan_night
from nightspot.market.day import day_of
from nightspot.market.flips import watched_trace
from nightspot.market.formats import read_traces
from nightspot.market.knowledge import NOTHING_KNOWN, Knowledge, Known, flips_of, pool_key, to_text
from nightspot.market.trace import Trace
from nightspot.report.market import MarketRow, pools_table, rates_table, row
from nightspot.report.marketpicture import picture as draw

market = typer.Typer(name="market", no_args_is_help=True, add_completion=False)
# More tables than that are not read.
RATES_SHOWN = 3


class KnownAlreadyError(NightspotError):
    """What is fitted again would count twice."""

    exit_code = ExitCode.USAGE


@market.command("fit")
def fit(
    context: typer.Context,
    traces: Annotated[
        list[Path], typer.Argument(metavar="TRACE...", help="Recorded capacity: JSON or CSV, or AWS's price history.")
    ],
    *,
    pool: Annotated[
        str,
        typer.Option(
            metavar="POOL",
            help="Which pool they are of, as `market show JOB.toml` names it. Default: the file's own name.",
        ),
    ] = "",
    need: Annotated[
        Optional[int], typer.Option(min=1, metavar="N", help="The traces count instances: so many are needed.")
    ] = None,
    price_cap: Annotated[
        Optional[float],
        typer.Option(min=0.0, metavar="USD", help="A price history: Spot was to be had while it cost less than that."),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Forget what was fitted for these pools before.")] = False,
) -> None:
    """Learn from recorded capacity how often it flips, by age, and keep that for `run`, `why` and the forecasts.

    Each night teaches by itself. This is for what was recorded elsewhere: a pool that has a name gets its own rates, and every other
    pool is drawn towards what all of them have in common.

    Example: nightspot market fit us-east-1a.json --pool sagemaker:us-east-1:ml.p4d.24xlarge
    """
    shell = shell_of(context)
    shell.home.make()
    known = dict(knowledge_of(shell.home))
    fresh: dict[str, Known] = {}
    for path in traces:
        for label, trace in _traces(path, need, price_cap).items():
            key = pool or (path.stem if label == str(path) else label)
            fresh[key] = fresh.get(key, NOTHING_KNOWN) + _watched(trace, label)
    for key, new in fresh.items():
        known[key] = new if replace else _added(known.get(key, NOTHING_KNOWN), new, key)
    try:
        write_whole(shell.home.market_file, to_text(known).encode())
    except OSError as error:
        raise shell.home.unusable(error) from error
    shell.print(pools_table([_row(key, known) for key in fresh]))
    shell.say(f"kept in {shell.home.market_file}; {shell.home.command('market show')} shows all")


@market.command("show")
def show(
    context: typer.Context,
    job: Annotated[
        Optional[Path], typer.Argument(metavar="[JOB]", help="A job file: its Spot pools, and what its nights saw.")
    ] = None,
    *,
    picture: Annotated[
        Optional[Path],
        typer.Option(
            metavar="FILE", help="Draw it, too: how long capacity lasts, and the day's cycle. .svg, .png or .pdf."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what is known of Spot capacity: how often it flips, by age, how long it lasts, how it lies over the day, and who says so.

    With a job file, its pools as `run` would plan with them tonight; without one, all that was fitted. A pool of which nothing is known
    gets what the others have in common, or the usual rates of Spot.

    Example: nightspot market show nightspot.toml --picture market.png
    """
    shell = shell_of(context)
    drawable(picture)
    rows = _rows_of_job(shell, job) if job is not None else _rows_of_file(shell.home)
    if json:
        shell.print_json(rows)
    elif rows:
        shell.print(pools_table(rows))
        for one in rows[:RATES_SHOWN]:
            shell.print("", rates_table(one), f"[dim]{one.source}[/dim]")
    else:
        shell.say("nothing was fitted yet: `nightspot market fit TRACE...`; the usual rates of Spot are used")
    if picture is not None and rows:
        keep_picture(shell, draw(rows, form_of(picture)), picture)


def _traces(path: Path, need: Optional[int], price_cap: Optional[float]) -> dict[str, Trace]:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise JobFileError(
            str(path), "", str(path), f"it cannot be read ({reason})", "Name a file of recorded capacity."
        ) from None
    return dict(read_traces(text, str(path), need=need, price_cap_usd_per_hour=price_cap))


def _watched(trace: Trace, label: str) -> Known:
    end_utc = trace.start_utc + trace.period_s
    return Known(watched_trace(trace), day_of(trace.spans(trace.start_utc, end_utc)), (f"trace {Path(label).name}",))


def _added(before: Known, new: Known, key: str) -> Known:
    twice = [source for source in new.sources if source in before.sources]
    if twice:
        raise KnownAlreadyError(f"{key} knows {twice[0]} already, and would count it twice. --replace begins anew")
    return before + new


def _row(key: str, known: Knowledge) -> MarketRow:
    return row(key, known.get(key, NOTHING_KNOWN), flips_of(key, known))


def _rows_of_file(home: Home) -> list[MarketRow]:
    known = knowledge_of(home)
    return [_row(key, known) for key in sorted(known)]


def _rows_of_job(shell: Shell, path: Path) -> list[MarketRow]:
    job = plan_night(load_job(path), time.time(), "", shell.home.run_folder).job
    known = with_nights(job, nights_of(job, shell.home.read_journal()), knowledge_of(shell.home))
    return [_row(key, known) for key in dict.fromkeys(pool_key(pool) for pool in job.spot)]
