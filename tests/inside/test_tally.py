"""What becomes of progress lines, whatever a script writes."""

from __future__ import annotations

import json
import math
from pathlib import Path

from nightspot.inside.pace import Turn, pace
from nightspot.inside.tally import WARNINGS_KEPT, WARNINGS_MAX, Tally


def heard(path: Path, *lines: object) -> Tally:
    with path.open("a") as file:
        for line in lines:
            file.write((line if isinstance(line, str) else json.dumps(line)) + "\n")
    tally = Tally(path)
    tally.listen()
    return tally


def test_units_never_go_back_and_kinds_that_are_unknown_do_no_harm(tmp_path: Path) -> None:
    lines = [
        {"kind": "training", "units_done": 2},
        {"kind": "progress", "units_done": 1, "metrics": {"loss": 1}},
        {"kind": "x"},
    ]
    said = heard(tmp_path / "p", *lines).document()
    assert (said["units_done"], said["trains"], said["metrics"], said["kind"]) == (2.0, True, {"loss": 1.0}, "x")


def test_nonsense_is_passed_over(tmp_path: Path) -> None:
    nonsense = ["", "{", "[1]", "null", '{"kind": 3}', "[" * 100_000, '{"kind": "progress", "units_done": "many"}']
    tally = heard(
        tmp_path / "p", *nonsense, {"kind": "progress", "units_done": True}, {"kind": "progress", "units_done": -1}
    )
    assert tally.document()["units_done"] is None
    assert not tally.document()["trains"]


def test_a_line_is_heard_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "p"
    path.write_bytes(b'{"kind": "progress", "uni')
    tally = Tally(path)
    tally.listen()
    assert tally.changes == 0
    with path.open("ab") as file:
        file.write(b'ts_done": 3}\n')
    tally.listen()
    tally.listen()
    assert (tally.changes, tally.document()["units_done"]) == (1, 3.0)


def test_a_file_that_is_not_there_or_begun_anew_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "p"
    tally = Tally(path)
    tally.listen()
    path.write_text('{"kind": "progress", "units_done": 5, "metrics": {"loss": 0.25}}\n')
    tally.listen()
    path.write_text('{"kind": "progress", "units_done": 6}\n')
    tally.listen()
    assert tally.document()["units_done"] == 6.0


def test_warnings_are_numbered_the_last_are_kept_and_there_is_an_end_to_them(tmp_path: Path) -> None:
    tally = heard(tmp_path / "p", *({"kind": "warning", "message": f"w{n}"} for n in range(1, WARNINGS_MAX + 50)))
    kept = tally.document()["warnings"]
    assert len(kept) == WARNINGS_KEPT
    assert kept[-1] == {"number": WARNINGS_MAX, "message": f"w{WARNINGS_MAX}"}


def test_done_and_training_are_urgent_and_metrics_may_be_broken(tmp_path: Path) -> None:
    done = '{"kind": "done", "units_done": 1, "metrics": {"a": NaN, "b": "x"}, "facts": {"n": 1}}'
    tally = heard(tmp_path / "p", {"kind": "training", "units_done": 0}, {"kind": "progress", "units_done": 1}, done)
    assert tally.urgent == 2
    found = tally.document()["done"]
    assert math.isnan(found["metrics"].pop("a"))
    assert found == {"units_done": 1.0, "metrics": {}, "facts": {"n": "1"}}


def test_the_pace_follows_market_time_within_reason() -> None:
    assert (pace(1.0).look_s, pace(1.0).report_s, pace(1.0).trouble_s) == (3.0, 15.0, 60.0)
    assert (pace(240.0).look_s, pace(240.0).report_s, pace(240.0).trouble_s) == (0.25, 0.5, 2.0)


def test_after_trouble_the_next_turn_comes_ever_later_and_after_success_as_ever() -> None:
    turn = Turn(every_s=1e-9, trouble_s=1e6)
    assert turn.due()
    for _ in range(60):
        turn.badly()
    assert turn.troubled
    assert not turn.due()
    turn.well()
    assert not turn.troubled
    assert turn.due()
