"""`nightspot checkpoint ls | show | verify | prune`: what is in a folder or a bucket, and whether it is whole."""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Annotated, Iterator, Optional

import typer
from rich.table import Table
from rich.text import Text

from nightspot.checkpoint.bucket import SITTING_S, AbsentError, Place, chosen, place
from nightspot.checkpoint.errors import CheckpointError, ConfigError, DamagedError, FolderInUseError, UnverifiableError
from nightspot.cli.checkpointfacts import Listed, Pruned, Shown, Verified, listed, shown, verified
from nightspot.cli.shell import Shell, shell_of
from nightspot.errors import ExitCode, NightspotError
from nightspot.report.words import count, plural

NAME = re.compile(r"step-\d{9,18}")
SIZES = ("bytes", "kB", "MB", "GB", "TB")
checkpoint = typer.Typer(name="checkpoint", no_args_is_help=True, add_completion=False)

UriArgument = Annotated[str, typer.Argument(metavar="URI", help="A folder, file:///folder or s3://bucket/prefix.")]
OneArgument = Annotated[
    str, typer.Argument(metavar="URI[/NAME]", help="The same; one checkpoint with its NAME, step-000000012.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class CheckpointTrouble(NightspotError):  # noqa: N818 - the room's own errors, with an exit code
    """What `nightspot.checkpoint` says, with the exit code that fits."""

    def __init__(self, message: str, code: ExitCode) -> None:
        super().__init__(message)
        self.exit_code = code


@checkpoint.command("ls")
def ls(context: typer.Context, uri: UriArgument, *, json: JsonOption = False) -> None:
    """List the checkpoints of a folder or a bucket, newest first, and whether they look whole.

    Whole means: the manifest is, and all files are there with the sizes it names. Their bytes are not read: `verify` does that.

    Example: nightspot checkpoint ls s3://bucket/prefix
    """
    shell = shell_of(context)
    with told():
        where = _place(shell, uri)
        rows = [listed(where, name) for name in where.names()]
    if json:
        shell.print_json(rows)
    elif rows:
        shell.print(_table(rows))
    else:
        shell.say(f"{uri} has no checkpoints")


@checkpoint.command("show")
def show(context: typer.Context, uri: OneArgument, *, json: JsonOption = False) -> None:
    """Show what a checkpoint says of itself: what it holds, who made it, with which versions. The newest, unless named.

    The manifest is checked against itself; of the files nothing is checked here.

    Example: nightspot checkpoint show checkpoints/step-000000012
    """
    shell = shell_of(context)
    with told():
        where, name = _one(shell, uri)
        facts = shown(where, name)
    if json:
        shell.print_json(facts)
    else:
        shell.out.print(_sheet(facts), markup=False, soft_wrap=True)


@checkpoint.command("verify")
def verify(context: typer.Context, uri: OneArgument, *, json: JsonOption = False) -> None:
    """Read every byte of a checkpoint, or of all, and compare with the hashes of its manifest.

    Ends with 0 only if all that was asked for is whole; else it says which file is not, and which tensors are in it.

    Example: nightspot checkpoint verify s3://bucket/prefix
    """
    shell = shell_of(context)
    with told():
        where, name = _split(shell, uri)
        names = where.names() if name is None else [name]
        if not names:
            raise AbsentError(f"{uri} has no checkpoints")
        rows = [verified(where, one) for one in names]
    if json:
        shell.print_json(rows)
    else:
        for row in rows:
            shell.out.print(_verdict(row), markup=False, soft_wrap=True)
    if not all(row.whole for row in rows):
        raise typer.Exit(ExitCode.DAMAGED)


@checkpoint.command("prune")
def prune(
    context: typer.Context,
    uri: UriArgument,
    *,
    keep: Annotated[int, typer.Option("--keep", min=1, metavar="K", help="How many whole ones stay, the newest.")],
    every: Annotated[
        Optional[int], typer.Option("--every", min=1, metavar="N", help="Those stay, too, whose number is a multiple.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: JsonOption = False,
) -> None:
    """Drop old checkpoints. Never the newest that is whole: that one is read to its last byte first.

    Refuses while a training has the folder. In a bucket nobody can tell whether one writes there; what is newer than those
    that stay is left alone.

    Example: nightspot checkpoint prune checkpoints --keep 2 --dry-run
    """
    shell = shell_of(context)
    with told():
        where = _place(shell, uri)
        with where.alone():
            plan = _plan(where, keep, every, dry_run=dry_run)
            if plan.dropped and not dry_run:
                _agree(plan, yes=yes)
                for name in reversed(plan.dropped):
                    where.drop(name)
    if json:
        shell.print_json(plan)
    else:
        _say_pruned(shell, plan)


@contextmanager
def told() -> Iterator[None]:
    """Errors of checkpoints as errors of nightspot."""
    try:
        yield
    except AbsentError as error:
        raise CheckpointTrouble(str(error), ExitCode.NOT_FOUND) from error
    except DamagedError as error:
        raise CheckpointTrouble(str(error), ExitCode.DAMAGED) from error
    except FolderInUseError as error:
        raise CheckpointTrouble(str(error), ExitCode.OTHER_CONTROLLER) from error
    except (ConfigError, UnverifiableError) as error:
        raise CheckpointTrouble(str(error), ExitCode.USAGE) from error
    except (CheckpointError, OSError) as error:
        raise CheckpointTrouble(str(error), ExitCode.BACKEND) from error


def _place(shell: Shell, uri: str) -> Place:
    """Of a bucket that does not answer, the first failure is said at once: it is tried again for a while."""
    said: list[str] = []

    def waiting(why: str) -> None:
        if not said:
            shell.say(f"waiting for an answer, at most {SITTING_S:.0f} s: {why}")
        said.append(why)

    return place(uri, waiting)


def _split(shell: Shell, uri: str) -> tuple[Place, str | None]:
    """The place, and the checkpoint's name where the address ends with one."""
    before, _, last = uri.rstrip("/").rpartition("/")
    if NAME.fullmatch(last):
        return _place(shell, before or ("/" if uri.startswith("/") else ".")), last
    return _place(shell, uri), None


def _one(shell: Shell, uri: str) -> tuple[Place, str]:
    """The one that is named, or the newest that has a manifest: as a restore does, it steps over what is none."""
    where, name = _split(shell, uri)
    if name is not None:
        return where, name
    passed: list[CheckpointError] = []
    for one in where.names():
        try:
            where.manifest(one)
        except (AbsentError, DamagedError) as error:
            passed.append(error)
            shell.say(f"passed over: {error}")
            continue
        return where, one
    raise passed[0] if passed else AbsentError(f"{uri} has no checkpoints")


def _plan(where: Place, keep: int, every: int | None, *, dry_run: bool) -> Pruned:
    rows = {name: listed(where, name) for name in where.names()}
    seen: list[str] = []

    def whole(name: str) -> bool:
        """The first of them is read: it is the one that everything would hang on."""
        good = rows[name].whole and (bool(seen) or verified(where, name).whole)
        seen.extend([name] if good else [])
        return good

    names = list(rows)
    kept = chosen(names, whole, keep, every)
    gone = tuple(name for name in names if name not in kept) if seen else ()
    left = tuple(name for name in names if name not in gone)
    return Pruned(where.uri, gone, left, sum(rows[name].size_bytes or 0 for name in gone), dry_run)


def _agree(plan: Pruned, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise CheckpointTrouble(f"{plural(len(plan.dropped), 'checkpoint')} would go: say --yes", ExitCode.USAGE)
    typer.confirm(f"Drop {plural(len(plan.dropped), 'checkpoint')} ({sized(plan.freed_bytes)})?", abort=True, err=True)


def _say_pruned(shell: Shell, plan: Pruned) -> None:
    verb = "would drop" if plan.dry_run else "dropped"
    for name in plan.dropped:
        shell.out.print(f"{verb} {name}", markup=False)
    newest = f", the newest is {plan.kept[0]}" if plan.kept else ""
    freed = sized(plan.freed_bytes)
    shell.say(f"{plural(len(plan.dropped), 'checkpoint')}, {freed} {verb}; {len(plan.kept)} left{newest}")


def sized(size_bytes: float | None) -> str:
    """ "1.5 GB": in powers of ten, as disks are sold; "-" where nobody knows."""
    if size_bytes is None:
        return "-"
    step = 0
    while size_bytes >= 1000 and step < len(SIZES) - 1:
        size_bytes, step = size_bytes / 1000, step + 1
    return f"{size_bytes:.{0 if step == 0 or size_bytes >= 100 else 1}f} {SIZES[step]}"


def _when(when_utc: float | None) -> str:
    if when_utc is None:
        return "-"
    return datetime.fromtimestamp(when_utc, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


def _table(rows: list[Listed]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("checkpoint", "units done", "written (UTC)", "size", "attempt", "processes", "whole"):
        table.add_column(name, no_wrap=name in ("checkpoint", "written (UTC)"))
    for row in rows:
        known = [row.attempt, row.world_size]
        told = (
            count(row.units_done) if row.units_done is not None else "-",
            _when(row.when_utc),
            sized(row.size_bytes),
        )
        whole = Text("yes", "green") if row.whole else Text(row.fault, "red")
        table.add_row(row.name, *told, *("-" if value is None else str(value) for value in known), whole)
    return table


def _sheet(facts: Shown) -> str:
    lines = {
        "checkpoint": f"{facts.name} in {facts.uri}",
        "units done": count(facts.units_done),
        "written": f"{_when(facts.when_utc)} UTC, by attempt {facts.attempt}, {_processes(facts.world_size)}",
        "size": f"{sized(facts.size_bytes)} in {plural(len(facts.files), 'file')}, hashed with {facts.algorithm}",
        "fingerprint": facts.fingerprint or "none",
        "digest": facts.digest,
        "versions": ", ".join(f"{name} {version}" for name, version in facts.versions.items()),
        "states": ", ".join(facts.states) or "-",
    }
    sheet = [f"{name:<12} {value}" for name, value in lines.items()]
    sheet += [f"  {one.key}  {one.dtype}{list(one.shape)}  {', '.join(one.files)}" for one in facts.tensors]
    return "\n".join(sheet)


def _processes(number: int) -> str:
    return "1 process" if number == 1 else f"{number} processes"


def _verdict(row: Verified) -> str:
    if row.whole:
        return f"{row.name}  whole, {sized(row.size_bytes)} read"
    return "\n".join(f"{row.name}  DAMAGED: {fault.removeprefix(f'{row.name}: ')}" for fault in row.faults)
