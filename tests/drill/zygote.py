"""Imports torch once and then forks each training from there: real processes, scripts and probes, without two seconds of import each.

One JSON request a line: {"script", "environment", "folder", "output"}. Answers, a line each: {"pid"}, then {"code"} as a shell has it.
"""

import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any

import torch._dynamo  # torch imports it at an optimizer's first step, for a second
import torch.utils.data

sys.path.insert(0, sys.argv[1])
from nightspot_probe.attach import start


def train(request: dict[str, Any]) -> None:
    """What `python script` would do, in this process."""
    output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.argv[:] = [request["script"]]
    sys.path.insert(0, str(Path(request["script"]).parent))
    torch.seed()  # as in any new process: no two forks begin alike
    start(os.environ)
    runpy.run_path(request["script"], run_name="__main__")


def leave(request: dict[str, Any]) -> None:
    """Train, and end as Python would."""
    code = 0
    try:
        train(request)
    except SystemExit as asked:
        code = asked.code if isinstance(asked.code, int) else int(asked.code is not None)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def say(**line: int) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        leave(json.loads(line))
    say(pid=pid)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    say(code=128 - code if code < 0 else code)
