"""The job file that `nightspot init` writes: complete, commented, and running as it stands."""

from __future__ import annotations

from nightspot.jobfile.fields import slugged
from nightspot.jobfile.tomltext import show

TEMPLATE = """\
# A training job, its deadline, and where it may run. `nightspot schema` prints the schema for your editor;
# every key is explained in docs/job-file.md. Keys behind a # are set to their default, or are examples.

name = {name}
# Any program. No shell: a text is split into words. {{python}} is the Python that nightspot runs on.
command = {command}
# directory = "."                     # where it runs, from this file's folder
# artifact = {{ path = "model.pt", publish = "models/{{name}}-{{night}}.pt" }}   # the finished model, and its final name
# environment = {{ OMP_NUM_THREADS = "4" }}

# What weighs Spot and on-demand: planned, reserve, greedy, timed-fallback, uniform-progress, spot-only or on-demand.
# The guard stands around each: it keeps enough time to finish on on-demand.
policy = "planned"

# Compresses market time on this machine: with 60, an hour passes in a minute.
# time_scale = 60

[work]                                # how much there is to do; say rather too much than too little
units = {units}
unit = {unit}
each = {each}
# total = "4h"                        # instead of `each`

[deadline]
start = {start}                       # the window opens; without it, it opens at once
at = {at}                          # the model is ready: the next such time
timezone = {timezone}
reserve = "10min"                     # what must still fit after training: upload, promotion
# miss_means = "The shop shows yesterday's recommendations."

# Capacity that can be taken away. Here it is made up: the seed decides when there is any.
[[pools]]
id = "spot"
backend = "local"
market = "spot"
price = 0.92                          # USD an hour, for the whole attempt
capacity = {{ seed = 7 }}               # or "always", "never", {{ trace = "zone-a.json", from = 0.25 }}
notice = "2min"                       # between the notice and the kill; "0s" for none
# speed = 1.0                         # seconds of work done in one second
# launch_delay = "2min"

# Capacity that keeps the deadline. There must be at least one such pool.
[[pools]]
id = "on-demand"
backend = "local"
market = "on-demand"
price = 3.06
# bounds = {{ lead = "3min", stop = "30s", refusal = "5s", save = "10s" }}   # how long things take, until measured

[checkpoint]
interval = "auto"                     # or "15min", "500 steps", "1 epoch": how often to save
# directory = "checkpoints/{{run_id}}"
# pattern = "ckpt-*.pt"               # for a script that saves and resumes by itself

[drill]                               # `nightspot drill` interrupts the job, shortened, on purpose: does it resume?
# args = "--epochs 4 --sample 0.01"   # after the job's own arguments: several checkpoints should fall into it
# checkpoints = "checkpoints"         # where the script saves, if it does not ask nightspot
# losses = "loss.jsonl"               # or loss_pattern = 'loss (?P<loss>\\S+)', for its output
# unproven = "warn"                   # or "refuse", "on-demand": what `run` does with Spot until that has passed

[limits]
attempts = 50                         # launches in all; the last is kept for on-demand
failures = 3                          # failed attempts in a row without a new checkpoint
# cost = 20.0                         # USD for the night
# on_limit = "alert"                  # at the cost limit the deadline wins; "stop": the limit does
# no_progress = "45min"

[hooks]                               # commands that tell somebody
# success = "notify-send 'the model is ready'"
# failure = "notify-send 'no model tonight'"
# risk = "notify-send 'it may become late'"
# risk_after = "10min"                # on-demand asked for, and not there after so long
# risk_slack = "15min"

[training]
# hyperparameters = {{ seed = 1, learning_rate = 0.01 }}
# channels = {{ train = "data/train" }}
# code = ["train.py", "src/**/*.py"]  # default: the files that the command names
# sagemaker = true                    # SM_* variables and /opt/ml, for scripts written for SageMaker
"""


def starter(
    name: str = "my-model",
    command: str = "{python} train.py",
    *,
    units: float = 20,
    unit: str = "epoch",
    each: str = "12min",
    start: str = "20:00",
    at: str = "08:00",
    timezone: str = "UTC",
) -> str:
    """The text of a `nightspot.toml`, from a few answers. It loads, if the answers make sense."""
    return TEMPLATE.format(
        name=show(slugged(name) or "my-model"),
        command=show(command),
        units=show(units),
        unit=show(unit),
        each=show(each),
        start=show(start),
        at=show(at),
        timezone=show(timezone),
    )
