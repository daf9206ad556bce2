"""`nightspot drill`: interrupts a job's training on purpose, and says whether it resumes."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Annotated, Iterator, Optional

import typer

from nightspot.cli.drillpages import HtmlOption, Pages, PictureOption, checked, write_pages
from nightspot.cli.home import Home, HomeError
from nightspot.cli.run import JOB_FILE
from nightspot.cli.shell import Shell, shell_of
from nightspot.drill import proof
from nightspot.drill.judge import agree, judge
from nightspot.drill.play import Drilled, play
from nightspot.drill.record import Case, Report
from nightspot.drill.settings import LIFE, RUN, Settings, read_settings
from nightspot.errors import ExitCode
from nightspot.jobfile import JobFile, load_job, parse_duration
from nightspot.process.identity import boot_id, identify
from nightspot.report.drill import drill as drill_text

PARTS = (RUN, LIFE, "cases", "sources")
WORK = "work"


def drill(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The job file.")] = Path(JOB_FILE),
    *,
    cases: Annotated[
        Optional[str],
        typer.Option(
            metavar="CASE,CASE", help=f"Which to play: {', '.join(case.value for case in Case)}. Default: all."
        ),
    ] = None,
    time_: Annotated[
        Optional[str],
        typer.Option(
            "--time",
            metavar="DURATION",
            help="Begins no case that would end later than that, the most telling ones first.",
        ),
    ] = None,
    seed: Annotated[
        Optional[int], typer.Option(help="What the steps and bytes to hit are drawn from.", min=0, max=2**31 - 1)
    ] = None,
    keep: Annotated[
        Optional[Path],
        typer.Option(metavar="DIR", help="Keep what each case wrote in this folder, which must not exist."),
    ] = None,
    set_: Annotated[
        Optional[list[str]],
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change one key of the job file, for this command. May be repeated."
        ),
    ] = None,
    html: HtmlOption = None,
    picture: PictureOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Interrupt the training on purpose, and compare what comes of it with trainings that nobody interrupted.

    Each case has folders of its own: nothing that the job really wrote is read or changed, and nothing is paid for. It needs
    bubblewrap. Shorten the job with [drill] in the job file. The exit code is 0 only if resume is proven.

    Example: nightspot drill nightspot.toml --cases kill,notice
    """
    shell = shell_of(context)
    job_file = load_job(file, set_ or ())
    wanted = _cases(cases, job_file)
    budget_s = _duration(time_)
    pages = checked(html, picture)  # now, and not after minutes of playing
    with _folder(shell.home, keep) as root, _interruptible():
        settings = read_settings(job_file, root, time.time())
        settings = replace(settings, keep=keep is not None, seed=settings.seed if seed is None else seed)
        settings = settings if budget_s is None else replace(settings, time_s=budget_s)
        report = _drilled(shell, job_file, settings, wanted)
    passed = proof.passes(report, allow_noise=settings.allow_noise)
    _show(shell, report, pages, as_json=json)
    raise typer.Exit(ExitCode.OK if passed else ExitCode.NOT_PROVEN)


def _drilled(shell: Shell, job_file: JobFile, settings: Settings, wanted: list[Case]) -> Report:
    """Play, judge, and remember."""
    began_s = time.monotonic()
    standing = proof.standing_of(job_file)  # before: what is changed meanwhile is not proven
    played = play(settings, wanted, agree, shell.say)
    report = judge(
        played.baselines,
        played.trainings,
        job=settings.job,
        seed=settings.seed,
        notes=_notes(played, settings),
        fingerprint=settings.training.fingerprint,
        versions=standing.dependencies,
        finished_utc=time.time(),
        seconds=time.monotonic() - began_s,
    )
    try:
        passed = proof.passes(report, allow_noise=settings.allow_noise) and bool(report.cases)
        proof.write(shell.home.path, report, standing, passed=passed)
    except OSError as error:
        shell.say(f"the result could not be kept in {shell.home.path}: {error}")
    return report


def _notes(played: Drilled, settings: Settings) -> list[str]:
    notes = list(played.notes)
    if played.left_out:
        names = ", ".join(case.value for case in played.left_out)
        notes.append(f"no time was left for {names}: the drill had {settings.time_s:g} s")
    return notes


def _cases(text: Optional[str], job_file: JobFile) -> list[Case]:
    """Those of the option, else of the job file, else all."""
    names = (
        job_file.document.drill.cases if text is None else [name.strip() for name in text.split(",") if name.strip()]
    )
    if names is None:
        return list(Case)
    known = {case.value: case for case in Case}
    for name in names:
        if name not in known:
            raise typer.BadParameter(f"{name!r} is no case: {', '.join(known)}", param_hint="--cases")
    if not names:
        raise typer.BadParameter("it names no case", param_hint="--cases")
    return [case for case in Case if case.value in names]


def _duration(text: Optional[str]) -> Optional[float]:
    try:
        return None if text is None else parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"expected a duration like 10min, but {error}", param_hint="--time") from None


@contextmanager
def _folder(home: Home, keep: Optional[Path]) -> Iterator[Path]:
    """The drill's own: the user's, which stays, or one in the home folder, which goes."""
    if keep is not None:
        root = keep.expanduser().resolve()
        if root.exists():
            raise typer.BadParameter(f"{keep} exists: name a folder that does not", param_hint="--keep")
    else:
        root = home.path.resolve() / proof.DRILLS / f"{WORK}-{_self()}-{secrets.token_hex(3)}"
        _sweep(root.parent)
    try:
        for part in PARTS:
            (root / part).mkdir(parents=True)
    except OSError as error:
        raise HomeError(
            f"{root} cannot be made ({error.strerror}). Choose another place: --home FOLDER, or --keep DIR"
        ) from error
    try:
        yield root
    finally:
        if keep is None:
            shutil.rmtree(root, ignore_errors=True)


def _self() -> str:
    """Who we are, so that a later drill can tell whether we live."""
    me = identify(os.getpid())
    return f"{os.getpid()}-{me.start_ticks if me is not None else 0}-{boot_id()[:8]}"


def _sweep(drills: Path) -> None:
    """What a drill that was killed left behind."""
    for left in drills.glob(f"{WORK}-*-*-*"):
        with suppress(ValueError, IndexError):
            _, pid, ticks, boot, *_ = left.name.split("-")
            now = identify(int(pid))
            if boot != boot_id()[:8] or now is None or now.start_ticks != int(ticks):
                shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM and SIGHUP are a Ctrl-C: all that runs is killed, and the folder goes."""

    def interrupt(_number: int, _frame: Optional[FrameType]) -> None:
        raise KeyboardInterrupt

    wanted = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in wanted}
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("nightspot: the drill was ended before it was done; nothing of it is left", err=True)
        raise typer.Exit(ExitCode.CANCELLED) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _show(shell: Shell, report: Report, pages: Pages, *, as_json: bool) -> None:
    if as_json:
        shell.print_json(report)
    else:
        shell.print(drill_text(report))
    write_pages(shell, report, pages)
