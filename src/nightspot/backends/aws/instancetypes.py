"""Instance types by their names: a misspelt one is refused by AWS in the middle of the night, and known here before."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from typing import Iterator

from botocore.session import Session

from nightspot.backends.aws.look import Case, fine
from nightspot.night.ports import Finding


def instance_types(case: Case) -> Iterator[Finding]:
    """Whether boto3 knows each of them. AWS has new ones first: not fatal."""
    for asked in case.asked:
        strange = [name for name in asked.instance_types if name not in known_types()]
        for name in strange:
            yield Finding(
                f"pool {asked.pool.id} asks for {name}, which is not among the training instance types that this boto3 knows",
                f"{did_you_mean(name)}AWS refuses a type that it does not have; a newer boto3 knows newer ones.",
            )
        if asked.instance_types and not strange:
            yield fine(f"boto3 knows the instance type of pool {asked.pool.id}: {', '.join(asked.instance_types)}")


@cache
def known_types() -> frozenset[str]:
    """All types for training, as far as the boto3 that is installed knows."""
    session = Session()
    return frozenset(session.get_service_model("sagemaker").shape_for("TrainingInstanceType").enum)


def did_you_mean(name: str) -> str:
    """A question with a blank behind it; "" where nothing is near."""
    near = get_close_matches(name, sorted(known_types()), n=1, cutoff=0.8)
    return f"Did you mean {near[0]}? " if near else ""
