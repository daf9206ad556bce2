"""The checkpoint agent: what it brings to the bucket, when, and how badly."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from nightspot.emulator.container import what_is_missing
from nightspot.emulator.machine import SyncSettings
from tests.emulator.machine.stage import QUIET, Stage, wait_for

pytestmark = pytest.mark.skipif(what_is_missing() is not None, reason=str(what_is_missing()))
OFTEN = SyncSettings(interval_market_s=60.0, torn=False)  # at time scale 600: ten times a second
SCALE = 600.0
UPLOADING = ".sagemaker-uploading"

# What people write: the newest checkpoint by its name, in place, and on from there.
CLASSIC = """
    import argparse, glob, os, time
    epochs = 6
    def epoch_of(path):
        return int(path.rpartition("-")[2].partition(".")[0])
    found = sorted(glob.glob("/opt/ml/checkpoints/epoch-*.pt"), key=epoch_of)
    start = epoch_of(found[-1]) + 1 if found else 0
    state = open(found[-1]).read() if found else ""
    print("from epoch", start, "with", repr(state), flush=True)
    for epoch in range(start, epochs):
        state += str(epoch)
        with open(f"/opt/ml/checkpoints/epoch-{epoch}.pt", "w") as file:
            file.write(state)
        print("done", epoch, flush=True)
        while epoch == HANG:
            time.sleep(1)
    open(os.environ["SM_MODEL_DIR"] + "/model", "w").write(state)
"""


def restored(stage: Stage) -> list[str]:
    return sorted(path.name for path in (stage.ml / "checkpoints").iterdir())


def test_a_classic_script_resumes_from_what_was_synced_and_only_that(stage: Stage) -> None:
    stage.script(CLASSIC.replace("HANG", "2"))
    stage.put("ck/epoch-9.pt" + UPLOADING, "half")
    first = stage.running(OFTEN, says="done 2", time_scale=SCALE)
    wait_for(lambda: "ck/epoch-2.pt" in stage.objects())
    first.kill()
    (stage.ml / "checkpoints/epoch-7.pt").write_text("never synced")
    first.discard()
    stage.script(CLASSIC.replace("HANG", "-1"))
    second = stage.machine(OFTEN, SCALE)
    second.download()
    assert restored(stage) == [f"epoch-{n}.pt" for n in range(3)]
    second.start()
    stage.ended(second)
    assert "from epoch 3 with '012'" in stage.printed()
    assert (stage.ml / "model/model").read_text() == "012345"
    assert stage.get("ck/epoch-5.pt") == b"012345", "the last sync"


def test_an_interruption_loses_what_was_not_synced(stage: Stage) -> None:
    stage.direct(
        "open('/opt/ml/checkpoints/a', 'w').write('1')\nimport time; print('ready', flush=True); time.sleep(600)"
    )
    machine = stage.running(QUIET)
    machine.kill()
    assert stage.objects("ck/") == []


def test_checkpoints_may_have_another_folder(stage: Stage) -> None:
    stage.changes["CheckpointConfig"] = {"S3Uri": f"s3://{stage.name}/ck/", "LocalPath": "/opt/ml/mine/deep/"}
    stage.direct("open('/opt/ml/mine/deep/a', 'w').write('1'); import os; os.mkdir('/opt/ml/checkpoints')")
    stage.ended()
    assert stage.objects("ck/") == ["ck/a"]


def test_without_a_checkpoint_config_nothing_is_synced(stage: Stage) -> None:
    stage.changes["CheckpointConfig"] = None
    stage.direct("import os; os.mkdir('/opt/ml/checkpoints'); open('/opt/ml/checkpoints/a', 'w').write('1')")
    assert stage.ended().exit_code() == 0
    assert stage.objects() == []


SLOW = """
    import time
    with open("/opt/ml/checkpoints/big", "w") as file:
        file.write("x" * 100000)
        file.flush()
        print("ready", flush=True)
        time.sleep(600)
"""


def test_half_a_file_is_in_the_bucket_while_it_is_written_and_all_of_it_after_the_next_sync(stage: Stage) -> None:
    stage.aws.s3.put_bucket_versioning(Bucket=stage.name, VersioningConfiguration={"Status": "Enabled"})
    stage.direct(SLOW)
    machine = stage.running(replace(OFTEN, torn=True), time_scale=SCALE)
    wait_for(lambda: len(versions(stage, "ck/big")) == 2)
    machine.kill()
    assert versions(stage, "ck/big") == [50000, 100000]


def versions(stage: Stage, key: str) -> list[int]:
    """The sizes it had in the bucket, the first one first."""
    found = stage.aws.s3.list_object_versions(Bucket=stage.name, Prefix=key).get("Versions", [])
    return [one["Size"] for one in reversed(found) if one["Key"] == key]


def test_a_gentle_agent_waits_until_the_file_is_closed(stage: Stage) -> None:
    stage.direct("open('/opt/ml/checkpoints/whole', 'w').write('1')\n" + "import time\n" + SLOW.replace("\n    ", "\n"))
    machine = stage.running(OFTEN, time_scale=SCALE)
    wait_for(lambda: "ck/whole" in stage.objects())
    machine.kill()
    assert stage.objects("ck/") == ["ck/whole"]


def test_marks_of_uploads_are_left_behind_and_never_restored(stage: Stage) -> None:
    stage.direct("""
        import time
        for number in range(6):
            open(f"/opt/ml/checkpoints/{number}", "w").write("1")
        print("ready", flush=True)
        time.sleep(600)
    """)
    stage.running(replace(OFTEN, torn=True), time_scale=SCALE)
    wait_for(lambda: "ck/5" in stage.objects() and len(stage.objects("ck/")) == 8)
    stage.machines[-1].kill()
    assert [key for key in stage.objects("ck/") if key.endswith(UPLOADING)] == [f"ck/2{UPLOADING}", f"ck/5{UPLOADING}"]
    stage.machine().download()
    assert restored(stage) == [str(n) for n in range(6)]


def test_the_sync_may_stop_silently_while_training_goes_on(stage: Stage) -> None:
    stage.direct("""
        import time
        for number in range(5):
            open(f"/opt/ml/checkpoints/{number}", "w").write("1")
        print("ready", flush=True)
        time.sleep(1)
    """)
    machine = stage.running(replace(OFTEN, stopped_after=2), time_scale=SCALE)
    wait_for(lambda: len(stage.objects("ck/")) == 2)
    stage.ended(machine)
    assert machine.exit_code() == 0
    assert stage.objects("ck/") == ["ck/0", "ck/1"], "the last sync is silent too"


def test_an_interruption_loses_the_last_seconds_too(stage: Stage) -> None:
    stage.direct("""
        import itertools, time
        print("ready", flush=True)
        for number in itertools.count():
            for name in (number, "latest"):
                open(f"/opt/ml/checkpoints/{name}", "w").write(str(number))
            time.sleep(0.25)
    """)
    machine = stage.running(replace(OFTEN, misses_last_s=SCALE), time_scale=SCALE)
    wait_for(lambda: "ck/2" in stage.objects() and "ck/latest" in stage.objects())
    machine.kill()
    killed_utc = time.time()
    synced = [key for key in stage.objects("ck/") if key.removeprefix("ck/").isdigit()]
    assert all((stage.ml / key.replace("ck", "checkpoints", 1)).stat().st_mtime <= killed_utc - 1.0 for key in synced)


def test_the_last_sync_misses_nothing(stage: Stage) -> None:
    stage.direct("open('/opt/ml/checkpoints/young', 'w').write('1')")
    machine = stage.machine(replace(OFTEN, misses_last_s=3600 * SCALE), SCALE)
    machine.download()
    machine.start()
    stage.ended(machine)
    assert stage.objects("ck/") == ["ck/young"]


def test_deletions_are_not_passed_on_and_changes_are(stage: Stage) -> None:
    stage.put("ck/kept", "from before")
    stage.put("ck/rewritten", "from before")
    stage.direct("""
        import os
        os.remove("/opt/ml/checkpoints/kept")
        open("/opt/ml/checkpoints/rewritten", "a").write(", and after")
        os.symlink("/etc/hostname", "/opt/ml/checkpoints/link")
    """)
    stage.ended()
    assert stage.objects("ck/") == ["ck/kept", "ck/rewritten"], "and no link is followed"
    assert stage.get("ck/rewritten") == b"from before, and after"


def test_what_did_not_change_is_not_uploaded_again(stage: Stage) -> None:
    stage.put("ck/old", "1")
    before = stage.aws.s3.head_object(Bucket=stage.name, Key="ck/old")["LastModified"]
    stage.direct("import time; time.sleep(1.2)")
    stage.ended()
    assert stage.aws.s3.head_object(Bucket=stage.name, Key="ck/old")["LastModified"] == before


def test_a_bucket_that_vanished_does_not_stop_training(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.direct("open('/opt/ml/checkpoints/a', 'w').write('1'); open('/opt/ml/model/m', 'w').write('1')")
    machine = stage.machine()
    machine.download()
    stage.aws.s3.delete_bucket(Bucket=stage.name)
    machine.start()
    stage.ended(machine)
    assert machine.exit_code() == 0
    assert "NoSuchBucket" in capsys.readouterr().err
