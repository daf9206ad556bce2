"""Which checkpoints go: those older than the newest few that are good."""

from __future__ import annotations

import os
import shutil
from collections.abc import Container
from pathlib import Path

from nightspot.checkpoint import manifest

LOADING = "loading-"  # marker of a load in progress, see restore


def retain(folder: Path, keep: int, bad: Container[str]) -> None:
    """Drop all that is older than the `keep` newest ones not known as `bad`. Raises OSError.

    Called right after a commit, so the newest is one that was just written and is always among the kept.
    """
    all_names = manifest.names(folder)
    kept = [name for name in all_names if name not in bad][:keep]
    oldest = min((manifest.number(name) for name in kept), default=0)
    for name in all_names:
        if manifest.number(name) < oldest:
            _drop(folder, name)


def sweep(folder: Path) -> None:
    """Remove what dead processes left unfinished; only for the holder of the lock. Raises OSError."""
    for name in manifest.unfinished(folder):
        shutil.rmtree(folder / name)


def _drop(folder: Path, name: str) -> None:
    """Take the name away first: a reader must never meet half a checkpoint."""
    leaving = folder / f"{name}.tmp-{os.urandom(6).hex()}"
    (folder / name).rename(leaving)
    shutil.rmtree(leaving)
    (folder / f"{LOADING}{name}").unlink(missing_ok=True)
