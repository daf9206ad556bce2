"""Plays lives of a small training as processes that are really killed; one import of the framework serves them all.

Run as a process: FRAMEWORK, folder, and how each life ends: "TERM@batch", "KILL@batch" or "" (at its end). Prints a JSON
line a life: its exit code and, of one that ended, losses by batch and the digest of its weights.
"""

import hashlib
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

SESSION = {"interval": "3 steps", "background": True}
Result = tuple[Mapping[int, float], Mapping[str, Any]]


def training(framework: str, folder: Path) -> Callable[[Any], Result]:
    """One life of it; loader workers draw at random, and batch n's forward pass is where it ends."""
    importlib.import_module(framework)
    if framework == "transformers":
        return lambda end: huggingface(folder, end)
    return lambda end: lightning(folder, end)


def huggingface(folder: Path, end: Any) -> Result:
    from tests.checkpoint.integrations.transformers_training import Life

    ended = Life(folder, end, {"dataloader_num_workers": 1}, session=SESSION).train(folder.parent)
    return ended.losses, ended.weights


def lightning(folder: Path, end: Any) -> Result:
    from tests.checkpoint.integrations.lightning_training import Life

    return Life(folder, "workers", end, session=SESSION).fit()


def digest(weights: Mapping[str, Any]) -> str:
    return hashlib.sha256(b"".join(weights[name].numpy().tobytes() for name in sorted(weights))).hexdigest()


def play(train: Callable[[Any], Result], end: str) -> None:
    """In a child, which leads a group of its own."""
    name, _, at = end.partition("@")
    losses, weights = train((int(at), lambda: strike(f"SIG{name}")) if at else None)
    say({"losses": losses, "digest": digest(weights)})


def say(line: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def strike(name: str) -> None:
    """The whole group, from outside, as a supervisor does: loaders' workers, too."""
    command = f"kill -{name.removeprefix('SIG')} -{os.getpgid(0)}"
    subprocess.run(["sh", "-c", command], start_new_session=True, check=True)
    time.sleep(0.2)  # for what the signal does to the workers


def in_child(action: Callable[[], None]) -> int:
    """Its exit code; negative: the signal that ended it."""
    if (child := os.fork()) == 0:
        os.setpgid(0, 0)
        try:
            action()
        except SystemExit as leaving:
            os._exit(int(leaving.code or 0))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    train = training(sys.argv[1], Path(sys.argv[2]))
    for life in sys.argv[3:]:
        say({"code": in_child(partial(play, train, life))})
