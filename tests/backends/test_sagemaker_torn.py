"""Nights in which an unmodified script's checkpoint is copied in half, and then the instance goes: on a real emulator."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nightspot.model.attempt import AttemptOutcome, Phase, RunOutcome
from nightspot.model.events import CheckpointSeen, PhaseChanged, Warned
from nightspot.process.surroundings import sandbox_works
from tests.backends.emulated import packed
from tests.backends.test_sagemaker_nights import RUN_ID, Stage

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sandbox_works(), reason="bubblewrap is missing or not allowed here"),
]
TORN = 6
# Saves archives in place, as torch does, and loads the newest, as torch does: half of one is an error. The first time it comes to
# unit 6, a machine that hangs in the middle of the file is all there is, until it is taken.
CLASSIC = f"""
    import glob, io, os, sys, time, zipfile

    given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
    saved, done = sorted(glob.glob("/opt/ml/checkpoints/ckpt-*.pt")), 0
    if saved:
        with zipfile.ZipFile(saved[-1]) as archive:
            done = int(archive.read("epoch"))
    first = not saved
    while done < float(given["--units"]):
        time.sleep(float(given["--unit-s"]))
        done += 1
        raw = io.BytesIO()
        with zipfile.ZipFile(raw, "w") as archive:
            archive.writestr("epoch", str(done))
            archive.writestr("weights", b"w" * 200_000)
        with open(f"/opt/ml/checkpoints/ckpt-{{done:04d}}.pt", "wb") as file:
            file.write(raw.getvalue()[:100_000])
            file.flush()
            if first and done == {TORN}:
                time.sleep(3600)
            file.write(raw.getvalue()[100_000:])
    with open(os.path.join(os.environ["SM_MODEL_DIR"], "model.bin"), "w") as model:
        model.write("a model")
"""


def night(tmp_path: Path, *, wrapper: bool) -> Stage:
    """A start takes its time: so many real seconds has whoever looks at what the one before has left."""
    stage = Stage(tmp_path, ("--start-delay", "25min"))
    stage.emulation.put("code/classic.tar.gz", packed(CLASSIC))
    stage.request["HyperParameters"]["sagemaker_submit_directory"] = json.dumps("s3://bkt/code/classic.tar.gz")
    stage.options, stage.pattern = {"progress": "files", "wrapper": wrapper}, "ckpt-*.pt"
    stage.open()
    return stage


def torn_is_there(stage: Stage) -> bool:
    """And what is before it was seen."""
    return bool(stage.events(CheckpointSeen)) and f"ck/{RUN_ID}/ckpt-{TORN:04d}.pt" in stage.emulation.keys(
        f"ck/{RUN_ID}/"
    )


def aside(stage: Stage) -> list[str]:
    return [key.rpartition("/")[2].rpartition(".")[0] for key in stage.emulation.keys(f"ck/{RUN_ID}-quarantine/")]


def incarnation(stage: Stage) -> int:
    return max((event.incarnation for event in stage.events(PhaseChanged)), default=0)


def completed(stage: Stage) -> list[AttemptOutcome]:
    """The work is done, all of it; half a file never counted."""
    assert stage.night.state.outcome is RunOutcome.COMPLETED, stage.night.state.why
    again_utc = min(e.at_utc for e in stage.events(PhaseChanged) if (e.number, e.incarnation) > (1, 1))
    before = [event.units_done for event in stage.events(CheckpointSeen) if event.at_utc < again_utc]
    assert 0 < max(before) < TORN
    return [attempt.outcome for attempt in stage.night.state.attempts if attempt.outcome is not None]


@pytest.mark.parametrize("wrapper", [False, True])
def test_the_next_incarnation_goes_on_from_the_file_before_the_torn_one(tmp_path: Path, wrapper: bool) -> None:
    stage = night(tmp_path, wrapper=wrapper)
    try:
        stage.until(lambda: torn_is_there(stage))
        stage.taken()
        stage.to_the_end()
        assert completed(stage) == [AttemptOutcome.COMPLETED]
        assert aside(stage) == [f"ckpt-{TORN:04d}.pt"]
        (warned,) = [event for event in stage.events(Warned) if "was not copied whole" in event.message]
        begun = next(e for e in stage.events(PhaseChanged) if (e.incarnation, e.phase) == (2, Phase.TRAINING))
        assert warned.at_utc < begun.at_utc
        assert 0 < begun.units_done < TORN
    finally:
        stage.close()


@pytest.mark.parametrize("wrapper", [False, True])
def test_a_laptop_that_was_asleep_meanwhile_costs_an_attempt_at_most(tmp_path: Path, wrapper: bool) -> None:
    """With the wrapper not even that: it moves the file away on the machine itself."""
    stage = night(tmp_path, wrapper=wrapper)
    try:
        stage.until(lambda: torn_is_there(stage))
        stage.gate.down = True
        stage.taken()
        stage.until(lambda: len(stage.emulation.keys("out/")) > 0 or stage.alive() == [] or again(stage))
        stage.gate.down = False
        stage.to_the_end()
        outcomes = completed(stage)
        assert outcomes == (
            [AttemptOutcome.COMPLETED] if wrapper else [AttemptOutcome.FAILED, AttemptOutcome.COMPLETED]
        )
    finally:
        stage.close()


def again(stage: Stage) -> bool:
    """Whether the second incarnation has saved something."""
    return f"ck/{RUN_ID}/ckpt-{TORN + 1:04d}.pt" in stage.emulation.keys(f"ck/{RUN_ID}/")
