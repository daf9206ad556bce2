"""A program on an instance: what it finds there, how it ends, and that nothing of it stays."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from nightspot.emulator.clients import ACCESS_KEY, SECRET_KEY
from nightspot.emulator.container import what_is_missing
from nightspot.emulator.instance import DataError
from nightspot.process.identity import stat_fields
from nightspot.process.tree import pids
from tests.emulator.machine.stage import Stage, ours_in_tmp, wait_for

pytestmark = pytest.mark.skipif(what_is_missing() is not None, reason=str(what_is_missing()))
LOOK = """
    import argparse, json, os, socket
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--learning-rate", type=float)
    said = parser.parse_args()
    config = "/opt/ml/input/config/"
    seen = {
        "epochs": said.epochs, "rate": said.learning_rate, "host": socket.gethostname(),
        "data": open(os.environ["SM_CHANNEL_TRAIN"] + "/part-0.csv").read(),
        "config": {name: json.load(open(config + name)) for name in os.listdir(config)},
        "environment": dict(os.environ),
        "folders": sorted(os.listdir("/opt/ml")),
        "secrets": [name for name in os.listdir("/proc") if name.isdigit()
                    and b"NIGHT_SECRET" in open(f"/proc/{name}/environ", "rb").read()],
    }
    json.dump(seen, open(os.environ["SM_MODEL_DIR"] + "/seen.json", "w"))
    open(os.environ["SM_OUTPUT_DATA_DIR"] + "/curve", "w").write("1 2")
    print("loss=0.75")
    print("loss=0.25 of all", flush=True)
"""


def look(stage: Stage) -> dict[str, Any]:
    stage.script(LOOK)
    stage.put("data/part-0.csv", "1,2,3")
    stage.channel()
    stage.hyperparameters |= {"epochs": "3", "learning-rate": "0.5"}
    definitions = [{"Name": "loss", "Regex": "loss=([0-9.]+)"}, {"Name": "never", "Regex": "never=(.*)"}]
    stage.changes["AlgorithmSpecification"] = {"TrainingInputMode": "File", "MetricDefinitions": definitions}
    stage.changes["Environment"] = {"FOO": "1", "AWS_ENDPOINT_URL_S3": "https://elsewhere", "AWS_PROFILE": "real"}
    machine = stage.ended()
    assert machine.exit_code() == 0, stage.printed()
    assert machine.upload() == f"s3://{stage.name}/out/{stage.name}/output/model.tar.gz"
    assert machine.metrics() == [{"MetricName": "loss", "Value": 0.25}]
    seen: dict[str, Any] = json.loads((stage.ml / "model/seen.json").read_text())
    return seen


def test_the_toolkit_runs_the_script_as_on_sagemaker(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHT_SECRET", "hidden")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREALONE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a real secret")
    seen = look(stage)
    assert (seen["epochs"], seen["rate"], seen["data"], seen["host"]) == (3, 0.5, "1,2,3", "algo-1")
    variables, config = seen["environment"], seen["config"]
    expected = {
        "SM_MODEL_DIR": "/opt/ml/model",
        "SM_CHANNEL_TRAIN": "/opt/ml/input/data/train",
        "SM_HP_EPOCHS": "3",
        "SM_CURRENT_HOST": "algo-1",
        "SM_CURRENT_INSTANCE_TYPE": "ml.g5.xlarge",
        "TRAINING_JOB_NAME": stage.name,
        "TRAINING_JOB_ARN": f"arn:aws:sagemaker:us-east-1:123456789012:training-job/{stage.name}",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": stage.endpoint_url,
        "FOO": "1",
    }
    assert {name: variables.get(name) for name in expected} == expected
    assert config["hyperparameters.json"] == stage.hyperparameters
    assert config["resourceconfig.json"]["current_host"] == "algo-1"
    assert config["inputdataconfig.json"]["train"]["TrainingInputMode"] == "File"
    checkpoints = {"S3Uri": f"s3://{stage.name}/ck", "LocalPath": "/opt/ml/checkpoints"}
    assert config["checkpointconfig.json"] == checkpoints
    assert seen["folders"] == ["checkpoints", "code", "input", "model", "output"]
    # Nobody's secrets, neither inherited nor to be seen in another process, nor any way to the real AWS.
    assert seen["secrets"] == []
    assert not {"NIGHT_SECRET", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"} & set(variables)
    assert (variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"]) == (ACCESS_KEY, SECRET_KEY)
    printed = stage.printed()
    assert "hidden" not in printed and "a real secret" not in printed


def test_what_it_prints_comes_to_cloudwatch_and_what_it_made_to_the_bucket(stage: Stage) -> None:
    look(stage)
    assert "loss=0.25 of all" in stage.logs()
    output = f"out/{stage.name}/output"
    assert stage.objects("out/") == [f"{output}/model.tar.gz", f"{output}/output.tar.gz"]


def test_logs_arrive_while_it_runs_and_a_restart_goes_on_in_the_same_stream(stage: Stage) -> None:
    stage.direct("import time; print('ready', flush=True); time.sleep(600)")
    stage.running().kill()
    second = stage.running()
    wait_for(lambda: stage.logs().count("ready") == 2)
    assert second.exit_code() is None


def test_a_flood_of_output_does_not_fill_memory(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nightspot.emulator.logs.KEPT_BYTES", 100_000)
    stage.direct("for i in range(20000): print('x' * 100)\nprint('y' * 300000)\nprint('last=7')")
    stage.changes["AlgorithmSpecification"]["MetricDefinitions"] = [{"Name": "last", "Regex": "last=([0-9]+)"}]
    machine = stage.ended()
    assert machine.exit_code() == 0
    assert len(stage.printed()) < 200_000
    assert "what follows is not kept" in stage.logs()
    assert machine.metrics() == [{"MetricName": "last", "Value": 7.0}], "metrics hear all of it"


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        ("open('/opt/ml/output/failure', 'w').write('no data' * 500); raise SystemExit(3)", 3, "no data"),
        ("raise SystemExit(5)", 5, "left no /opt/ml/output/failure"),
        ("import os; os.mkfifo('/opt/ml/output/failure'); raise SystemExit(6)", 6, "left no"),
    ],
)
def test_a_failure_is_told_in_the_programs_words_and_its_exit_code(
    stage: Stage, source: str, code: int, words: str
) -> None:
    stage.direct(source)
    machine = stage.ended()
    assert machine.exit_code() == code
    failure = machine.failure()
    assert words in failure and failure.endswith(f"exit code: {code}") and len(failure) <= 1024


def test_the_toolkit_reports_a_script_that_fails(stage: Stage) -> None:
    stage.script("raise RuntimeError('no more')")
    machine = stage.ended()
    assert machine.exit_code() == 1
    assert "ExecuteUserScriptError" in machine.failure()
    assert "no more" in stage.logs()


def test_a_request_without_a_program_is_refused_before_anything_is_fetched(stage: Stage) -> None:
    machine = stage.machine()
    with pytest.raises(DataError, match="no sagemaker_program"):
        machine.download()
    assert not stage.ml.exists()


def test_sigterm_reaches_the_script_behind_the_toolkit(stage: Stage) -> None:
    stage.script("""
        import signal, sys, time
        def leave(*_):
            open("/opt/ml/checkpoints/saved", "w").write("in time")
            sys.exit(0)
        signal.signal(signal.SIGTERM, leave)
        print("ready", flush=True)
        time.sleep(600)
    """)
    machine = stage.running()
    machine.terminate()
    stage.ended(machine)
    assert machine.exit_code() == 0, stage.printed()
    assert stage.get("ck/saved") == b"in time"


# A daemon, as in the books: two forks, a session of its own, deaf to SIGTERM, and no pipe of ours.
DAEMON = """
    import os, signal, sys, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for descriptor in (0, 1, 2):
                os.close(descriptor)
            os.execve(sys.executable, [sys.executable, "-c", "import time; time.sleep(600)", "MARK"], {})
        os._exit(0)
    os.wait()
    time.sleep(1)
    print("ready", flush=True)
    """


def bearers(mark: str) -> list[int]:
    found = []
    for pid in pids():
        try:
            if mark.encode() in Path(f"/proc/{pid}/cmdline").read_bytes() and stat_fields(pid) is not None:
                found.append(pid)
        except OSError:
            continue
    return found


def daemons(mark: str) -> list[int]:
    """Those bearers that are no ancestors of it."""
    return [pid for pid in bearers(mark) if b"os.fork" not in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.mark.parametrize("end", ["kill", "close", "discard", "its own"])
def test_nothing_outlives_the_container_not_even_a_daemon(stage: Stage, end: str) -> None:
    mark = f"daemon-of-{stage.name}"
    stage.direct(DAEMON.replace("MARK", mark) + ("time.sleep(1)" if end == "its own" else "time.sleep(600)"))
    machine = stage.running()
    assert len(daemons(mark)) == 1
    machine.terminate()
    assert machine.exit_code() is None, "it is deaf"
    if end == "its own":
        stage.ended(machine)
    else:
        {"kill": machine.kill, "close": machine.close, "discard": machine.discard}[end]()
    assert daemons(mark) == [] == bearers(mark)
    assert machine.exit_code() is not None
    assert stage.ml.exists() == (end != "discard")


EMULATOR = """
import os, signal, sys
from pathlib import Path
from nightspot.emulator.container import Container, Sandbox
folder = Path(sys.argv[1])
(folder / "ml").mkdir()
sandbox = Sandbox(folder / "ml", folder / "own")
sandbox.make()
words = ["sh", "-c", "setsid sleep 600 & echo up; exec sleep 600"]
print("about to", flush=True)
Container(sandbox, words, {"PATH": os.environ["PATH"], "MARK": sys.argv[2]}).start()
print("started", flush=True)
signal.pause()
"""


def inherited(mark: str) -> list[int]:
    """Who has that mark: by its arguments the emulator, and a fork of it; by the environment bubblewrap, and all in it."""
    found = []
    for pid in pids():
        try:
            known = [Path(f"/proc/{pid}/{file}").read_bytes() for file in ("environ", "cmdline")]
            if any(mark.encode() in text for text in known):
                found.append(pid)
        except OSError:
            continue
    return found


@pytest.mark.parametrize("wait_s", [None, 0.0, 0.001, 0.002, 0.004, 0.006, 0.008, 0.010, 0.013, 0.016, 0.020, 0.030])
def test_when_the_emulator_is_killed_its_containers_are(tmp_path: Path, wait_s: float | None) -> None:
    """At any moment: also while bubblewrap is at work."""
    mark = f"mark-{uuid.uuid4().hex}"
    words = [sys.executable, "-c", EMULATOR, str(tmp_path), mark]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as emulator:
        assert emulator.stdout is not None
        assert emulator.stdout.readline() == "about to\n"
        if wait_s is None:
            assert emulator.stdout.readline() == "started\n"
            wait_for(lambda: len(inherited(mark)) >= 4)
        else:
            time.sleep(wait_s)
        emulator.send_signal(signal.SIGKILL)
    wait_for(lambda: inherited(mark) == [])


def test_the_machine_around_it_can_be_read_not_written(stage: Stage) -> None:
    stage.direct("""
        import os, pathlib
        for name in ("/etc/mark", "/usr/mark", "/opt/ml/model/mark", "/tmp/mark", os.path.expanduser("~/mark")):
            try:
                pathlib.Path(name).write_text("here")
                print("wrote", name)
            except OSError as error:
                print("refused", name)
    """)
    stage.ended()
    printed = stage.printed()
    assert "refused /etc/mark" in printed and "refused /usr/mark" in printed
    assert "wrote /opt/ml/model/mark" in printed and "wrote /tmp/home/mark" in printed
    assert not Path("/tmp/mark").exists()
    stage.direct("import os; print('left', sorted(os.listdir('/tmp')))")
    stage.ended()
    assert f"left {sorted({'home'} | ours_in_tmp())}" in stage.printed(), "a new instance begins empty"
