"""The job file's top level."""

from __future__ import annotations

from typing import Optional

from pydantic import Field, model_validator

from nightspot.jobfile.drilltable import DrillTable
from nightspot.jobfile.emulatortable import EmulatorTable
from nightspot.jobfile.fields import Command, Environment, Name, Text, nearest, wrong
from nightspot.jobfile.intervals import rule_of
from nightspot.jobfile.kinds import check_kinds, check_local_time
from nightspot.jobfile.pooltable import PoolTable
from nightspot.jobfile.sagemakertable import SageMakerTable
from nightspot.jobfile.settings import (
    Artifact,
    ArtifactTable,
    CheckpointTable,
    DeadlineTable,
    HooksTable,
    LimitsTable,
    Policy,
    PolicyTable,
    Table,
    TrainingTable,
    WorkTable,
)
from nightspot.policy.names import DEFAULT_POLICY, POLICY_OPTIONS


class Document(Table):
    """A training job, its deadline, and where it may run."""

    name: Name = Field(description="What the job is called.", examples=["recommender"])
    command: Optional[Command] = Field(
        default=None,
        description="What trains: any program. A text is split like a shell would, and no more. Required, but on SageMaker.",
        examples=["{python} train.py"],
    )
    directory: Text = Field(
        default=".", description="Where it runs, from the job file's folder.", examples=["training"]
    )
    environment: Environment = Field(
        default_factory=dict, description="More environment variables for it.", examples=[{"OMP_NUM_THREADS": "4"}]
    )
    time_scale: float = Field(
        default=1.0,
        ge=1,
        le=1e6,
        description="How many seconds of market time pass in a real one; on this machine only. Above 1 for tries and demonstrations.",
        examples=[60],
    )
    policy: Policy = Field(
        default=DEFAULT_POLICY,
        description="How Spot and on-demand are weighed: a name, or a table.",
        examples=["planned"],
    )
    artifact: Optional[Artifact] = Field(
        default=None, description="The finished model: its path, or a table.", examples=["model.pt"]
    )
    work: WorkTable = Field(description="How much there is to do.", examples=[{"total": "4h"}])
    deadline: DeadlineTable = Field(description="When it must be done.", examples=[{"at": "08:00"}])
    pools: list[PoolTable] = Field(
        min_length=1, max_length=100, description="Where it may run.", examples=[[{"market": "spot", "price": 0.92}]]
    )
    sagemaker: Optional[SageMakerTable] = Field(
        default=None, description="Training jobs on Amazon SageMaker.", examples=[{"template": "request.json"}]
    )
    emulator: Optional[EmulatorTable] = Field(
        default=None, description="For `nightspot run --emulate`.", examples=[{"source": "."}]
    )
    drill: DrillTable = Field(
        default_factory=DrillTable, description="For `nightspot drill`.", examples=[{"args": "--epochs 3"}]
    )
    checkpoint: CheckpointTable = Field(
        default_factory=CheckpointTable, description="Checkpoints.", examples=[{"interval": "auto"}]
    )
    limits: LimitsTable = Field(
        default_factory=LimitsTable, description="What ends a run early.", examples=[{"cost": 20.0}]
    )
    hooks: HooksTable = Field(
        default_factory=HooksTable, description="Who is told.", examples=[{"risk": "notify-send risk"}]
    )
    training: TrainingTable = Field(
        default_factory=TrainingTable, description="What the program is given.", examples=[{"sagemaker": True}]
    )

    @model_validator(mode="after")
    def _consistent(self) -> Document:
        if isinstance(self.policy, str) and self.policy not in POLICY_OPTIONS:
            raise wrong("there is no policy of that name", nearest(self.policy, POLICY_OPTIONS), "policy")
        self._check_ids()
        rule_of(self.checkpoint.interval, self.work.unit)
        check_kinds(self)
        check_local_time(self)
        return self

    def _check_ids(self) -> None:
        ids = [pool.id for pool in self.pools]
        for index, pool_id in enumerate(ids):
            if pool_id is not None and pool_id in ids[:index]:
                raise wrong("another pool has that id", "Give each its own.", "pools", index, "id")

    @property
    def words(self) -> list[str]:
        """The command's words; none where the request says what runs."""
        return self.command or []

    @property
    def policy_table(self) -> PolicyTable:
        """The policy, however it was written."""
        return PolicyTable(name=self.policy) if isinstance(self.policy, str) else self.policy

    @property
    def artifact_table(self) -> Optional[ArtifactTable]:
        """The artefact, however it was written."""
        return ArtifactTable(path=self.artifact) if isinstance(self.artifact, str) else self.artifact
