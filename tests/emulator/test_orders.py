"""An interruption on order: by a file in the state folder, for one job, once."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Callable

import pytest

from nightspot.emulator.orders import KILL, NOTICE, Orders
from tests.emulator.stage import PATIENCE_S, stage, statuses
from tests.emulator.test_life import did


def until(done: Callable[[], bool]) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < until_s
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("how", "died"),
    [(NOTICE, ["download", "start", "terminate", "kill", "discard"]), (KILL, ["download", "start", "kill", "discard"])],
)
def test_a_job_is_interrupted_as_ordered_and_begins_again(tmp_path: Path, how: str, died: list[str]) -> None:
    with stage(tmp_path) as at:
        at.create("wanted", hyper={"run_real_s": "600,0", "code_on_sigterm": "75"})
        at.create("other")
        at.until("wanted", "Training")
        order = Orders(tmp_path / "orders").give("wanted", how)
        until(lambda: not order.exists())
        job = at.over("wanted")
        assert statuses(job)[2:5] == ["Training", "Interrupted", "Starting"]
        assert job["SecondaryStatus"] == "Completed" and statuses(job).count("Interrupted") == 1
        assert did(at, "wanted")[0] == died and len(did(at, "wanted")) == 2
        at.until("other", "Training")
        at.fleet.of("other")[0].code = 0
        assert statuses(at.over("other")).count("Interrupted") == 0


def test_an_order_waits_until_the_job_trains(tmp_path: Path) -> None:
    order = Orders(tmp_path / "orders").give("later", KILL)
    with stage(tmp_path) as at:
        assert order.exists()
        at.create("later", hyper={"run_real_s": "600,0"})
        assert statuses(at.over("later")).count("Interrupted") == 1
        assert not order.exists()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"job": "a"}', '{"job": "a", "how": "gently"}', '{"job": 1}', " " * 5000]
)
def test_an_order_that_makes_no_sense_is_said_and_goes_and_the_next_counts(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    orders = Orders(tmp_path)
    (tmp_path / "0.json").write_text(text)
    orders.give("a", NOTICE)
    found = orders.of("a")
    assert found is not None and found.signals
    assert "0.json makes no sense" in capsys.readouterr().err and not (tmp_path / "0.json").exists()
    found.done()
    assert orders.of("a") is None and Orders(tmp_path / "nowhere").of("a") is None
