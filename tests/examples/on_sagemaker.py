"""Job files of the recommender on SageMaker, for an emulator of this machine; and a process to play them in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Mapping

EXAMPLE = Path(__file__).parents[2] / "examples" / "recommender"
NIGHTSPOT = [sys.executable, "-c", "from nightspot.cli.app import main; main()"]
ON_DEMAND_USD = 32.77
PLAY_S = 290.0
SAGEMAKER = """
[sagemaker]
template = "request.json"
region = "us-east-1"
"""
POOLS = f"""
[[pools]]
id = "spot"
backend = "sagemaker"
market = "spot"
instance_type = "ml.p4d.24xlarge"
price = 9.83
bounds = {{ lead = "1h", stop = "40min", refusal = "2h", save = "5min" }}
[[pools]]
id = "on-demand"
backend = "sagemaker"
market = "on-demand"
instance_type = "ml.p4d.24xlarge"
price = {ON_DEMAND_USD}
bounds = {{ lead = "1h", stop = "40min", refusal = "20min", save = "5min" }}
"""


def write_request(folder: Path, hyper: Mapping[str, str], program: str | None = None) -> None:
    """The recommender's request beside the job file, with these hyperparameters; or, for another program, with no others."""
    request = json.loads((EXAMPLE / "sagemaker" / "request.json").read_text())
    given = request["HyperParameters"]
    if program is not None:
        given = {name: value for name, value in given.items() if name.startswith("sagemaker_")}
        given["sagemaker_program"] = json.dumps(program)
    request["HyperParameters"] = given | dict(hyper)
    (folder / "request.json").write_text(json.dumps(request))


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("NIGHTSPOT_", "AWS_", "SM_"))}


def ran(words: list[str], timeout_s: float = PLAY_S) -> subprocess.CompletedProcess[str]:
    """That command of nightspot's, to its end."""
    return subprocess.run(
        [*NIGHTSPOT, *words],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env=clean_environment(),
        check=False,
        stdin=subprocess.DEVNULL,
    )


def commands() -> list[str]:
    """Of all processes."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found
