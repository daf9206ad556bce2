"""From what was typed after `nightspot backtest` to what is played. What makes no sense is said, with the option's name."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Iterable, Iterator, Optional, Sequence

import typer

from nightspot.jobfile import format_duration, parse_duration
from nightspot.market.formats import read_traces
from nightspot.market.trace import Trace
from nightspot.model.capacity import Flips
from nightspot.planning.backtest import Backtest, Plan
from nightspot.planning.fitting import fit, fit_on_the_others
from nightspot.planning.play import ON_DEMAND
from nightspot.planning.recorded import Recorded
from nightspot.planning.results import BacktestFacts
from nightspot.planning.terms import Terms
from nightspot.policy.names import POLICY_OPTIONS

USUAL = ("planned", "reserve", "greedy", "uniform-progress", "on-demand")
DEFAULT = tuple(name for name in USUAL if name in POLICY_OPTIONS)
SUFFIXES = (".json", ".csv")
# A tick or a step shorter than this is a slip of the pen, and would never end.
SHORTEST_S = 1.0
FREE, REQUEST = "free", "request"


@dataclass(frozen=True, slots=True)
class Wishes:
    """The options that say what a night is, as typed."""

    work: str
    window: str
    overhead: str
    tick: str
    spot_price: float
    on_demand_price: float
    visibility: str = FREE
    second_request: bool = False
    handover: Optional[str] = None
    redo: str = "0s"


def terms_of(wishes: Wishes) -> tuple[Terms, ...]:
    """One for each window. Raises typer.BadParameter."""
    work_s, tick_s = duration(wishes.work, "--work", SHORTEST_S), duration(wishes.tick, "--tick", SHORTEST_S)
    overhead_s = duration(wishes.overhead, "--overhead")
    windows_s = [duration(each, "--window", SHORTEST_S) for each in wishes.window.split(",")]
    if len(set(windows_s)) < len(windows_s):
        raise typer.BadParameter(f"{wishes.window}: one of them stands there twice", param_hint="--window")
    for window_s in windows_s:
        if window_s < work_s + overhead_s:
            needs = f"{format_duration(work_s)} of work and {format_duration(overhead_s)} of start-up"
            raise typer.BadParameter(
                f"{format_duration(window_s)} is too short for {needs}: on-demand alone would be late. "
                f"Give at least {format_duration(work_s + overhead_s)}",
                param_hint="--window",
            )
    request_only, second_request, handover_s, redo_s = _abilities(wishes)
    night = Terms(
        work_s,
        windows_s[0],
        overhead_s,
        number(wishes.spot_price, "--spot-price"),
        number(wishes.on_demand_price, "--on-demand-price"),
        tick_s,
        request_only,
        second_request,
        handover_s,
        redo_s,
    )
    return tuple(replace(night, window_s=window_s) for window_s in windows_s)


def _abilities(wishes: Wishes) -> tuple[bool, bool, Optional[float], float]:
    """The last fields of Terms. Raises typer.BadParameter."""
    if wishes.visibility not in (FREE, REQUEST):
        raise typer.BadParameter(f"{wishes.visibility}: expected {FREE} or {REQUEST}", param_hint="--visibility")
    if wishes.second_request and wishes.visibility == FREE:
        remedy = "it is of use with --visibility request, where only a request shows capacity"
        raise typer.BadParameter(remedy, param_hint="--second-request")
    handover_s = None if wishes.handover is None else duration(wishes.handover, "--handover")
    return wishes.visibility == REQUEST, wishes.second_request, handover_s, duration(wishes.redo, "--redo")


def number(value: float, option: str) -> float:
    """One that can be counted with: "nan" and "inf" are numbers to a shell. Raises typer.BadParameter."""
    if not math.isfinite(value):
        raise typer.BadParameter(f"expected a number, not {value}", param_hint=option)
    return value


def duration(text: str, option: str, at_least_s: float = 0.0) -> float:
    """Seconds. Raises typer.BadParameter that names the option."""
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"expected a duration like 3min, but {error}", param_hint=option) from None
    if seconds < at_least_s:
        raise typer.BadParameter(f"{text}: expected {format_duration(at_least_s)} or more", param_hint=option)
    return seconds


def policies_of(names: Iterable[str]) -> tuple[str, ...]:
    """Each once, in order. Raises typer.BadParameter for one that does not exist."""
    for name in names:
        if name not in POLICY_OPTIONS:
            known = ", ".join(POLICY_OPTIONS)
            raise typer.BadParameter(f"there is no policy {name!r}; there are {known}", param_hint="--policy")
    return tuple(dict.fromkeys(names))


@dataclass(frozen=True, slots=True)
class Reading:
    """How files are read: instances needed at once, and the price up to which Spot counts as to be had. None: as it stands there."""

    need: Optional[int] = None
    price_cap_usd_per_hour: Optional[float] = None


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Where the policies' knowledge comes from: those files, the other traces, or neither."""

    fit: Sequence[Path] = ()
    leave_one_out: bool = False


def markets(
    given: Sequence[Path], knowledge: Knowledge, reading: Reading, say: Callable[[str], None], *, multi_pool: bool
) -> tuple[Recorded, ...]:
    """One for each Trace, or one of them all, each with what is known of it. Raises typer.BadParameter, JobFileError for no trace."""
    paths = files(given, "TRACE")
    traces = read(paths, reading, "TRACE")
    _warn_of_same(paths, knowledge, say)
    flips = known(list(traces.values()), knowledge, reading)
    if multi_pool:
        market = Recorded(tuple(traces), tuple(traces.values()), tuple(flips))
        if market.end_utc <= market.begin_utc:
            raise typer.BadParameter("the traces have no time in common", param_hint="--multi-pool")
        return (market,)
    return tuple(Recorded((n,), (t,), (f,)) for (n, t), f in zip(traces.items(), flips, strict=True))


def known(traces: Sequence[Trace], knowledge: Knowledge, reading: Reading) -> Sequence[Flips | None]:
    """For each Trace what is known. Raises typer.BadParameter."""
    if knowledge.leave_one_out and knowledge.fit:
        raise typer.BadParameter("give this or --fit: each says what is known of a trace", param_hint="--leave-one-out")
    if knowledge.leave_one_out:
        if len(traces) < 2:
            raise typer.BadParameter("with one trace there are no others to fit on", param_hint="--leave-one-out")
        return fit_on_the_others(traces)
    if knowledge.fit:
        others = read(files(knowledge.fit, "--fit"), reading, "--fit")
        return [fit(list(others.values()))] * len(traces)
    return [None] * len(traces)


def _warn_of_same(paths: Sequence[Path], knowledge: Knowledge, say: Callable[[str], None]) -> None:
    judged = [path.resolve() for path in paths]
    same = set(judged) & {path.resolve() for path in files(knowledge.fit, "--fit")}
    if same:
        say(f"WARNING: fitted on, too: {_listed(same)}; that is no proof. --leave-one-out fits on the others")
    twice = {path for path in judged if judged.count(path) > 1}
    if twice and knowledge.leave_one_out:
        say(f"WARNING: given twice: {_listed(twice)}; each is judged on what it was fitted to, and that is no proof")


def _listed(paths: Iterable[Path]) -> str:
    names = sorted(path.name for path in paths)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def files(given: Sequence[Path], option: str) -> list[Path]:
    """Folders as the traces in and under them. Raises typer.BadParameter for what is not there, or a folder without any."""
    found: list[Path] = []
    for path in given:
        inside = sorted(p for p in path.rglob("*") if p.suffix in SUFFIXES) if path.is_dir() else [path]
        if not inside:
            raise typer.BadParameter(
                f"{path} has no trace in it: expected names that end in {' or '.join(SUFFIXES)}", param_hint=option
            )
        found += inside
    return found


def read(paths: Sequence[Path], reading: Reading, option: str) -> dict[str, Trace]:
    """The Traces of all files, by telling names. Raises typer.BadParameter for an unreadable file, JobFileError for no trace."""
    found: list[tuple[str, Trace]] = []
    for path, name in zip(paths, names_of(paths), strict=True):
        inside = read_traces(
            _text(path, option),
            str(path),
            need=reading.need,
            price_cap_usd_per_hour=reading.price_cap_usd_per_hour,
        )
        found += [(name if label == str(path) else label, trace) for label, trace in inside.items()]
    names = numbered([name for name, _ in found])
    return dict(zip(names, [trace for _, trace in found], strict=True))


def _text(path: Path, option: str) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be read: {error.strerror}", param_hint=option) from None
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{path} is no text", param_hint=option) from None


def names_of(paths: Sequence[Path]) -> list[str]:
    """The files' names where they tell them apart, else their whole paths."""
    stems = [path.stem for path in paths]
    return stems if len(set(stems)) == len(stems) else [str(path) for path in paths]


def numbered(names: Sequence[str]) -> list[str]:
    """Each with its place where it stands there twice, or is on-demand's."""
    twice = {name for name in names if names.count(name) > 1} | {ON_DEMAND}
    return [f"{name}#{place}" if name in twice else name for place, name in enumerate(names, 1)]


def check_nights(plan: Plan) -> None:
    """Some trace has a night of each window. Raises typer.BadParameter."""
    for index, terms in enumerate(plan.terms):
        if not any(plan.starts(market, index) for market in range(len(plan.markets))):
            longest_s = max(market.end_utc - market.begin_utc for market in plan.markets)
            raise typer.BadParameter(
                f"no night of {format_duration(terms.window_s)} fits: the longest recording has {format_duration(longest_s)}, "
                f"and nights begin between {plan.from_fraction:g} and {plan.to_fraction:g} of it",
                param_hint="--window, --from, --to",
            )


def facts_of(played: Backtest) -> BacktestFacts:
    """What is printed."""
    plan = played.plan
    terms, known = plan.terms[0], plan.markets[0].flips[0]
    sources = list(dict.fromkeys(_sources(plan)))
    return BacktestFacts(
        policies=played.policies(),
        windows=played.windows(),
        traces=[name for market in plan.markets for name in market.names],
        fitted_on=(sources[0] if len(sources) == 1 else "each trace on the others") if known else "a prior, no trace",
        visibility=REQUEST if terms.request_only else FREE,
        second_request=terms.second_request,
        handover_s=terms.handover_s,
        redo_s=terms.redo_s,
        multi_pool=any(len(market.names) > 1 for market in plan.markets),
        work_s=terms.work_s,
        overhead_s=terms.overhead_s,
        tick_s=terms.tick_s,
        spot_price=terms.spot_usd_per_hour,
        on_demand_price=terms.on_demand_usd_per_hour,
    )


def _sources(plan: Plan) -> Iterator[str]:
    for market in plan.markets:
        yield from (flips.source for flips in market.flips if flips is not None)
