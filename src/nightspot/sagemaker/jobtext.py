"""The job file that `nightspot init --from-training-job` writes: complete, commented, and right as it stands."""

from __future__ import annotations

import re
import textwrap
from typing import Iterator

from nightspot.jobfile.durations import format_duration
from nightspot.jobfile.tomltext import show
from nightspot.sagemaker.onboarding import AT_HOUR, Measured, Onboarded

WIDTH, COLUMN = 110, 38
# A key with its value, three spaces, a comment; the key may be one that is commented out.
BEHIND = re.compile(r"((?:# )?[a-z_\[].*?)\s{3,}# (.*)")
REQUEST_FILE = "request.json"
TEMPLATE = """\
# Written by `nightspot init --from-training-job {source}`.
# Every key is explained in docs/job-file.md, the way from here to the first night in docs/sagemaker.md.
# Keys behind a # are set to their default, or are examples.
{warnings}
name = {name}
policy = "planned"
# artifact = {{ path = "model.pt", publish = "s3://bucket/models/{{night}}/model.pt" }}   # a file of the model's archive

[sagemaker]
# How the job was asked for: image, script, hyperparameters, channels, role.{limits}
template = "{request}"
region = {region}
{checkpoints}
{progress}
wrapper = {wrapper}                       # our wrapper travels with the script
# overrides = {{ HyperParameters = {{ epochs = "20" }} }}
# tags = {{ team = "search" }}

# {work_why}
[work]
{work}

[deadline]
start = "{start:02d}:00"                     # the window opens
at = "{at:02d}:00"                        # the model is ready: the next such time
timezone = "UTC"
reserve = {reserve}                     # from the end of training to the deadline: the model's upload, its promotion
# miss_means = "The shop shows yesterday's recommendations."

# Capacity that can be taken away, at a part of the price. More types, a pool each, find capacity more often.
[[pools]]
id = "spot"
backend = "sagemaker"
market = "spot"
instance_type = {instance_type}
{spot_price}
{spot_bounds}

# Capacity that keeps the deadline. There must be at least one such pool.
[[pools]]
id = "on-demand"
backend = "sagemaker"
market = "on-demand"
instance_type = {instance_type}         # or several: instance_types = [{instance_type}, "ml.g6.xlarge"]
{full_price}
{bounds}

[checkpoint]
interval = "15min"                    # how often the script saves, at least
{pattern}

[limits]
attempts = 50                         # launches in all; the last is kept for on-demand
failures = 3                          # failed attempts in a row without a new checkpoint
# cost = 20.0                         # USD for the night
# no_progress = "45min"

# [hooks]                             # commands that tell somebody
# risk = "notify-send 'the model may become late'"
# risk_slack = "15min"

# To play the night on this machine first, take the # from these lines, name your own folders, and call
# `nightspot run --emulate --set time_scale=240`. Buckets are empty there but for what is named here.
# [emulator]
# source = "."                        # the folder of the script
# data = {data}   # a little of each channel is enough
"""


def job_text(job: Onboarded) -> str:
    """The text of the `nightspot.toml`. It loads, beside its request."""
    return aligned(_filled(job))


def _filled(job: Onboarded) -> str:
    start = (AT_HOUR - job.window_h) % 24
    return TEMPLATE.format(
        source=job.source,
        warnings="\n".join(_comments(job)),
        name=show(job.name),
        request=REQUEST_FILE,
        region=show(job.region),
        limits=_limits(job),
        checkpoints="\n".join(_checkpoints(job)),
        progress=_progress(job),
        wrapper=show(job.wrapper),
        work_why=f"How long training takes: {job.work.why}.",
        work="\n".join(_work(job)),
        start=start,
        at=AT_HOUR,
        reserve=show(format_duration(job.reserve_s)),
        instance_type=show(job.instance_type),
        spot_price=_spot_price(job),
        spot_bounds=_bounds(job.lead["spot"]),
        full_price=_full_price(job),
        bounds=_bounds(job.lead["on-demand"]),
        data=show(
            {
                channel["ChannelName"]: f"data/{channel['ChannelName']}"
                for channel in job.request.get("InputDataConfig", ())
            }
        ),
        pattern=f"pattern = {show(job.saving.pattern)}" if job.saving.pattern else '# pattern = "ckpt-*.pt"',
    )


def aligned(text: str) -> str:
    """The comments behind keys in one column, where the line has room for it."""
    return "\n".join([_aligned(line) for line in text.split("\n")])


def _aligned(line: str) -> str:
    found = BEHIND.fullmatch(line)
    return f"{found[1]:<{COLUMN - 2}}  # {found[2]}" if found else line


def _limits(job: Onboarded) -> str:
    if not job.limits:
        return ""
    told = ", ".join(f"{key} {value}" for key, value in job.limits.items())
    return f"\n# Its limits then ({told})\n# are left out: nightspot sets them by the deadline."


def _comments(job: Onboarded) -> Iterator[str]:
    for warning in job.warnings:
        yield "#"
        yield from textwrap.wrap(warning, WIDTH, initial_indent="# WARNING: ", subsequent_indent="#   ")
    yield ""


def _checkpoints(job: Onboarded) -> Iterator[str]:
    if not job.request.get("CheckpointConfig"):
        yield "# WARNING: the job had none. This is a place beside its models; the script must save to /opt/ml/checkpoints."
    yield f"checkpoints = {show(job.checkpoints)}   # each run gets a folder of its own in it"


def _progress(job: Onboarded) -> str:
    told = {
        "manifests": "our library's manifests, which lie there already",
        "files": "the number in the names of the script's own files, see [checkpoint]",
        "none": 'nothing tells; or "manifests" (our library), "files" (by checkpoint.pattern), "metric"',
    }
    return f"progress = {show(job.saving.progress)}   # {told[job.saving.progress]}"


def _work(job: Onboarded) -> Iterator[str]:
    if job.epochs is not None:
        yield f"units = {job.epochs:g}"
        yield 'unit = "epoch"'
    yield f"total = {show(format_duration(job.work.seconds))}"


def _spot_price(job: Onboarded) -> str:
    if job.share is None:
        return "# price = 0.42                      # none of these jobs ran on Spot: it is looked up each night"
    share, jobs = job.share
    told = f"{jobs} Spot job{'s' if jobs != 1 else ''} of these paid {share:.0%} of the on-demand price"
    if job.price_usd_per_hour is None:
        return f"# price = 0.42                      # looked up each night. {told}"
    return f"price = {job.price_usd_per_hour * share:.4g}   # an estimate: {told}"


def _full_price(job: Onboarded) -> str:
    if job.price_usd_per_hour is None:
        return "# price = 1.41                      # it is looked up each night; with a private rate, write yours"
    return f"price = {job.price_usd_per_hour:.4g}   # {job.price_source}; with a private rate, write yours"


def _bounds(lead: Measured) -> str:
    """The comment stands on a line of its own: it is long."""
    return f"# Start-up: {lead.why}.\nbounds = {{ lead = {show(format_duration(lead.seconds))} }}"
