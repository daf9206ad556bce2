"""A training process is told how often to save, and how soon to expect an interruption, in its own seconds."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from nightspot.backends.saving import ON_DEMAND_EVERY_S, interruption_every_s, saving_environment
from nightspot.checkpoint.settings import Wishes, read
from nightspot.model.capacity import Market, Pool
from nightspot.model.job import Checkpointing
from nightspot.night.ports import LaunchSpec
from tests.backends.specs import job, pool, spec

SPOT, ON_DEMAND = pool(), pool(market=Market.ON_DEMAND)


def asked(checkpoint: Checkpointing, on: Pool = SPOT) -> LaunchSpec:
    return spec(on, replace(job(on), checkpoint=checkpoint))


def test_a_time_is_told_as_seconds_alone() -> None:
    told = saving_environment(asked(Checkpointing(interval_s=600.0)), 1.0)
    assert told == {"NIGHTSPOT_CHECKPOINT_INTERVAL_S": "600.0"}


def test_a_store_is_told_and_wins_over_the_scripts_and_without_one_the_scripts_counts() -> None:
    told = saving_environment(asked(Checkpointing(store="s3://bucket/ck/run-1")), 1.0)
    wishes = Wishes(Path("c"), None, None, "s3://bucket/of-the-script")
    assert read(told, wishes).store == "s3://bucket/ck/run-1"
    assert read(saving_environment(asked(Checkpointing()), 1.0), wishes).store == "s3://bucket/of-the-script"


def test_steps_and_units_are_told_in_words_and_as_the_time_that_plans_reckon_with() -> None:
    assert saving_environment(asked(Checkpointing(interval_s=720.0, interval="2 units")), 1.0) == {
        "NIGHTSPOT_CHECKPOINT_INTERVAL": "2 units",
        "NIGHTSPOT_CHECKPOINT_INTERVAL_S": "720.0",
    }


def test_auto_is_told_all_that_it_reckons_with_in_real_seconds() -> None:
    on = replace(SPOT, interruption_every_s=7200.0)
    assert saving_environment(asked(Checkpointing(interval="auto"), on), 60.0) == {
        "NIGHTSPOT_CHECKPOINT_INTERVAL": "auto",
        "NIGHTSPOT_CHECKPOINT_INTERVAL_S": "15.0",
        "NIGHTSPOT_INTERRUPTION_EVERY_S": "120.0",
        "NIGHTSPOT_TIME_SCALE": "60.0",
    }


def test_where_nobody_knows_the_training_reckons_with_what_is_usual() -> None:
    told = saving_environment(asked(Checkpointing(interval="auto")), 1.0)
    assert "NIGHTSPOT_INTERRUPTION_EVERY_S" not in told


@pytest.mark.parametrize("interval", ["auto", "500 steps", "1 unit"])
@pytest.mark.parametrize("on", [SPOT, ON_DEMAND, replace(SPOT, interruption_every_s=7200.0)])
@pytest.mark.parametrize("time_scale", [1.0, 60.0])
def test_what_is_told_is_understood(interval: str, on: Pool, time_scale: float) -> None:
    told = saving_environment(asked(Checkpointing(interval=interval), on), time_scale)
    heard = read(told, Wishes(None, "3 epochs", None))
    assert (heard.rule.text, heard.longest_s) == (interval, 900.0 / time_scale)
    known_s = interruption_every_s(on, None) if interval == "auto" else None
    assert heard.hazard.every_s == (None if known_s is None else known_s / time_scale)
    assert heard.hazard.time_scale == time_scale


def test_past_nights_know_better_than_a_trace_and_on_demand_breaks_seldom() -> None:
    taught = replace(SPOT, interruption_every_s=7200.0)
    assert interruption_every_s(taught, 60.0) == 7200.0
    assert interruption_every_s(SPOT, 60.0) == 60.0
    assert interruption_every_s(SPOT, math.inf) == ON_DEMAND_EVERY_S
    assert interruption_every_s(ON_DEMAND, 60.0) == ON_DEMAND_EVERY_S
    assert interruption_every_s(SPOT, None) is None
