"""The controller killed with SIGKILL at random moments of real nights: a short form of scripts/kill_controller.py."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "kill_controller.py"


@pytest.mark.slow
def test_killed_controllers_lose_double_and_orphan_nothing() -> None:
    words = [sys.executable, str(SCRIPT), "--kills", "15", "--seed", "11"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    counted = re.search(r"kills=(\d+) nights=\d+ attempts=(\d+) lost=0 doubled=0 orphans=0", done.stdout)
    assert counted is not None, done.stdout
    assert int(counted[1]) == 15
    assert int(counted[2]) >= 1
