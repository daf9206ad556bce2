"""Which checkpoints go: those older than the newest few that are good. What is unfinished has no place where others look."""

from __future__ import annotations

import os
import shutil
from collections.abc import Container
from pathlib import Path

from nightspot.checkpoint import manifest
from nightspot.checkpoint.order import Order

LOADING = "loading-"  # marker of a load in progress, see restore


def staging_for(folder: Path, wished: Path | None) -> Path:
    """Where to write and to drop: `wished`, if a folder made there can be renamed into `folder`; else `folder` itself.

    Two mounts of one file system look like one, and still refuse: only a rename shows it.
    """
    if wished is None:
        return folder
    trial = f"trial.tmp-{os.urandom(6).hex()}"
    try:
        wished.mkdir(parents=True, exist_ok=True)
        (wished / trial).mkdir()
        (wished / trial).rename(folder / trial)
        (folder / trial).rmdir()
    except OSError:
        shutil.rmtree(wished / trial, ignore_errors=True)
        return folder
    return wished


def apply(order: Order) -> None:
    """What is right after a commit; of several ranks, the first does it. Raises OSError."""
    if order.rank != 0:
        return
    retain(Path(order.folder), order.keep, order.bad, Path(order.staging), keep_every=order.keep_every)


def retain(
    folder: Path, keep: int, bad: Container[str], staging: Path | None = None, *, keep_every: int | None = None
) -> None:
    """Drop all that is older than the `keep` newest ones not known as `bad`. Raises OSError.

    staging: where to take them before they are removed piece by piece; None: `folder` itself.
    keep_every: those whose number is a multiple of it stay for good.
    Called right after a commit, so the newest is one that was just written and is always among the kept.
    """
    all_names = manifest.names(folder)
    kept = [name for name in all_names if name not in bad][:keep]
    oldest = min((manifest.number(name) for name in kept), default=0)
    for name in all_names:
        number = manifest.number(name)
        if number < oldest and (keep_every is None or number % keep_every or name in bad):
            _drop(folder, name, staging or folder)


def sweep(folder: Path) -> None:
    """Remove what dead processes left unfinished; only for the holder of the lock. Raises OSError."""
    for name in manifest.unfinished(folder):
        shutil.rmtree(folder / name)


def _drop(folder: Path, name: str, staging: Path) -> None:
    """Take the name away first: a reader must never meet half a checkpoint."""
    leaving = staging / f"{name}.tmp-{os.urandom(6).hex()}"
    (folder / name).rename(leaving)
    shutil.rmtree(leaving)
    (folder / f"{LOADING}{name}").unlink(missing_ok=True)
