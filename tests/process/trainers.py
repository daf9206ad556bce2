"""Small training programs, as a user would write them, in plain Python: what the tests of processes run."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

# Speaks docs/training-protocol.md by hand: `units` units of `unit_s` real seconds, a checkpoint after each, one more on notice.
SPEAKS = """
    import json, os, signal, sys, time

    units, unit_s = float(sys.argv[1]), float(sys.argv[2])
    told = []
    signal.signal(signal.SIGTERM, lambda *_: told.append(1))

    def say(kind, **fields):
        with open(os.environ["NIGHTSPOT_PROGRESS"], "ab", 0) as file:
            file.write(json.dumps({"kind": kind, **fields}).encode() + b"\\n")

    kept = os.path.join(os.environ["NIGHTSPOT_CHECKPOINT_DIR"], "kept.json")
    done = json.load(open(kept)) if os.path.exists(kept) else 0.0
    asked = os.environ["NIGHTSPOT_SAVE_REQUEST"]
    every = float(sys.argv[3]) if len(sys.argv) > 3 else 1.0

    def save():
        with open(kept + ".tmp", "w") as file:
            json.dump(done, file)
        os.replace(kept + ".tmp", kept)
        say("checkpoint", units_done=done, name=f"unit-{done:g}", digest="d", save_s=0.01, size_bytes=1)

    say("training", units_done=done)
    while done < units:
        time.sleep(unit_s)
        done += 1.0
        say("progress", units_done=done, metrics={"loss": 1.0 / done})
        wanted = os.path.exists(asked)
        if wanted:
            os.unlink(asked)
        if told or wanted or done % every == 0 or done >= units:
            save()
        if told and done < units:
            sys.exit(75)
    if "NIGHTSPOT_ARTIFACT" in os.environ:
        with open(os.environ["NIGHTSPOT_ARTIFACT"], "w") as file:
            file.write("a model")
    say("done", units_done=done, metrics={"loss": 0.5}, facts={"data_sha256": "abc"})
"""


def program(folder: Path, source: str, name: str = "train.py") -> Path:
    """Write it where it can be run."""
    path = folder / name
    path.write_text(textwrap.dedent(source))
    return path


def command(path: Path, *arguments: object) -> tuple[str, ...]:
    """How it is called."""
    return (sys.executable, str(path), *[str(argument) for argument in arguments])
