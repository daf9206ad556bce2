"""`[[pools]]` of the job file: every key with its check, default, meaning and an example."""

from __future__ import annotations

import re
from typing import Annotated, Iterator, Literal, Optional, Union

from pydantic import Discriminator, Field, Tag, model_validator

from nightspot.jobfile.fields import Duration, Name, PlainTable, SomeDuration, Text, wrong
from nightspot.jobfile.sagemakertable import REGION, SAGEMAKER
from nightspot.jobfile.settings import TABLE, WORD, Table, form

LOCAL_KEYS = ("capacity", "launch_delay", "notice", "grace")
SAGEMAKER_KEYS = ("instance_types", "full_price")
INSTANCE_TYPE = re.compile(r"ml\.[a-z0-9-]+\.[a-z0-9-]+")


class BoundsTable(Table):
    """How long a pool takes, conservatively, until measured."""

    lead: Duration = Field(description="From the request to the first unit of work.", examples=["3min"])
    stop: Optional[Duration] = Field(
        default=None, description="From being told to stop until it is confirmed ended.", examples=["2min"]
    )
    refusal: Optional[Duration] = Field(
        default=None, description="Until a request without capacity is known to be one.", examples=["30s"]
    )
    save: Optional[Duration] = Field(default=None, description="One checkpoint.", examples=["1min"])


class CapacityTable(Table):
    """Capacity from a recorded trace (`trace`) or made up from a seed (`seed`)."""

    trace: Optional[Text] = Field(default=None, description="A trace file.", examples=["traces/zone-a.json"])
    from_: Optional[float] = Field(
        default=None,
        alias="from",
        ge=0,
        lt=1,
        description="Where in the trace the window starts: 0 is its beginning.",
        examples=[0.25],
    )
    seed: Optional[int] = Field(default=None, ge=0, lt=2**63, description="Seed of the generator.", examples=[7])
    loss: Optional[float] = Field(
        default=None,
        gt=0,
        le=1e6,
        description="Capacity of that age is lost at loss / (age + scale). Default 0.9.",
        examples=[0.9],
    )
    recovery: Optional[float] = Field(
        default=None,
        gt=0,
        le=1e6,
        description="Capacity comes back at recovery / (time away + scale). Default 0.9.",
        examples=[0.9],
    )
    scale: Optional[SomeDuration] = Field(
        default=None, description="How long a state counts as young. Default 24min.", examples=["24min"]
    )
    warm_up: Optional[Duration] = Field(
        default=None, description="How much weather lies before the window. Default 4h.", examples=["4h"]
    )
    first: Optional[Literal["up", "down"]] = Field(
        default=None, description="The state when the window opens.", examples=["up"]
    )

    @model_validator(mode="after")
    def _one_source(self) -> CapacityTable:
        if (self.trace is None) == (self.seed is None):
            raise wrong("expected either `trace` or `seed`", 'Write { trace = "zone.json" } or { seed = 7 }.')
        others = ("loss", "recovery", "scale", "warm_up", "first") if self.trace is not None else ("from_",)
        for key in others:
            if getattr(self, key) is not None:
                source = "seed" if self.trace is not None else "trace"
                raise wrong(f"this belongs to `{source}`", "Leave it out.", key.rstrip("_"))
        return self


Capacity = Annotated[
    Union[Annotated[Literal["always", "never"], Tag(WORD)], Annotated[CapacityTable, Tag(TABLE)]],
    Discriminator(form),
]


class PoolTable(Table):
    """One kind of capacity that can be asked for."""

    id: Optional[Name] = Field(
        default=None,
        description="A name of your own. Without it: place and instance type (or backend) and market.",
        examples=["spot-a"],
    )
    backend: Name = Field(default="local", description="Where it runs: an installed backend.", examples=["local"])
    market: Literal["spot", "on-demand"] = Field(description="How it is bought.", examples=["spot"])
    place: str = Field(default="", description="Region or zone, in the backend's words.", examples=["eu-central-1a"])
    instance_type: str = Field(default="", description="The machine, in the backend's words.", examples=["p3.2xlarge"])
    instance_types: list[Text] = Field(
        default_factory=list,
        max_length=5,
        description="SageMaker, on-demand only: instead of `instance_type`, up to five, the best first; SageMaker takes what there is.",
        examples=[["ml.g5.xlarge", "ml.g6.xlarge"]],
    )
    price: Optional[float] = Field(
        default=None,
        ge=0,
        le=1e6,
        description="USD for one hour of the whole attempt, all its machines. Required, but on SageMaker: there it is looked up.",
        examples=[3.06],
    )
    full_price: Optional[float] = Field(
        default=None,
        ge=0,
        le=1e6,
        description="SageMaker only: your on-demand price for the same attempt, from which Spot is billed. Without it: looked up.",
        examples=[3.06],
    )
    speed: float = Field(default=1.0, gt=0, le=1e6, description="Seconds of work done in one second.", examples=[1.0])
    world_size: int = Field(default=1, ge=1, le=100_000, description="How many processes train together.", examples=[1])
    bounds: Optional[BoundsTable] = Field(
        default=None, description="How long it takes, until measured.", examples=[{"lead": "3min"}]
    )
    capacity: Optional[Capacity] = Field(
        default=None,
        description='Local only: when there is any: "always", "never", or a table. Default "always".',
        examples=["always"],
    )
    launch_delay: Optional[Duration] = Field(
        default=None,
        description="Local only: from the request to the start of the program. Default 0s.",
        examples=["2min"],
    )
    notice: Optional[Duration] = Field(
        default=None,
        description='Local only: from the notice to the kill; "0s" is no notice. Default 2min.',
        examples=["2min"],
    )
    grace: Optional[Duration] = Field(
        default=None,
        description="Local only: from our own stop to the kill, never under 2 real seconds. Default 20s.",
        examples=["20s"],
    )
    options: PlainTable = Field(
        default_factory=dict, description="Settings of another backend, in its words.", examples=[{"role": "trainer"}]
    )

    @model_validator(mode="after")
    def _backends_own(self) -> PoolTable:
        if self.backend == "local" and self.options:
            raise wrong("a local pool has its keys beside `backend`", f"Use {', '.join(LOCAL_KEYS)}.", "options")
        for key in LOCAL_KEYS:
            if self.backend != "local" and getattr(self, key) is not None:
                raise wrong("only a local pool has this", f"Leave it out: the backend is {self.backend!r}.", key)
        if self.backend == SAGEMAKER:
            self._check_sagemaker()
            return self
        for key in SAGEMAKER_KEYS:
            if key in self.model_fields_set:
                raise wrong("only a SageMaker pool has this", f"Leave it out: the backend is {self.backend!r}.", key)
        if self.price is None:
            raise wrong("it is required", "Add it, for example: price = 3.06.", "price")
        return self

    def _check_sagemaker(self) -> None:
        if self.options:
            raise wrong("a SageMaker pool's settings stand in [sagemaker]", "Move them there.", "options")
        if self.instance_types and self.market == "spot":
            remedy = "Give each type a Spot pool of its own: they are tried in turn."
            raise wrong("SageMaker takes one instance type for Spot", remedy, "instance_types")
        if self.instance_types and self.instance_type:
            raise wrong("this and `instance_type` say the same thing twice", "Keep one of them.", "instance_types")
        if not self.machine:
            raise wrong(
                "which machine it is, is not said",
                'Add it, for example: instance_type = "ml.g5.xlarge".',
                "instance_type",
            )
        if self.place and REGION.fullmatch(self.place) is None:
            raise wrong("on SageMaker the place is an AWS region", 'Write it like "eu-central-1".', "place")
        for where, word in self._types():
            if INSTANCE_TYPE.fullmatch(word) is None:
                remedy = 'SageMaker\'s begin with ml.: write it like "ml.g5.xlarge".'
                raise wrong("this is no instance type of SageMaker's", remedy, *where)

    def _types(self) -> Iterator[tuple[tuple[Union[str, int], ...], str]]:
        if self.instance_type:
            yield ("instance_type",), self.instance_type
        for index, word in enumerate(self.instance_types):
            yield ("instance_types", index), word

    @property
    def machine(self) -> str:
        """The instance type, or the best of several; empty where none is named."""
        return self.instance_type or (self.instance_types[0] if self.instance_types else "")
