"""`[emulator]` of the job file: what `nightspot run --emulate` needs to play a SageMaker night on this machine."""

from __future__ import annotations

from typing import Optional

from pydantic import Field, model_validator

from nightspot.jobfile.fields import Channels, Text, wrong
from nightspot.jobfile.settings import Table

ALL_SPOT = "spot"
OURS = ("--state", "--port", "--time-scale", "--anchor-market-utc", "--anchor-real-utc", "--market", "--idle-exit")


class EmulatorTable(Table):
    """For `nightspot run --emulate`: nothing in it concerns a real night."""

    source: Optional[Text] = Field(
        default=None,
        description="The program's folder, or its archive: put where the request's source is expected.",
        examples=["."],
    )
    data: Channels = Field(
        default_factory=dict,
        description="Folders or files to put where the request's channels are read from.",
        examples=[{"train": "data/train"}],
    )
    market: dict[str, str] = Field(
        default_factory=dict,
        description="Capacity by instance type: always, never, generator:SEED or a trace file; `spot` is for all other Spot pools.",
        examples=[{"spot": "generator:7", "ml.g5.xlarge": "never", "ml.g5.xlarge:on-demand": "always"}],
    )
    options: list[str] = Field(
        default_factory=list,
        description="More options of `nightspot emulate`.",
        examples=[["--sync-every", "2min", "--faults", "throttle=0.05"]],
    )

    @model_validator(mode="after")
    def _not_ours(self) -> EmulatorTable:
        for word in self.options:
            if word.partition("=")[0] in OURS:
                raise wrong(f"{word} is set by nightspot run itself", "Leave it out; `market` has a key.", "options")
        return self
