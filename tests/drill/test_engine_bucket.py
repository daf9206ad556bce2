"""A script with a bucket of its own: a drill never writes there; with one for the drill, a clean machine goes on from that."""

from __future__ import annotations

from pathlib import Path

from nightspot.drill.record import Case
from tests.checkpoint.buckets import Server
from tests.drill.engine_jobs import by_case, needs_bwrap, play_all, settings_of, written

pytest_plugins = ["tests.checkpoint.bucket_fixture"]
pytestmark = needs_bwrap

SCRIPT = """
import json, pathlib, time
from nightspot.checkpoint import Session
loop = {{"step": 0}}
with Session({{"loop": loop}}, store={uri!r}, interval="1 step") as session:
    session.restore()
    while loop["step"] < 12:
        loop["step"] += 1
        print(f"step {{loop['step']}} loss {{1 / loop['step']}}", flush=True)
        time.sleep(0.01)
        session.step(units_done=loop["step"])
    pathlib.Path("model.json").write_text(json.dumps(loop))
    session.done(units_done=12)
"""


def job(folder: Path, uri: str, drill: str = "") -> Path:
    file = written(folder, drill=f"every = 3\n{drill}")
    file.write_text(file.read_text().replace('checkpoints = "ckpt"', ""))
    (folder / "train.py").write_text(SCRIPT.format(uri=uri))
    return file


def test_the_scripts_own_bucket_is_left_alone(server: Server, tmp_path: Path) -> None:
    uri = server.fresh()
    settings = settings_of(job(tmp_path / "job", uri), tmp_path / "root")
    training = by_case(play_all(settings, [Case.CLEAN_MACHINE]))[Case.CLEAN_MACHINE]
    assert training.fault is None and len(training.lives[1].logged) < 12
    assert server.keys(uri) == []


def test_a_clean_machine_goes_on_from_the_drills_bucket_which_is_empty_afterwards(
    server: Server, tmp_path: Path
) -> None:
    uri, store = server.fresh(), server.fresh()
    settings = settings_of(job(tmp_path / "job", uri, f'store = "{store}"'), tmp_path / "root")
    assert settings.survives == ()
    training = by_case(play_all(settings, [Case.CLEAN_MACHINE]))[Case.CLEAN_MACHINE]
    blow, last = training.lives[0].blow, training.lives[0].durables[-1]
    assert blow is not None and blow.left and blow.left[0] == last.name
    assert training.fault is None and training.lives[1].logged[0].step == (last.units or 0) + 1
    assert server.keys(uri) == server.keys(store) == []
