"""`nightspot drill`: interrupts a job's training on purpose, and says whether it resumes."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Annotated, Iterator, NoReturn, Optional

import typer

from nightspot.cli.drilling import cases_of, drilled, free_name, furnish, own_folder
from nightspot.cli.drillpages import HtmlOption, Pages, PictureOption, checked, write_pages
from nightspot.cli.home import Home, HomeError
from nightspot.cli.run import JOB_FILE
from nightspot.cli.shell import Shell, shell_of
from nightspot.drill import proof
from nightspot.drill.record import Case, Report
from nightspot.drill.settings import Settings, read_settings
from nightspot.emulator import motoside
from nightspot.errors import ExitCode
from nightspot.jobfile import JobFile, load_job, parse_duration
from nightspot.report.drill import drill as drill_text


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
    emulate: Annotated[
        bool, typer.Option("--emulate", help="Play it as training jobs of a SageMaker on this machine, on an emulator.")
    ] = False,
    html: HtmlOption = None,
    picture: PictureOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Interrupt the training on purpose, and compare what comes of it with trainings that nobody interrupted.

    Each case has folders of its own: nothing that the job really wrote is read or changed, and nothing is paid for. It needs
    bubblewrap. Shorten the job in the job file's drill table. The exit code is 0 only if resume is proven.

    Example: nightspot drill nightspot.toml --cases kill,notice
    """
    shell = shell_of(context)
    job_file = load_job(file, set_ or ())
    wanted = _cases(cases, job_file)
    budget_s = _duration(time_)
    pages = checked(html, picture)  # now, and not after minutes of playing
    with _folder(shell.home, keep) as root, _interruptible():
        if emulate:
            report = _emulated(job_file, root, wanted, seed, budget_s, shell)
        else:
            settings = read_settings(job_file, root, time.time())
            settings = replace(settings, keep=keep is not None, seed=settings.seed if seed is None else seed)
            settings = settings if budget_s is None else replace(settings, time_s=budget_s)
            report = _played(shell, job_file, settings, wanted)
    _end(shell, report, pages, allow_noise=job_file.document.drill.allow_noise, as_json=json, most=len(wanted))


def _emulated(
    job_file: JobFile, root: Path, cases: list[Case], seed: Optional[int], time_s: Optional[float], shell: Shell
) -> Report:
    """As training jobs, and remembered. EmulatorError without the extra, which nobody else has to have."""
    motoside.refuse_if_missing()
    from nightspot.cli.emulated import Wishes, emulated

    standing = proof.standing_of(job_file, emulated=True)
    report = emulated(job_file, root, Wishes(cases, seed, time_s), standing.dependencies, shell.say)
    _remember(shell, job_file, report, standing, emulated=True)
    return report


def _end(shell: Shell, report: Report, pages: Pages, *, allow_noise: bool, as_json: bool, most: int) -> NoReturn:
    """Show it; the exit code is the answer. most: cases that were wanted; what there was no time for is not proven."""
    passed = proof.passes(report, allow_noise=allow_noise) and len(report.cases) >= most
    _show(shell, report, pages, as_json=as_json)
    raise typer.Exit(ExitCode.OK if passed else ExitCode.NOT_PROVEN)


def _played(shell: Shell, job_file: JobFile, settings: Settings, wanted: list[Case]) -> Report:
    """Play, judge, and remember."""
    standing = proof.standing_of(job_file)  # before: what is changed meanwhile is not proven
    report = drilled(settings, wanted, standing.dependencies, shell.say)
    _remember(shell, job_file, report, standing, emulated=False)
    return report


def _remember(shell: Shell, job_file: JobFile, report: Report, standing: proof.Standing, *, emulated: bool) -> None:
    allow_noise = job_file.document.drill.allow_noise
    try:
        passed = proof.passes(report, allow_noise=allow_noise) and bool(report.cases)
        proof.write(shell.home.path, report, standing, passed=passed, emulated=emulated)
    except OSError as error:
        shell.say(f"the result could not be kept in {shell.home.path}: {error}")


def _cases(text: Optional[str], job_file: JobFile) -> list[Case]:
    """Those of the option, else of the job file, else all."""
    try:
        return cases_of(None if text is None else [n.strip() for n in text.split(",") if n.strip()], job_file)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--cases") from None


def _duration(text: Optional[str]) -> Optional[float]:
    try:
        return None if text is None else parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"expected a duration like 10min, but {error}", param_hint="--time") from None


@contextmanager
def _folder(home: Home, keep: Optional[Path]) -> Iterator[Path]:
    """The drill's own: the user's, which stays, or one in the home folder, which goes."""
    if keep is not None and keep.expanduser().exists():
        raise typer.BadParameter(f"{keep} exists: name a folder that does not", param_hint="--keep")
    root = keep.expanduser().resolve() if keep is not None else free_name(home.path.resolve() / proof.DRILLS)
    with ExitStack() as stack:
        try:
            if keep is None:
                stack.enter_context(own_folder(root))
            else:
                furnish(root)
        except OSError as error:
            remedy = "Choose another place: --home FOLDER, or --keep DIR"
            raise HomeError(f"{root} cannot be made ({error.strerror}). {remedy}") from error
        yield root


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
