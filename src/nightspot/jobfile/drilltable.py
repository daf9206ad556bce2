"""`[drill]` of the job file: how `nightspot drill` shortens the training, and where it writes."""

from __future__ import annotations

import re
from typing import Any, Literal, Optional, get_args

from pydantic import Field, field_validator, model_validator

from nightspot.jobfile.fields import Command, Environment, SomeDuration, Text, wrong
from nightspot.jobfile.settings import Table

CaseName = Literal[
    "notice",
    "kill",
    "during-save",
    "after-save",
    "truncated",
    "flipped",
    "twice",
    "before-first",
    "clean-machine",
]
CASE_NAMES: tuple[str, ...] = get_args(CaseName)
TWO_MINUTES: Any = "120s"
LIKE_AN_EXPRESSION = r"Write it like 'step (?P<step>\d+) loss (?P<loss>\S+)', in single quotes."


class DrillTable(Table):
    """For `nightspot drill`: nothing in it but `unproven` concerns a real night."""

    command: Optional[Command] = Field(
        default=None,
        description="What trains in the drill, the same program with less to do. Without it: the job's command.",
        examples=["{python} train.py --epochs 3 --sample 0.01"],
    )
    args: Optional[Command] = Field(
        default=None, description="More arguments, after all others.", examples=["--epochs 3 --sample 0.01"]
    )
    environment: Environment = Field(
        default_factory=dict,
        description="More environment variables, in the drill.",
        examples=[{"WANDB_MODE": "disabled"}],
    )
    losses: Optional[Text] = Field(
        default=None,
        description="A file of JSON lines with `loss`, and `step` where it has one, that the program writes.",
        examples=["logs/loss.jsonl"],
    )
    loss_pattern: Optional[str] = Field(
        default=None,
        description="An expression for its output, with a group named loss, and perhaps one named step.",
        examples=[r"step (?P<step>\d+) loss (?P<loss>\S+)"],
    )
    artifact: Optional[Text] = Field(
        default=None,
        description="The finished model: a file or a folder. Without it: the job's.",
        examples=["model.pt"],
    )
    checkpoints: Optional[Text] = Field(
        default=None,
        description="The folder that the program itself names, or its files. Without it: the one nightspot gives it.",
        examples=["ckpt", "out/ckpt-*.pt"],
    )
    paths: list[Text] = Field(
        default_factory=list,
        max_length=100,
        description="More folders that it writes to: each case gets a copy of its own.",
        examples=[["runs", "~/.cache/huggingface"]],
    )
    store: Optional[Text] = Field(
        default=None,
        description="A bucket for nightspot.checkpoint in the drill; what it puts there is removed at the end. Without it: no bucket.",
        examples=["s3://bucket/drills"],
    )
    survives: Optional[list[Text]] = Field(
        default=None,
        max_length=100,
        description="Folders that outlive a machine. Without it: that of the checkpoints; none where `store` is given.",
        examples=[["ckpt"]],
    )
    cases: Optional[list[CaseName]] = Field(
        default=None, description="Ways to be interrupted. Without it: all.", examples=[["kill", "notice"]]
    )
    seed: int = Field(
        default=0, ge=0, le=2**31 - 1, description="What the steps and bytes to hit are drawn from.", examples=[0]
    )
    every: Optional[int] = Field(
        default=None,
        ge=1,
        le=10**9,
        description="Steps between two checkpoints of nightspot.checkpoint. Without it: about eight checkpoints in all.",
        examples=[20],
    )
    grace: SomeDuration = Field(
        default=TWO_MINUTES,
        description="From the notice to the kill.",
        examples=["120s"],
    )
    time: Optional[SomeDuration] = Field(
        default=None, description="Begins no further case that would end later than that.", examples=["10min"]
    )
    noise: int = Field(
        default=5, ge=2, le=50, description="Uninterrupted runs, where the first two differ.", examples=[5]
    )
    allow_noise: bool = Field(
        default=False,
        description="Whether a model within the noise of uninterrupted runs is good enough.",
        examples=[True],
    )
    parallel: Optional[int] = Field(
        default=None,
        ge=1,
        le=64,
        description="Trainings at a time. Without it: one, and on a machine without a GPU as many as have a core.",
        examples=[2],
    )
    unproven: Literal["warn", "refuse", "on-demand"] = Field(
        default="warn",
        description="A new night with Spot pools, and no passed drill of the training as it is now: "
        '"warn", "refuse" it, or play it without Spot ("on-demand").',
        examples=["warn"],
    )

    @field_validator("cases")
    @classmethod
    def _some(cls, value: Optional[list[CaseName]]) -> Optional[list[CaseName]]:
        if value is not None and not value:
            raise wrong("there is nothing to play", "Name one, or leave the key out.")
        return value

    @field_validator("loss_pattern")
    @classmethod
    def _expression(cls, value: Optional[str]) -> Optional[str]:
        if value is None:
            return None
        try:
            groups = re.compile(value).groupindex
        except re.error as error:
            raise wrong(f"this is no regular expression ({error})", LIKE_AN_EXPRESSION) from None
        if "loss" not in groups:
            raise wrong("it has no group named loss", LIKE_AN_EXPRESSION)
        return value

    @field_validator("store")
    @classmethod
    def _bucket(cls, value: Optional[str]) -> Optional[str]:
        if value is not None and not value.startswith("s3://"):
            raise wrong("expected a bucket", 'Write it like "s3://bucket/drills".')
        return value

    @model_validator(mode="after")
    def _one_source(self) -> DrillTable:
        if self.losses is not None and self.loss_pattern is not None:
            raise wrong("`losses` says already where losses are", "Keep one of them.", "loss_pattern")
        return self
