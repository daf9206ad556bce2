"""The job file's tables: every key with its check, default, meaning and an example (`pooltable`: the pools; `document`: the top)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Optional, Union

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from nightspot.jobfile.buckets import StoreUri
from nightspot.jobfile.fields import (
    Channels,
    Duration,
    Moment,
    PlainTable,
    SomeDuration,
    Text,
    Zone,
    nearest,
    wrong,
)
from nightspot.jobfile.intervals import Interval
from nightspot.jobfile.placeholders import OF_ONE_RUN, names_in
from nightspot.policy.names import DEFAULT_POLICY, POLICY_OPTIONS

WORD, TABLE = "<word>", "<table>"
OPTION_KEYS = {"wait_s": "wait", "k0": "k0", "k1": "k1"}
# Defaults in the job file's own words: checked like any value, and shown so in the schema.
NOTHING: Any = "0s"
AUTO: Any = "auto"


def form(value: Any) -> str:
    return TABLE if isinstance(value, (dict, BaseModel)) else WORD


class Table(BaseModel):
    """What all tables share: no unknown key, no guessing at types, no NaN."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


class WorkTable(Table):
    """How much there is to do, at speed 1."""

    units: Optional[float] = Field(default=None, gt=0, le=1e12, description="How many units of work.", examples=[20])
    unit: Text = Field(default="unit", description="What a unit is called.", examples=["epoch"])
    each: Optional[SomeDuration] = Field(
        default=None, description="How long one unit takes, conservatively.", examples=["12min"]
    )
    total: Optional[SomeDuration] = Field(
        default=None,
        description="How long all of it takes: instead of `each`, with or without `units`.",
        examples=["4h"],
    )

    @model_validator(mode="after")
    def _complete(self) -> WorkTable:
        if self.each is not None and self.total is not None:
            raise wrong("`each` and `total` say the same thing twice", "Keep one of them.", "total")
        if self.each is None and self.total is None:
            raise wrong("how long the work takes is not said", 'Add each = "12min" or total = "4h".', "total")
        if self.units is None and self.each is not None:
            raise wrong("`each` needs a number of units", "Add it, for example: units = 20.", "units")
        if self.units is None and "unit" in self.model_fields_set:
            raise wrong(f"how many of {self.unit!r} there are is not said", "Add it, for example: units = 20.", "units")
        return self


class DeadlineTable(Table):
    """When it may begin, and when it must be done."""

    start: Optional[Moment] = Field(
        default=None, description="When the window opens. Without it: at once.", examples=["20:00"]
    )
    at: Moment = Field(
        description="When the model must be ready: a time of day (the next one), or one date with a time.",
        examples=["08:00"],
    )
    timezone: Zone = Field(default="UTC", description="The IANA time zone of these times.", examples=["Europe/Berlin"])
    reserve: Duration = Field(
        default=NOTHING,
        description="What must still fit between the end of training and the deadline.",
        examples=["10min"],
    )
    extend: Optional[Duration] = Field(
        default=None,
        description="How long a training that is late may go on after the deadline. Without it: as long as all the work takes.",
        examples=["2h"],
    )
    guard_pools: int = Field(
        default=1,
        ge=1,
        le=100,
        description="How many on-demand pools, in file order, the guard plans to ask in turn.",
        examples=[1],
    )
    miss_means: str = Field(
        default="",
        description="What a missed deadline means to the team; shown when it matters.",
        examples=["The shop shows yesterday's recommendations."],
    )


class CheckpointTable(Table):
    """Where checkpoints go, and how often. A folder that nights share would end tonight's run with last night's model."""

    directory: Optional[Text] = Field(
        default=None,
        description="Their folder, with {run_id} in it: no two runs share one. Without it: one in the run's own folder.",
        examples=["checkpoints/{run_id}"],
    )
    interval: Interval = Field(
        default=AUTO,
        description='How often: "auto" (see interval.md), a time, steps, or units of work ("2 epochs").',
        examples=["auto", "15min", "500 steps", "1 epoch"],
    )
    pattern: Optional[Text] = Field(
        default=None, description="File names of an unmodified script's checkpoints.", examples=["ckpt-*.pt"]
    )
    store: Optional[StoreUri] = Field(
        default=None,
        description="Where nightspot.checkpoint uploads to; each run has a folder of its own in it. Without it: what the script says.",
        examples=["s3://bucket/checkpoints"],
    )

    @model_validator(mode="after")
    def _names(self) -> CheckpointTable:
        if self.pattern is not None and ("*" not in self.pattern or "/" in self.pattern):
            raise wrong("expected a file name with a * in it", 'Write it like "ckpt-*.pt".', "pattern")
        if self.pattern is not None and self.store is not None:
            remedy = "Leave one of them out: only nightspot.checkpoint uploads to a store."
            raise wrong("`pattern` names an unmodified script's files, which nobody uploads", remedy, "store")
        if self.directory is not None and not OF_ONE_RUN & names_in(self.directory):
            raise wrong("each run needs a folder of its own", "Put {run_id} into it.", "directory")
        return self


class PolicyTable(Table):
    """How Spot and on-demand are weighed. The guard stands around every policy."""

    name: str = Field(
        default=DEFAULT_POLICY, description=f"One of {', '.join(POLICY_OPTIONS)}.", examples=[DEFAULT_POLICY]
    )
    wait: Optional[Duration] = Field(
        default=None, description="timed-fallback: how long to wait for Spot, in total. Default 1h.", examples=["1h"]
    )
    k0: Optional[float] = Field(
        default=None, ge=0, le=1e6, description="reserve: start-ups kept in hand.", examples=[3.0]
    )
    k1: Optional[float] = Field(
        default=None, ge=0, le=1e6, description="reserve: the same, for each hour of work left.", examples=[2.0]
    )
    second_request: bool = Field(
        default=False,
        description="A request for Spot may wait in a queue, unpaid, beside on-demand that trains; once granted it is used or dropped.",
        examples=[True],
    )
    handover: bool = Field(
        default=False,
        description="Spot may start up beside on-demand that trains, and takes over once it is ready: both are paid for meanwhile.",
        examples=[True],
    )

    @model_validator(mode="after")
    def _known(self) -> PolicyTable:
        if self.name not in POLICY_OPTIONS:
            raise wrong("there is no policy of that name", nearest(self.name, POLICY_OPTIONS), "name")
        for option, key in OPTION_KEYS.items():
            if getattr(self, key) is not None and option not in POLICY_OPTIONS[self.name]:
                owner = next(name for name, options in POLICY_OPTIONS.items() if option in options)
                raise wrong(f"the policy {self.name!r} has no such option, but {owner!r} has", "Leave it out.", key)
        return self


class LimitsTable(Table):
    """What ends a run before its work is done."""

    attempts: int = Field(
        default=50, ge=1, le=10_000, description="Launches in all; the last is kept for on-demand.", examples=[50]
    )
    failures: int = Field(
        default=3, ge=1, le=10_000, description="Failed attempts in a row, without a new checkpoint.", examples=[3]
    )
    cost: Optional[float] = Field(default=None, gt=0, le=1e9, description="USD for the whole night.", examples=[20.0])
    on_limit: Literal["alert", "stop"] = Field(
        default="alert",
        description='When `cost` is reached: "alert" lets the deadline win, "stop" ends the run.',
        examples=["alert"],
    )
    no_progress: Optional[SomeDuration] = Field(
        default=None,
        description="An attempt that reported progress, and then none for so long, is stopped.",
        examples=["45min"],
    )


class ArtifactTable(Table):
    """The finished model."""

    path: Text = Field(description="The file that the program writes.", examples=["model.pt"])
    publish: Optional[Text] = Field(
        default=None,
        description="The final name it is copied to, atomically, when the run completes.",
        examples=["models/{night}.pt"],
    )


class HooksTable(Table):
    """Commands, by the shell, that tell somebody."""

    success: Optional[Text] = Field(default=None, description="The model is ready.", examples=["notify-send ready"])
    failure: Optional[Text] = Field(
        default=None, description="The run ended without it.", examples=["notify-send failed"]
    )
    risk: Optional[Text] = Field(
        default=None, description="It may become late: before it is.", examples=["notify-send risk"]
    )
    risk_after: Optional[Duration] = Field(
        default=None, description="Risk: on-demand was asked for, and is not there after so long.", examples=["10min"]
    )
    risk_slack: Optional[Duration] = Field(default=None, description="Risk: slack is below this.", examples=["15min"])


class TrainingTable(Table):
    """What the program is given, and what it is made of."""

    hyperparameters: PlainTable = Field(
        default_factory=dict,
        description="Given to the program, and part of the run's identity.",
        examples=[{"seed": 1}],
    )
    channels: Channels = Field(
        default_factory=dict, description="Data: name and path.", examples=[{"train": "data/train"}]
    )
    code: Optional[list[Text]] = Field(
        default=None,
        description="Files whose content is part of the run's identity, as patterns. Without it: files that the command names.",
        examples=[["train.py", "src/**/*.py"]],
    )
    sagemaker: bool = Field(
        default=False, description="Surroundings for a script written for SageMaker (see below).", examples=[True]
    )


Policy = Annotated[Union[Annotated[str, Tag(WORD)], Annotated[PolicyTable, Tag(TABLE)]], Discriminator(form)]
Artifact = Annotated[Union[Annotated[Text, Tag(WORD)], Annotated[ArtifactTable, Tag(TABLE)]], Discriminator(form)]
