"""What is said when a training goes on."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from nightspot.checkpoint import Session, manifest
from nightspot.checkpoint.errors import DamagedError
from nightspot.checkpoint.manifest import Head, Manifest
from nightspot.checkpoint.resumed import sentence
from tests.checkpoint.helpers import flip_a_bit, save

MADE = Manifest("step-000001200", Head(3.25, 2, 1, None, {}, saved_utc=1_790_000_045.0), "sha256", ())


@pytest.mark.parametrize(
    ("later_s", "attempt", "told"),
    [
        (600.0, 2, "(saved 14:14:05 UTC by attempt 2)"),
        (86_400.0, 2, "(saved 2026-09-21 14:14:05 UTC by attempt 2)"),
        (-3600.0, 0, "(saved 14:14:05 UTC)"),
    ],
)
def test_from_where_how_old_and_by_whom(later_s: float, attempt: int, told: str) -> None:
    made = replace(MADE, head=replace(MADE.head, attempt=attempt))
    said = sentence(made, 1_790_000_045.0 + later_s)
    assert said == f"resumed at 3.25 units of work from step-000001200 {told}"


def test_what_a_checkpoint_does_not_tell_is_not_made_up() -> None:
    made = replace(MADE, head=replace(MADE.head, attempt=0, saved_utc=None))
    assert sentence(made, 0.0) == "resumed at 3.25 units of work from step-000001200"


def test_a_resume_says_so_in_one_line_and_a_beginning_says_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path, {"step": 0}, times=3)
    assert "resumed" not in capsys.readouterr().err
    save(tmp_path, {"step": 0}, times=0)
    (line,) = capsys.readouterr().err.splitlines()
    told = r"nightspot: resumed at 3 units of work from step-000000003 \(saved \d\d:\d\d:\d\d UTC\)"
    assert re.fullmatch(told, line)


def test_a_damaged_newest_one_is_named_before_the_one_that_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path, {"step": 0}, times=3)
    flip_a_bit(tmp_path / "step-000000003" / "state.json", 1)
    capsys.readouterr()
    save(tmp_path, {"step": 0}, times=0)
    damaged, taken = capsys.readouterr().err.splitlines()
    assert damaged.startswith("nightspot: warning: damaged checkpoint skipped: step-000000003: state.json")
    assert taken.startswith("nightspot: resumed at 2 units of work from step-000000002 ")


def signed(body: dict[str, object]) -> bytes:
    body = {key: value for key, value in body.items() if key != "sha256"}
    return manifest._canonical(body | {"sha256": manifest._sha256(body)})


@pytest.mark.parametrize("time_utc", [-1, 1e300, "now", [], 253402300800])
def test_a_time_that_no_calendar_has_makes_a_checkpoint_damaged(tmp_path: Path, time_utc: object) -> None:
    save(tmp_path, {"step": 0})
    body = json.loads((tmp_path / "step-000000001" / "MANIFEST.json").read_bytes())
    with pytest.raises(DamagedError):
        manifest.parse(signed(body | {"saved_utc": time_utc}), "step-000000001")


def test_a_checkpoint_from_before_times_were_told_is_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path, {"step": 0})
    path = tmp_path / "step-000000001" / "MANIFEST.json"
    path.write_bytes(signed({key: value for key, value in json.loads(path.read_bytes()).items() if key != "saved_utc"}))
    with Session({"loop": {"step": 0}}, folder=tmp_path) as session:
        assert session.restore() is not None
    assert capsys.readouterr().err == "nightspot: resumed at 1 units of work from step-000000001\n"
