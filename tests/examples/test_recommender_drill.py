"""The drill proves the example: killed, killed within a save, and with a bit flipped, it ends with the same model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nightspot.cli.app import invoke
from nightspot.errors import ExitCode
from tests.drill.engine_jobs import everything_in, needs_bwrap

pytestmark = needs_bwrap


def test_the_recommender_resumes_exactly(recommender: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = everything_in(recommender)
    words = ["drill", str(recommender / "nightspot.toml"), "--home", str(tmp_path / "home"), "--json"]
    assert invoke([*words, "--cases", "kill,during-save,flipped"]) == ExitCode.OK
    told = json.loads(capsys.readouterr().out)
    cases = {one["case"]: one for one in told["cases"]}
    assert told["verdict"] == "EXACT" and set(cases) == {"kill", "during-save", "flipped"}
    assert all(one["weights_match"] and one["loss_match"] for one in cases.values())
    assert cases["flipped"]["redone_steps"] > cases["kill"]["redone_steps"] > 0  # one checkpoint further back
    assert {name for name in everything_in(recommender) if "__pycache__" not in name} == {
        name for name in before if "__pycache__" not in name
    }
