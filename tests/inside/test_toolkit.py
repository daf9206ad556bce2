"""The wrapper under the real training toolkit: the script cannot tell that it is there, and the controller can."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.inside.image import BUCKET, CONTROL, Image, wait_for

SHOWS = """
    import json, os, sys
    import nightspot, nightspot.checkpoint
    seen = {
        "arguments": sys.argv,
        "folder": os.getcwd(),
        "nightspot": nightspot.__file__,
        "environment": dict(os.environ),
        "leads a group": os.getpgrp() == os.getpid(),
        "staging": os.path.isdir(os.environ["NIGHTSPOT_CHECKPOINT_STAGING"]),
    }
    json.dump(seen, open(os.path.join(os.environ["SM_MODEL_DIR"], "seen.json"), "w"))
"""
# Says what it hears, as often as it hears it, and leaves with 75 after the second.
HEARS = """
    import json, os, signal, sys, time
    heard = []
    def on_term(number, frame):
        heard.append(os.path.exists(os.environ["NIGHTSPOT_NOTICE"]))
    signal.signal(signal.SIGTERM, on_term)
    with open(os.environ["NIGHTSPOT_PROGRESS"], "a") as progress:
        progress.write('{"kind": "training", "units_done": 0}' + chr(10))
    while len(heard) < int(sys.argv[-1]):
        time.sleep(0.02)
    print(json.dumps(heard))
    sys.exit(75)
"""


def test_the_script_runs_as_it_would_without_us(image: Image) -> None:
    changed = image.bundle({"train.py": SHOWS, "data.txt": "x"}, epochs="3", lr="0.5")
    assert image.train().wait() == 0, image.err.read_text()
    seen = json.loads((image.base / "model/seen.json").read_text())
    code = image.base / "code"
    assert seen["arguments"] == ["train.py", "--epochs", "3", "--lr", "0.5"]
    assert Path(seen["folder"]) == code
    assert seen["leads a group"]
    assert seen["staging"]
    assert Path(seen["nightspot"]).is_relative_to(image.base / ".nightspot/packages")
    assert {"FOO": "1", "NIGHTSPOT_FINGERPRINT": "f1", "NIGHTSPOT_CHECKPOINT_INTERVAL_S": "10.0"}.items() <= seen[
        "environment"
    ].items()
    assert json.loads(changed["HyperParameters"]["sagemaker_program"]) == "nightspot_entry.py"
    assert image.failure is None
    assert (image.base / "output/success").exists()
    document = image.progress()
    assert (document["stage"], document["exit_code"], document["trains"]) == ("ended", 0, False)


NOISE = b"caf\xe9 \x00\x1b[1m\r progress 10%\r 20%\n no newline at the end"
NOISY = f"""
    import os
    os.write(1, {NOISE!r})
    os.write(2, {NOISE[::-1]!r})
"""


def test_output_is_left_byte_for_byte(image: Image) -> None:
    changed = image.bundle({"train.py": NOISY})
    assert image.enter(changed).wait() == 0
    assert image.out.read_bytes() == NOISE
    assert image.err.read_bytes() == NOISE[::-1]


def test_under_the_toolkit_output_is_left_too(image: Image) -> None:
    image.bundle({"train.py": NOISY})
    assert image.train().wait() == 0
    assert NOISE in image.out.read_bytes() + image.err.read_bytes()
    assert NOISE[::-1] in image.err.read_bytes()


@pytest.mark.parametrize("program", ["run.sh", "bin/run.sh", "run", "bin/train.py"])
def test_other_programs_run_as_the_toolkit_runs_them(image: Image, program: str) -> None:
    shell = '#!/bin/sh\necho "ran $0 with $*" > "$SM_MODEL_DIR/seen"\n'
    python = """
        import os, sys
        open(os.environ["SM_MODEL_DIR"] + "/seen", "w").write(f"ran ./{sys.argv[0]} with {' '.join(sys.argv[1:])}\\n")
    """
    # The toolkit would install it for a Python program; offline that fails.
    files = {program: python if program.endswith(".py") else shell}
    image.bundle(
        files | ({} if program.endswith(".py") else {"requirements.txt": "nowhere-to-be-found"}), program, a="it's"
    )
    assert image.train().wait() == 0, image.err.read_text()
    assert (image.base / "model/seen").read_text() == f"ran ./{program} with -a it's\n"


@pytest.mark.parametrize(
    ("ends", "exit_code", "failure"),
    [
        ("import sys; sys.exit(3)", 3, "train.py: exit code 3; the log has its last words"),
        ("import sys; sys.exit(78)", 78, "train.py: exit code 78: starting it again will not help; the log says why"),
        (
            "import os; os.kill(os.getpid(), 9)",
            137,
            "train.py: exit code 137: killed by SIGKILL (often: out of memory)",
        ),
        ("import os; os.abort()", 134, "train.py: exit code 134: killed by SIGABRT"),
    ],
)
def test_a_failure_is_told_to_both(image: Image, ends: str, exit_code: int, failure: str) -> None:
    image.bundle({"train.py": ends})
    assert image.train().wait() == 1  # the toolkit's own, whatever the script's was
    assert image.failure == failure
    assert f"ExitCode {exit_code}\n" in image.err.read_text() + image.out.read_text()
    assert image.progress()["exit_code"] == exit_code


def test_where_the_toolkit_reads_the_scripts_errors_it_explains_them_itself(image: Image) -> None:
    assert image.enter(image.bundle({"train.py": "raise ValueError('a bad learning rate')"})).wait() == 1
    assert image.failure is None
    assert "a bad learning rate" in image.err.read_text()


def test_a_failure_that_the_script_explains_is_left_alone(image: Image) -> None:
    explains = """
        import os, sys
        open(os.environ["SAGEMAKER_BASE_DIR"] + "/output/failure", "w").write("out of ideas")
        sys.exit(1)
    """
    image.bundle({"train.py": explains})
    assert image.train().wait() == 1
    assert image.failure == "out of ideas"


def test_sigterm_is_passed_on_each_time_after_the_notice(image: Image) -> None:
    image.bundle({"train.py": HEARS}, z="2")
    toolkit = image.train()
    wrapper = image.wrapper(toolkit)
    wait_for(lambda: image.progress().get("trains"))
    wrapper.send_signal(signal.SIGTERM)
    wait_for(lambda: image.progress().get("notice"))
    wrapper.send_signal(signal.SIGTERM)
    assert toolkit.wait() == 1
    assert "[true, true]" in image.out.read_text()
    assert image.failure == "train.py: exit code 75: ended early, as it was asked to; start it again"
    document = image.progress()
    assert document["exit_code"] == 75
    assert document["notice"] == {"reason": "stop", "kill_in_s": 2.0}


def test_a_stop_object_does_what_sigterm_does(image: Image) -> None:
    image.bundle({"train.py": HEARS}, z="1")
    toolkit = image.train()
    wait_for(lambda: image.progress().get("trains"))
    image.say("stop")
    assert toolkit.wait() == 1
    assert "[true]" in image.out.read_text()
    assert image.progress()["exit_code"] == 75


def test_a_stop_that_an_earlier_incarnation_was_told_still_holds(image: Image) -> None:
    image.say("stop")
    image.bundle({"train.py": HEARS}, z="1")
    assert image.train().wait() == 1
    assert image.progress()["exit_code"] == 75


def test_what_another_attempt_is_told_is_not_heard(image: Image) -> None:
    image.s3.put_object(Bucket=BUCKET, Key=CONTROL.replace("-1/", "-10/") + "stop", Body=b"")
    image.bundle({"train.py": "import time; time.sleep(1)"})
    assert image.train().wait() == 0
