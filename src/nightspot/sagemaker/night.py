"""What a night came to, for a notebook."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Mapping


@dataclass(frozen=True, slots=True)
class Night:
    """The facts of a night that is over. `facts` is all of them: the JSON of `nightspot run --json`, see docs/reference/cli.md.

    `outcome`: completed, failed, no-capacity, expired or cancelled. `late`: it ended after the deadline. Amounts are USD; `saving_percent`
    is against the same work wholly on on-demand. `deadline_utc` and `finished_utc` are ISO 8601.
    """

    run_id: str
    outcome: str
    late: bool
    why: str
    cost_usd: float
    saving_usd: float
    saving_percent: float
    interruptions: int
    deadline_utc: str
    finished_utc: str | None
    artifact: str | None
    model_sha256: str | None
    job_file: Path
    exit_code: int
    facts: Mapping[str, Any] = field(repr=False)

    @property
    def completed(self) -> bool:
        """Whether there is a model."""
        return self.outcome == "completed"

    @classmethod
    def of(cls, facts: Mapping[str, Any], job_file: Path, exit_code: int) -> Night:
        """From the JSON of a run."""
        return cls(
            run_id=facts["run_id"],
            outcome=facts["outcome"],
            late=facts["late"],
            why=facts["why"],
            cost_usd=facts["cost_usd"],
            saving_usd=facts["saving_usd"],
            saving_percent=facts["saving_percent"],
            interruptions=facts["interruptions"],
            deadline_utc=facts["deadline_utc"],
            finished_utc=facts["finished_utc"],
            artifact=facts["artifact"],
            model_sha256=facts["model_sha256"],
            job_file=job_file,
            exit_code=exit_code,
            facts=facts,
        )
