"""Starts the drill's probe, then the sitecustomize that this one stands in front of. On PYTHONPATH in a drill, never otherwise.

Python imports a module of this name at its start. With no $NIGHTSPOT_PROBE the probe is not even imported.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.machinery import PathFinder

HERE = os.path.realpath(os.path.dirname(__file__))  # noqa: PTH120 - pathlib costs every start of Python 20 ms


def _start_probe() -> None:
    if not os.environ.get("NIGHTSPOT_PROBE"):
        return
    try:
        from nightspot_probe.attach import start

        start(os.environ)
    except Exception as error:  # a training never fails for its probe
        print(f"nightspot: the drill's probe could not start: {error!r}", file=sys.stderr)  # noqa: T201


def _start_next() -> None:
    """Whatever sitecustomize Python would have found without us."""
    rest = [entry for entry in sys.path if os.path.realpath(entry) != HERE]
    spec = PathFinder.find_spec("sitecustomize", rest)
    if not os.environ.get("NIGHTSPOT_PROBE_STAYS"):
        sys.path[:] = rest
    if spec is None or spec.loader is None:
        return
    module = importlib.util.module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


_start_probe()
_start_next()
