"""A trainer that is killed right after a step that began a save: FOLDER, then the path to leave a child's pid in.

Its tensors change as soon as `step` has returned, and a forked child that holds all its descriptors outlives it.
"""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch

from nightspot.checkpoint import Session, manifest

if __name__ == "__main__":
    folder, child = Path(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    loop: dict[str, Any] = {"step": 0, "weights": torch.zeros(1_000_000)}
    session = Session({"loop": loop}, folder=folder, interval_s=3600).__enter__()
    session.restore()
    session.step(units_done=0)  # nothing is due; the writer is made ready
    if (pid := os.fork()) == 0:
        os.close(1)
        time.sleep(60)
        os._exit(0)
    child.write_text(str(pid))
    loop["step"] = 7
    loop["weights"].fill_(7.0)
    session._asked = True
    session.step(units_done=7)
    loop["weights"].fill_(8.0)
    sys.stdout.write(f"{manifest.names(folder)}\n")
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)
