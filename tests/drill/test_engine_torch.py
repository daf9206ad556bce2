"""With torch the training is held at the very step: where a blow falls depends on no clock. And SageMaker's folders are there."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nightspot.drill.apart.mounts import lay_out
from nightspot.drill.cases import UnderWay
from nightspot.drill.life import Stage, Untouched
from nightspot.drill.record import Case, Life
from nightspot.drill.seen.artefacts import Reader
from nightspot.drill.seen.lives import Pace
from nightspot.drill.strikes import AtStep, OnNotice, Usual
from tests.drill.engine_jobs import by_case, needs_bwrap, play_all, settings_of, written

pytestmark = needs_bwrap

# Saves on notice and every third step, by our library; stands as train.py.
OURS = """
import sys, torch
from nightspot.checkpoint import Session
torch.set_num_threads(1)
torch.manual_seed(3)
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.Adam(model.parameters())
loop = {"step": 0}
with Session({"model": model, "optimizer": optimizer, "loop": loop}) as session:
    session.restore()
    while loop["step"] < 12:
        optimizer.zero_grad()
        loss = model(torch.randn(8, 4)).square().mean()
        loss.backward()
        optimizer.step()
        loop["step"] += 1
        session.step(units_done=loop["step"] / 4)
    torch.save(model.state_dict(), "model.json")
    session.done(units_done=3)
"""
NOTHING = Usual({}, frozenset())


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Life]]:
    """Four Lives of one training: killed at step 5, told at step 2 of the next, and to the end; saves every 3 steps."""
    folder = tmp_path_factory.mktemp("torch")
    file = written(folder / "job")
    file.write_text(file.read_text().replace('checkpoints = "ckpt"', ""))
    (folder / "job/train.py").write_text(OURS)
    settings = settings_of(file, folder / "root")
    reader = Reader([sys.executable], folder)
    stage = Stage(settings, threading.Event(), every=3)
    training = UnderWay.begin(stage, lay_out(settings), reader, folder / "root/cases/x", Case.TWICE, Pace(12, 3.0))
    for strike in (AtStep(5, NOTHING), OnNotice(2, 11), Untouched()):
        training.live(strike)
    yield training.lives
    reader.close()


def test_a_kill_falls_after_exactly_that_step(played: list[Life]) -> None:
    assert (len(played[0].steps), played[0].exit_code, played[0].probed) == (5, 137, True)
    assert played[0].blow is not None and played[0].blow.at_index == 5


def test_checkpoints_of_our_library_are_placed_by_the_units_they_tell(played: list[Life]) -> None:
    saved = [(one.name, one.at_index, one.units) for one in played[0].durables]
    assert saved == [("step-000000001", 3, 0.75)]
    assert played[0].blow is not None and played[0].blow.left == ("step-000000001",)


def test_a_notice_is_heard_at_exactly_that_step_and_its_checkpoint_counted_within_its_life(played: list[Life]) -> None:
    second = played[1]
    assert (len(second.steps), second.exit_code) == (2, 75)
    assert second.blow is not None and (second.blow.how, second.blow.at_index) == ("notice", 2)
    assert [(one.at_index, one.units) for one in second.durables] == [(2, 1.25)]


def test_the_next_life_goes_on_with_what_the_last_one_saved(played: list[Life]) -> None:
    last = played[2]
    assert (len(last.steps), last.exit_code, last.blow) == (7, 0, None)
    assert last.steps[0].before == played[1].steps[1].after
    assert [one.at_index for one in last.durables] == [3, 6]


SAGEMAKER = """
import argparse, json, os, pathlib, time
p = argparse.ArgumentParser()
p.add_argument("--epochs", type=int)
a = p.parse_args()
root = pathlib.Path("/opt/ml")
assert json.loads((root / "input/config/hyperparameters.json").read_text()) == {"epochs": "20"}
assert (pathlib.Path(os.environ["SM_CHANNEL_TRAIN"]) / "data.txt").read_text() == "data"
folder = root / "checkpoints"
saved = sorted(folder.iterdir())
step = int(saved[-1].read_text()) if saved else 0
while step < a.epochs:
    step += 1
    print(f"step {step} loss {1 / step}", flush=True)
    (folder / f"epoch-{step:03d}").write_text(str(step))
    time.sleep(0.015)
(pathlib.Path(os.environ["SM_MODEL_DIR"]) / "model.json").write_text(json.dumps({"epochs": step}))
"""


def test_a_script_for_sagemaker_finds_its_folders_and_the_real_ones_stay_as_they_are(tmp_path: Path) -> None:
    file = written(
        tmp_path / "job",
        more="""
        [training]
        sagemaker = true
        hyperparameters = { epochs = 20 }
        channels = { train = "data" }
    """,
    )
    file.write_text(
        file.read_text().replace('checkpoints = "ckpt"', "").replace(', "ckpt"', "").replace(", 'ckpt'", "")
    )
    (tmp_path / "job/train.py").write_text(SAGEMAKER)
    (tmp_path / "job/data").mkdir()
    (tmp_path / "job/data/data.txt").write_text("data")
    before = Path("/opt/ml").exists()
    drilled = play_all(settings_of(file, tmp_path / "root"), [Case.AFTER_SAVE])
    training = by_case(drilled)[Case.AFTER_SAVE]
    assert training.fault is None and training.artefact == drilled.baselines[0].artefact
    assert training.artefact is not None and training.artefact.path.endswith("model.json")
    assert len(training.lives[1].logged) < 20 and Path("/opt/ml").exists() == before
    assert json.loads('{"epochs": 20}') and not (tmp_path / "job/model.json").exists()
