"""The emulator as a process: `nightspot emulate sagemaker` as it is started, stopped, killed, and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable

import pytest

from nightspot.emulator.clients import client, without_aws
from nightspot.emulator.errors import EmulatorError, EmulatorOptionError
from nightspot.emulator.launch import Launched, launch
from nightspot.errors import ExitCode
from nightspot.process.identity import identify
from nightspot.process.tree import pids
from tests.emulator.emulated import Emulated, emulated, needs_container
from tests.emulator.stage import IMAGE, request, statuses

__all__ = ["emulated"]
pytestmark = needs_container
PATIENCE_S = 60.0


def shell(script: str) -> dict[str, Any]:
    """An algorithm that is a shell script."""
    entry = ["/bin/sh", "-c", script]
    return {"TrainingImage": IMAGE, "TrainingInputMode": "File", "ContainerEntrypoint": entry}


def wait_for(what: str, look: Callable[[], Any]) -> Any:
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come")


def job_of(running: Launched, name: str) -> dict[str, Any]:
    found: dict[str, Any] = client("sagemaker", running.endpoint_url).describe_training_job(TrainingJobName=name)
    return found


def until(running: Launched, name: str, *secondary: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        job = job_of(running, name)
        return job if job["SecondaryStatus"] in secondary else None

    found: dict[str, Any] = wait_for(f"{name}: {secondary}", look)
    return found


def marked(mark: str) -> set[int]:
    """Living processes with that word in their command line."""
    found = set()
    for pid in pids():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if mark.encode() in words and pid != os.getpid():
            found.add(pid)
    return found


def start_long(running: Launched, mark: str) -> None:
    """A job whose processes ignore SIGTERM and leave their group, with that mark in their command lines."""
    client("s3", running.endpoint_url).create_bucket(Bucket="bucket")
    inner = f'trap "" TERM; : {mark}; sleep 1000; :'
    script = f"(setsid sh -c '{inner}' &); sh -c '{inner}'"
    api = client("sagemaker", running.endpoint_url)
    api.create_training_job(**request("long", spot=True, AlgorithmSpecification=shell(script)))
    until(running, "long", "Training")
    wait_for("the program", lambda: marked(mark))


def test_it_prints_one_line_when_ready_and_exits_0_on_sigterm(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "nightspot.cli", "emulate", "sagemaker", "--state", str(tmp_path / "s")]
    process = subprocess.Popen(
        [*command, "--market", "generator:7", "--time-scale", "240"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**without_aws(os.environ), "AWS_PROFILE": "somebody-elses"},
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("ready http://127.0.0.1:")
    assert client("sts", line.split()[1]).get_caller_identity()["Account"] == "123456789012"
    process.send_signal(signal.SIGTERM)
    rest, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, rest, errors) == (0, "", "")


def test_sigterm_leaves_no_process_of_a_training_behind(emulated: Emulated) -> None:
    running = emulated()
    start_long(running, "mark-of-sigterm")
    assert running.stop() == 0
    assert marked("mark-of-sigterm") == set()


def test_training_dies_with_an_emulator_that_is_killed(emulated: Emulated) -> None:
    running = emulated()
    start_long(running, "mark-of-sigkill")
    running.process.kill()
    running.process.wait()
    wait_for("the end", lambda: not marked("mark-of-sigkill"))


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_the_same_state_goes_on_whatever_ended_the_emulator(
    emulated: Emulated, tmp_path: Path, ending: signal.Signals
) -> None:
    first = emulated()
    client("s3", first.endpoint_url).create_bucket(Bucket="bucket")
    client("s3", first.endpoint_url).put_object(Bucket="bucket", Key="data/x", Body=b"x")
    script = "test -e /opt/ml/checkpoints/a && exit 0; echo 1 > /opt/ml/checkpoints/a; sleep 600"
    client("sagemaker", first.endpoint_url).create_training_job(
        **request("goes-on", spot=True, AlgorithmSpecification=shell(script)),
        CheckpointConfig={"S3Uri": "s3://bucket/checkpoints"},
    )
    until(first, "goes-on", "Training")
    index = tmp_path / "emulator/s3/index.json"
    wait_for("the checkpoint", lambda: _has(first, "checkpoints/a"))
    if ending is signal.SIGKILL:  # what S3 was given is on the disk after some seconds
        wait_for("the copy", lambda: index.exists() and '"checkpoints/a"' in index.read_text())
    first.process.send_signal(ending)
    first.process.wait()
    second = emulated()
    job = until(second, "goes-on", "Completed")
    assert statuses(job)[:4] == ["Starting", "Downloading", "Training", "Interrupted"]
    assert _has(second, "data/x")
    assert _has(second, "out/goes-on/output/model.tar.gz")


def _has(running: Launched, key: str) -> bool:
    listed = client("s3", running.endpoint_url).list_objects_v2(Bucket="bucket")
    return key in [one["Key"] for one in listed.get("Contents", ())]


LAUNCHER = """
import sys, time
from pathlib import Path
from nightspot.emulator.launch import launch
print(launch(Path(sys.argv[1]), owned=sys.argv[2] == "owned").pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("owned", ["owned", "detached"])
def test_an_owned_emulator_dies_with_its_launcher_and_a_detached_one_does_not(tmp_path: Path, owned: str) -> None:
    command = [sys.executable, "-c", LAUNCHER, str(tmp_path / "s"), owned]
    launcher = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert launcher.stdout is not None
    pid = int(launcher.stdout.readline())
    emulator = identify(pid)
    assert emulator is not None
    launcher.kill()
    launcher.communicate()
    if owned == "detached":
        address = (tmp_path / "s/emulator.log").read_text().split()[1]
        assert client("sagemaker", address).list_training_jobs()["TrainingJobSummaries"] == []
        assert emulator.send(signal.SIGTERM)
    wait_for("the end", lambda: not emulator.alive())


def test_a_second_emulator_on_the_same_state_is_refused(emulated: Emulated) -> None:
    emulated()
    with pytest.raises(EmulatorError, match="another emulator is at work in"):
        emulated()


def test_a_port_that_is_taken_is_refused(emulated: Emulated, tmp_path: Path) -> None:
    port = emulated().endpoint_url.rpartition(":")[2]
    with pytest.raises(EmulatorError, match=f"port {port} of 127.0.0.1 cannot be had"):
        emulated("--port", port, state=tmp_path / "other")


def test_it_leaves_by_itself_when_nobody_wants_it_any_more(emulated: Emulated) -> None:
    running = emulated("--idle-exit", "4s")
    script = "sleep 6"
    client("sagemaker", running.endpoint_url).create_training_job(
        **request("busy", AlgorithmSpecification=shell(script))
    )
    client("s3", running.endpoint_url).create_bucket(Bucket="bucket")
    assert running.process.wait(PATIENCE_S) == 0
    again = emulated()
    assert job_of(again, "busy")["TrainingJobStatus"] == "Completed"


def test_the_sync_goes_silent_when_asked_to_and_training_goes_on(emulated: Emulated) -> None:
    running = emulated("--faults", "no-sync=1", "--sync-every", "6s")
    client("s3", running.endpoint_url).create_bucket(Bucket="bucket")
    late = "echo 1 > b; sleep 1; echo trained > /opt/ml/model/m; exit 0"
    script = f"trap '{late}' TERM; cd /opt/ml/checkpoints; echo 1 > a; while :; do sleep 0.1; done"
    api = client("sagemaker", running.endpoint_url)
    api.create_training_job(
        **request("silent", AlgorithmSpecification=shell(script)),
        CheckpointConfig={"S3Uri": "s3://bucket/checkpoints"},
    )
    wait_for("the only sync", lambda: _has(running, "checkpoints/a"))
    api.stop_training_job(TrainingJobName="silent")
    until(running, "silent", "Stopped")
    assert _has(running, "out/silent/output/model.tar.gz")
    assert (_has(running, "checkpoints/a"), _has(running, "checkpoints/b")) == (True, False)


def test_market_time_is_anchored_as_told(emulated: Emulated) -> None:
    running = emulated("--anchor-market-utc", "1000000000", "--anchor-real-utc", str(time.time()), "--time-scale", "10")
    client("sagemaker", running.endpoint_url).create_training_job(**request("old"))
    created = job_of(running, "old")["CreationTime"].timestamp()
    assert 1_000_000_000 <= created < 1_000_000_000 + 10 * PATIENCE_S


def emulate(*words: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nightspot.cli", "emulate", *words],
        env={**os.environ, **changes},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("lambda",), "no emulator of 'lambda'"),
        (("sagemaker", "--faults", "earthquake"), "no such fault"),
        (("sagemaker", "--market", "sometimes"), "no such trace"),
        (("sagemaker", "--time-scale", "0"), "--time-scale"),
        (("sagemaker", "--anchor-real-utc", "1"), "belong together"),
    ],
)
def test_a_users_mistake_is_one_line(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    done = emulate(*words, "--state", str(tmp_path / "s"))
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--bogus",), "No such option: --bogus"),
        (("--sync-every", "0s"), "--sync-every 0s: expected a duration above 0, such as 60s"),
        (("--port", "many"), "Invalid value for '--port': "),
    ],
)
def test_a_mistake_in_what_a_program_launches_it_with_is_said_without_usage_and_frame(
    tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    with pytest.raises(EmulatorOptionError) as caught:
        launch(tmp_path / "s", options)
    assert str(caught.value).startswith(said)
    assert not {"\n", "│", "─"} & set(str(caught.value))


def test_without_bubblewrap_it_says_so_in_one_line(tmp_path: Path) -> None:
    done = emulate("sagemaker", "--state", str(tmp_path / "s"), PATH=str(tmp_path))
    assert done.returncode == ExitCode.BACKEND
    assert "bubblewrap" in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_the_extra_it_says_so_in_one_line(tmp_path: Path) -> None:
    hide = "import sys; sys.modules['moto'] = sys.modules['werkzeug'] = None\n"
    program = f"{hide}from nightspot.cli.app import invoke; sys.exit(invoke(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", program, "emulate", "sagemaker", "--state", str(tmp_path / "s")],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == ExitCode.BACKEND
    assert "needs moto, werkzeug" in done.stderr
    assert "nightspot[emulator]" in done.stderr
    assert done.stderr.count("\n") == 1
