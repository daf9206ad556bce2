"""The entry point: `nightspot`. Commands live in their own modules; here they get a shell, and their errors one line."""

from __future__ import annotations

import inspect
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Optional, Sequence

import typer

import nightspot
from nightspot.cli.backtest import backtest
from nightspot.cli.backtestoptions import Backtest
from nightspot.cli.checkpoint import checkpoint
from nightspot.cli.doctor import doctor
from nightspot.cli.drill import drill
from nightspot.cli.emulate import emulate
from nightspot.cli.home import Home
from nightspot.cli.iam import iam
from nightspot.cli.logs import logs
from nightspot.cli.market import market
from nightspot.cli.run import run
from nightspot.cli.shell import Shell
from nightspot.cli.show import history, report, status
from nightspot.cli.start import init, schema
from nightspot.cli.stop import stop
from nightspot.cli.troubles import describe, keep_traceback
from nightspot.cli.why import why
from nightspot.errors import ExitCode, NightspotError

GLOBAL_VALUES = ("--home",)
GLOBAL_FLAGS = ("--debug",)

app = typer.Typer(
    name="nightspot",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:  # noqa: FBT001 - typer calls it
    if asked:
        typer.echo(f"nightspot {nightspot.__version__}")
        raise typer.Exit


@app.callback()
def shell(
    context: typer.Context,
    *,
    home: Annotated[
        Optional[Path],
        typer.Option(
            help="Where the journal and the attempts are kept. Default: $NIGHTSPOT_HOME, else the user's state folder."
        ),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of a fault in nightspot itself.")] = False,
    version: Annotated[
        Optional[bool], typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = None,
) -> None:
    """Train on capacity that can be taken away, and have the model ready by morning.

    A job file says what to train, by when, and on which pools. Each night is one run of it: on Spot while that is safe, on
    on-demand when the deadline needs it, resumed from checkpoints in between.

    Example: nightspot init, then nightspot run nightspot.toml, then nightspot report last
    """
    del debug, version  # main() looks at the one, its callback did the other
    context.obj = Shell.of(home)


def flowing(text: str | None) -> str:
    """A docstring as paragraphs that the terminal may break where it likes."""
    paragraphs = inspect.cleandoc(text or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


for command in (init, schema, doctor, iam, run, status, history, logs, stop, report, why, emulate, drill):
    app.command(name=command.__name__, help=flowing(command.__doc__))(command)

app.command(name="backtest", cls=Backtest, help=flowing(backtest.__doc__))(backtest)

for inner in (*checkpoint.registered_commands, *market.registered_commands):
    inner.help = flowing(inner.callback.__doc__ if inner.callback else "")
app.add_typer(checkpoint, help="Look at checkpoints in a folder or a bucket, verify them, drop old ones.")
app.add_typer(market, help="What is known of Spot capacity: learn it from recorded traces, and look at it.")


def main() -> None:
    """`nightspot` on the command line."""
    sys.exit(invoke(sys.argv[1:]))


def invoke(arguments: Sequence[str]) -> int:
    """Run one command; its exit code. One line on stderr for what goes wrong, and no traceback for a user's mistake."""
    words = globals_first(arguments)
    try:
        app(words, prog_name="nightspot")
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else int(done.code is not None)
    except NightspotError as error:
        return _failed(words, error, error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except Exception as error:
        return _failed(words, error, ExitCode.BUG)
    return ExitCode.OK


def globals_first(arguments: Sequence[str]) -> list[str]:
    """Options of nightspot itself may stand after the command, too."""
    first: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            return [*first, *rest, word, *words]
        if word in GLOBAL_VALUES:
            first += [word, *[value for value in [next(words, None)] if value is not None]]
        elif word in GLOBAL_FLAGS or word.startswith(tuple(f"{name}=" for name in GLOBAL_VALUES)):
            first.append(word)
        else:
            rest.append(word)
    return [*first, *rest]


def _failed(words: Sequence[str], error: Exception, code: ExitCode) -> int:
    if "--debug" in words:
        traceback.print_exc()
    sentence = describe(error)
    if code is ExitCode.BUG:
        kept = keep_traceback(Home.of(_home(words)).faults, error)
        sentence = f"a fault in nightspot itself: {sentence}; {kept}"
    typer.echo(f"nightspot: {sentence}", err=True)
    return code


def _home(words: Sequence[str]) -> Path | None:
    """The --home among them, where the command did not come so far as to know it."""
    given = [after for word, after in zip(words, [*words[1:], ""], strict=True) if word == "--home" and after]
    given += [word.partition("=")[2] for word in words if word.startswith("--home=")]
    return Path(given[-1]) if given else None
