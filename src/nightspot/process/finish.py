"""The last of an Attempt: its model examined and published, and exit.json as it will stand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nightspot.process.artifact import Artifact, NotPublishedError, examine, fault, publish, write_lineage
from nightspot.process.folder import AttemptFolder
from nightspot.process.markettime import MarketTime
from nightspot.process.spec import AttemptSpec
from nightspot.process.verdict import Past, Verdict, judge, last_words


@dataclass(frozen=True, slots=True)
class Ended:
    """An Attempt of which nothing runs any more."""

    spec: AttemptSpec
    folder: AttemptFolder
    past: Past
    at_utc: float
    units_done: float


def finished(ended: Ended, clock: MarketTime) -> dict[str, Any]:
    """What exit.json shall say."""
    verdict = judge(ended.past, last_words(ended.folder.output))
    made: Artifact | None = None
    if verdict.kind == "succeeded" and ended.spec.artifact is not None:
        verdict, made = _deliver(ended, Path(ended.spec.artifact), clock)
    done = ended.past.done
    return {
        **verdict.as_json(),
        "at_utc": ended.at_utc,
        "exit_code": ended.past.exit_code,
        "artifact_sha256": made.sha256 if made is not None else None,
        "metrics": {n: v for n, v in done.metrics.items() if math.isfinite(v)} if done is not None else {},
        "facts": dict(done.facts) if done is not None else {},
        "units_done": ended.units_done,
    }


def _deliver(ended: Ended, artifact: Path, clock: MarketTime) -> tuple[Verdict, Artifact | None]:
    """The model where it belongs, or why not. Training it again would not help."""
    missing = fault(artifact, ended.spec.artifact_before)
    if missing is not None:
        return Verdict("failed", "exited", missing, final=True), None
    try:
        made = examine(artifact)
        if ended.spec.publish is not None:
            made = publish(made, Path(ended.spec.publish))
        write_lineage(made, _lineage(ended, clock))
    except (OSError, NotPublishedError) as error:
        return Verdict("failed", "exited", str(error), final=True), None
    return Verdict("succeeded", "exited"), made


def _lineage(ended: Ended, clock: MarketTime) -> dict[str, Any]:
    """Where the model comes from."""
    spec, done = ended.spec, ended.past.done
    return {
        **spec.lineage,
        "run_id": spec.run_id,
        "attempt": spec.number,
        "token": spec.token,
        "pool_id": spec.pool_id,
        "finished_utc": ended.at_utc,
        "finished_real_utc": spec.anchor_real_utc + clock.real_s(ended.at_utc - spec.anchor_market_utc),
        "units_done": ended.units_done,
        "metrics": dict(done.metrics) if done is not None else {},
        "facts": dict(done.facts) if done is not None else {},
    }
