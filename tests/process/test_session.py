"""Our own session in a real Attempt: saved on notice, gone on with by the next, exactly where it was."""

from __future__ import annotations

import json

from nightspot.model.attempt import Phase
from nightspot.night.ports import EndKind, PhaseSeen, SavedCheckpoint
from tests.process.stage import Stage

TRAINS = """
    import json, random, sys, time
    from nightspot.checkpoint import Session

    state = {"unit": 0, "drawn": []}
    with Session({"state": state}) as session:
        session.restore()
        while state["unit"] < 40:
            time.sleep(float(sys.argv[1]))
            state["drawn"].append(random.random())
            state["unit"] += 1
            session.step(state["unit"], {"loss": 1.0 / state["unit"]})
        json.dump(state["drawn"], open("model.json", "w"))
        session.done(40, {"loss": 0.025}, {"data_sha256": "abc"})
"""


def seeded(source: str) -> str:
    return source.replace("state = {", "random.seed(7)\n    state = {")


def test_an_interrupted_training_draws_what_an_uninterrupted_one_does(stage: Stage) -> None:
    stage.training = {"artifact": str(stage.folder / "model.json"), "fingerprint": "f00d"}
    first = stage.launch(seeded(TRAINS), 0.05, number=1)
    first.until(lambda report: report.units_done >= 5)
    first.tell("stop")
    ended = first.to_the_end()
    assert (ended.kind, ended.exit_code) == (EndKind.STOPPED, 75), first.output
    durable = first.of(SavedCheckpoint)[-1].units_done
    second = stage.launch(seeded(TRAINS), 0.0, number=2, units_start=durable)
    ended = second.to_the_end()
    assert ended.kind is EndKind.SUCCEEDED, (ended, second.output)
    (begun,) = [news for news in second.of(PhaseSeen) if news.phase is Phase.TRAINING]
    assert begun.units_done == durable >= 5
    assert (ended.metrics, ended.facts) == ({"loss": 0.025}, {"data_sha256": "abc"})
    interrupted = json.loads((stage.folder / "model.json").read_text())
    whole = Stage(stage.folder / "whole")
    whole.folder.mkdir()
    alone = whole.launch(seeded(TRAINS), 0.0)
    assert alone.to_the_end().kind is EndKind.SUCCEEDED
    assert interrupted == json.loads((whole.folder / "model.json").read_text())
