"""`nightspot iam`: the least that the controller must be allowed to do."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Optional

import typer

from nightspot.backends.aws.iam import policy
from nightspot.cli.run import JOB_FILE
from nightspot.cli.shell import shell_of
from nightspot.jobfile import load_job, plan_night


def iam(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The job file.")] = Path(JOB_FILE),
    *,
    set_: Annotated[
        Optional[list[str]],
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change one key of the job file, for this command. May be repeated."
        ),
    ] = None,
    read_only: Annotated[
        bool,
        typer.Option("--read-only", help="Only what status, report and doctor need: nothing that launches or stops."),
    ] = False,
) -> None:
    """Print the least IAM policy that the controller of this job's SageMaker nights needs, as JSON.

    It may create, see and stop trainings whose names begin with the job's, pass its one role to SageMaker, and use its own
    prefixes in the bucket: no training of another job can be stopped with it. Nothing is asked of AWS.

    Example: nightspot iam nightspot.toml > policy.json
    """
    shell = shell_of(context)
    job_file = load_job(file, set_ or ())
    plan = plan_night(job_file, time.time(), "", shell.home.run_folder)
    typer.echo(json.dumps(policy(plan.job, job_file.file, read_only=read_only), indent=2))
