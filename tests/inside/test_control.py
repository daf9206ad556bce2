"""What the controller and the training say to each other by objects in the bucket; only our entry runs, without the toolkit."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from nightspot.inside.places import LIMIT_SPARE_S, STOP_GRACE_S
from nightspot.model.attempt import Role
from tests.inside.image import BUCKET, CHECKPOINTS, TIME_SCALE, Image, children, line_of, wait_for

# Trains until it is told to end, saving what is asked for.
TRAINS = """
    import sys, time
    from nightspot.checkpoint import Session
    loop = {"step": 0}
    with Session({"loop": loop}) as session:
        session.restore()
        while loop["step"] < float(sys.argv[1]):
            loop["step"] += 1
            session.step(loop["step"], {"loss": 1 / loop["step"]})
            time.sleep(0.02)
        session.done(loop["step"], {"recall": 0.5}, {"seed": "7"})
"""
FOREVER = "1e9"
WHERE = """
    import nightspot
    print(nightspot.__file__)
"""


def saved(image: Image) -> list[str]:
    return sorted(path.name for path in (image.base / "checkpoints").glob("step-*"))


def test_a_checkpoint_is_saved_for_each_time_it_is_asked_for(image: Image) -> None:
    changed = image.bundle({"train.py": TRAINS})
    image.environment["NIGHTSPOT_CHECKPOINT_INTERVAL_S"] = "1e9"
    process = image.enter(changed, [FOREVER])
    wait_for(lambda: image.progress().get("trains"))
    asked = ["step-000000001", "step-000000002"]
    for count, name in enumerate(asked, 1):
        image.say("checkpoint", name.encode())
        wait_for(lambda: len(saved(image)) >= count)  # noqa: B023 - called at once
    time.sleep(1.0)  # the wrapper sees the same object a few times more
    assert saved(image) == asked
    image.say("stop")
    assert process.wait() == 75
    document = image.progress()
    assert document["checkpoint"]["name"] == "step-000000003"
    assert document["units_done"] >= document["checkpoint"]["units_done"] > 0
    assert document["metrics"].keys() == {"loss"}
    assert document["done"] is None


def test_the_done_marker_arrives_with_metrics_and_facts(image: Image) -> None:
    assert image.enter(image.bundle({"train.py": TRAINS}), ["3"]).wait() == 0
    document = image.progress()
    assert document["done"] == {"units_done": 3.0, "metrics": {"recall": 0.5}, "facts": {"seed": "7"}}
    assert (document["format"], document["stage"], document["exit_code"], document["kind"]) == (1, "ended", 0, "done")


def test_the_counter_grows_and_each_incarnation_has_its_own_name(image: Image) -> None:
    changed = image.bundle({"train.py": TRAINS})
    process = image.enter(changed, [FOREVER])
    first = wait_for(image.progress)
    wait_for(lambda: image.progress()["counter"] > first["counter"])
    assert image.progress()["incarnation"] == first["incarnation"]
    process.kill()
    process.wait()
    assert image.enter(changed, ["1"]).wait() == 0
    assert image.progress()["incarnation"] != first["incarnation"]


def test_a_script_does_not_outlive_the_wrapper(image: Image) -> None:
    script = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(600)"
    process = image.enter(image.bundle({"train.py": script}))
    pid = int(wait_for(lambda: (path := image.base / "code/pid").exists() and path.read_text()))
    process.kill()
    wait_for(lambda: not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes())


def test_what_a_script_leaves_running_ends_with_it(image: Image) -> None:
    script = """
        import os, subprocess
        left = subprocess.Popen(["sleep", "600"])
        open("pid", "w").write(str(left.pid))
    """
    assert image.enter(image.bundle({"train.py": script})).wait() == 0
    pid = int((image.base / "code/pid").read_text())
    wait_for(lambda: not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes())


def test_a_bucket_out_of_reach_disturbs_nothing(image: Image) -> None:
    changed = image.bundle({"train.py": TRAINS})
    image.endpoint_url = "http://127.0.0.1:9"
    assert image.enter(changed, ["25"]).wait() == 0
    assert image.err.read_bytes() == image.out.read_bytes() == b""


def test_a_bucket_that_comes_back_hears_what_it_missed(image: Image, s3: Any) -> None:
    changed = image.bundle({"train.py": TRAINS})
    image.environment["NIGHTSPOT_CONTROL"] = "s3://late/x/"
    process = image.enter(changed, [FOREVER])
    told = image.base / ".nightspot/progress.jsonl"
    wait_for(lambda: told.exists() and '"progress"' in told.read_text())
    s3.create_bucket(Bucket="late")
    s3.put_object(Bucket="late", Key="x/stop", Body=b"")
    assert process.wait() == 75
    assert s3.get_object(Bucket="late", Key="x/progress.json")["Body"].read()
    for key in ("x/stop", "x/progress.json"):
        s3.delete_object(Bucket="late", Key=key)
    s3.delete_bucket(Bucket="late")


def test_an_image_without_boto3_trains_without_a_channel(image: Image) -> None:
    changed = image.bundle({"train.py": TRAINS})
    (image.base / "hidden").mkdir()
    (image.base / "hidden/boto3.py").write_text("raise ImportError('no boto3 here')")
    image.environment["PYTHONPATH"] = str(image.base / "hidden")
    assert image.enter(changed, ["3"]).wait() == 0
    assert image.progress() == {}
    assert '"kind": "done"' in (image.base / ".nightspot/progress.jsonl").read_text()


def test_without_pip_the_wheel_itself_is_imported(image: Image) -> None:
    changed = image.bundle({"train.py": TRAINS + WHERE})
    (image.base / ".nightspot").mkdir()
    (image.base / ".nightspot/packages").write_text("pip cannot install into a file")
    assert image.enter(changed, ["3"]).wait() == 0
    assert "+inside-py3-none-any.whl/nightspot/__init__.py" in image.out.read_text()


def test_modules_of_the_user_disturb_neither_pip_nor_the_wrapper(image: Image) -> None:
    broken = {
        f"{name}.py": "raise SystemExit(99)" for name in ("json", "subprocess", "pathlib", "boto3", "pip", "signal")
    }
    changed = image.bundle({"train.py": "print('trained')", **broken})
    assert image.enter(changed).wait() == 0
    assert image.out.read_text() == "trained\n"
    assert (image.base / ".nightspot/packages/nightspot/inside").is_dir()
    assert image.progress()["exit_code"] == 0


def test_a_probe_waits_for_go_and_begins_with_what_its_predecessor_left(image: Image) -> None:
    changed = image.bundle({"train.py": TRAINS}, role=Role.PROBE)
    stale = image.base / "checkpoints/old.ckpt"
    stale.write_text("old")
    os.utime(stale, (1e9, 1e9))
    process = image.enter(changed, ["3"])
    assert wait_for(image.progress)["stage"] == "waiting"
    for name, content in {"old.ckpt": b"new", "sub/a.pt": b"1", "b.pt.sagemaker-uploading": b"2", "../x": b"3"}.items():
        image.s3.put_object(Bucket=BUCKET, Key=CHECKPOINTS + name, Body=content)
    assert saved(image) == []
    image.say("go")
    assert process.wait() == 0
    found = {str(path.relative_to(image.base)) for path in image.base.rglob("*.pt*")} | {stale.read_text()}
    assert found == {"checkpoints/sub/a.pt", "new"}
    assert not (image.base / "x").exists()
    assert image.progress()["done"]["units_done"] == 3.0


def test_sigterm_while_nothing_runs_yet_begins_nothing_and_is_no_failure(image: Image) -> None:
    process = image.enter(image.bundle({"train.py": "print('trained')"}))
    wait_for(lambda: [child for child in children(process) if "pip" in line_of(child)])
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 75
    assert image.out.read_bytes() == b""


def test_a_probe_that_is_stopped_never_begins(image: Image) -> None:
    changed = image.bundle({"train.py": "print('trained')"}, role=Role.PROBE)
    process = image.enter(changed)
    wait_for(image.progress)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 75
    assert image.out.read_bytes() == b""
    assert image.progress()["exit_code"] == 75


def test_a_probe_without_a_channel_says_so_at_once(image: Image) -> None:
    changed = image.bundle({"train.py": "print('trained')"}, role=Role.PROBE)
    del image.environment["NIGHTSPOT_CONTROL"]
    assert image.enter(changed).wait() == 78
    assert image.failure == "a PROBE needs a control channel, and this image has none: boto3 is missing"


# Longer than it takes until the script runs.
START_S = 8.0
DEAF = """
    import signal, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
"""


def ends_at(image: Image, tell_utc: float) -> None:
    not_after_utc = tell_utc + (STOP_GRACE_S + LIMIT_SPARE_S) / TIME_SCALE
    image.environment["NIGHTSPOT_NOT_AFTER"] = repr(not_after_utc)


def test_when_its_time_is_over_a_script_saves_and_ends_with_nobody_saying_so(image: Image) -> None:
    changed = image.bundle({"train.py": TRAINS})
    ends_at(image, time.time() + START_S)
    assert image.enter(changed, [FOREVER]).wait() == 75
    document = image.progress()
    assert (document["notice"]["reason"], document["notice"]["kill_in_s"]) == ("limit", STOP_GRACE_S / TIME_SCALE)
    assert saved(image)


def test_a_script_that_does_not_hear_that_its_time_is_over_is_killed(image: Image) -> None:
    changed = image.bundle({"train.py": DEAF})
    ends_at(image, time.time() + START_S)
    assert image.enter(changed).wait() == 137
    assert image.progress()["notice"]["reason"] == "limit"
    assert image.failure == "train.py: exit code 137: killed by SIGKILL"


@pytest.mark.parametrize("role", [Role.TRAIN, Role.PROBE])
def test_what_gets_its_machine_after_its_time_never_begins(image: Image, role: Role) -> None:
    changed = image.bundle({"train.py": "print('trained')"}, role=role)
    ends_at(image, time.time() - 1.0)
    assert image.enter(changed).wait() == 75
    assert image.out.read_bytes() == b""


def test_loads_that_crash_are_counted_on_the_next_machine_and_those_that_are_taken_are_not(image: Image) -> None:
    script = """
        import os, sys, time
        staging = os.environ["NIGHTSPOT_CHECKPOINT_STAGING"]
        open(os.path.join(staging, "loading-step-000000001"), "w").write("x")
        time.sleep(float(sys.argv[2]))
        sys.exit(int(sys.argv[1]))
    """
    changed = image.bundle({"train.py": script})
    marker = image.base / "checkpoints/loading-step-000000001"
    for times in (1, 2):
        assert image.enter(changed, ["1", "0"]).wait() == 1
        assert marker.read_text() == "x" * times
    process = image.enter(changed, ["0", "600"])
    wait_for(lambda: (image.base / ".nightspot-staging/loading-step-000000001").exists())
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 143
    assert marker.read_text() == "xx"
