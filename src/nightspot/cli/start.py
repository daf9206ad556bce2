"""`nightspot init` and `nightspot schema`: what comes before the first night."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from nightspot.cli.run import JOB_FILE
from nightspot.cli.shell import Shell, shell_of
from nightspot.errors import ExitCode, NightspotError
from nightspot.jobfile import job_schema, load_job, starter
from nightspot.sagemaker.init import files, from_training_job
from nightspot.sagemaker.jobtext import REQUEST_FILE

NEXT = """\
{path} is written. Next:
  1. Put your own command, work, deadline and prices into it; every key is explained in docs/job-file.md.
  2. nightspot drill {path}
     interrupts the training on purpose: does it resume? Shorten it for that in [drill].
  3. nightspot run {path}
     trains tonight; `--set time_scale=600` first plays it on this machine, 600 times as fast.
  4. nightspot report last
     shows what happened, and what it saved."""


NEXT_ON_SAGEMAKER = """\
{path} and {request} are written. Next:
  1. Read the comments in {path}; they say what was measured, and what is missing.
  2. nightspot doctor {path}
     looks at quotas, role, buckets and prices before money is spent.
  3. nightspot run {path}
     trains tonight; then `nightspot report last` shows what it cost, and what it saved."""


class FileThereError(NightspotError):
    """A file is in the way."""

    exit_code = ExitCode.USAGE


def init(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Where to write it: a file, or a folder.")] = Path(
        JOB_FILE
    ),
    *,
    name: Annotated[str, typer.Option(help="The job's name. Default: its folder's, or the training job's.")] = "",
    from_training_job: Annotated[
        str,
        typer.Option(
            "--from-training-job", metavar="NAME", help="Write it from a SageMaker training job that has run: its name."
        ),
    ] = "",
    region: Annotated[
        str, typer.Option(metavar="REGION", help="The training job's AWS region. Default: as your AWS settings say.")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
) -> None:
    """Write a starter job file: complete, commented, and right as it stands.

    A job file says what to train, by when, and where it may run. This one plays on this machine, on made-up
    Spot capacity, so that you can see a night before you pay for one. With --from-training-job it is made of a
    training job on SageMaker that has run, with the durations of its siblings.

    Example: nightspot init training/nightspot.toml --name recommender
    """
    shell = shell_of(context)
    file = path / JOB_FILE if path.is_dir() else path
    if from_training_job:
        _from_training_job(shell, file, from_training_job, region, name, force=force)
        return
    if region:
        raise FileThereError("--region belongs to --from-training-job: a local job has none")
    _write(file, starter(name or file.absolute().parent.name), force=force)
    load_job(file)
    _say_next(shell, file)


def _from_training_job(shell: Shell, file: Path, source: str, region: str, name: str, *, force: bool) -> None:
    """Two files: the request beside the job file. Both are written, or none."""
    request = file.parent / REQUEST_FILE
    for there in (file, request):
        if there.exists() and not force:
            raise FileThereError(f"{there} is there already, and nothing was written. --force overwrites it")
    job = from_training_job(source, region, shell.home.path)
    texts = files(job, name)
    _write(request, texts["request"], force=force)
    _write(file, texts["job"], force=force)
    load_job(file)
    for warning in job.warnings:
        shell.say(f"WARNING: {warning}")
    shell.out.print(NEXT_ON_SAGEMAKER.format(path=file, request=request), markup=False, soft_wrap=True)


def _write(file: Path, text: str, *, force: bool) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w" if force else "x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise FileThereError(f"{file} is there already, and nothing was written. --force overwrites it") from None
    except OSError as error:
        raise FileThereError(f"{file} cannot be written ({error.strerror})") from None


def _say_next(shell: Shell, file: Path) -> None:
    shell.out.print(NEXT.format(path=file), markup=False, soft_wrap=True)


def schema() -> None:
    """Print the JSON Schema of the job file, for editors that complete and check TOML.

    Save it, and name it in the first line of the job file.

    Example: nightspot schema > nightspot.schema.json
    """
    typer.echo(json.dumps(job_schema(), indent=2))
