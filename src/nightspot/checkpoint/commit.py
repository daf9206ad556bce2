"""An order -> a folder that is either wholly there after a power cut, or not there.

Files are hashed as they are written and flushed to disk, then the manifest, then the folder; a rename makes
it exist, and flushing the parent makes the rename last. Only after that may anybody be told.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from nightspot.checkpoint import _hashing, disk, manifest
from nightspot.checkpoint.ahead.patches import merge
from nightspot.checkpoint.ahead.writing import Base
from nightspot.checkpoint.manifest import INDEX, MANIFEST, File, Manifest
from nightspot.checkpoint.order import Order
from nightspot.checkpoint.pieces import Part

Source = Callable[[Part], memoryview]  # the bytes of a part, valid until it is asked for the next one
Beat = Callable[[], None]


def nothing() -> None:
    """For who need not know that a save gets on."""


def commit(order: Order, source: Source, beat: Beat = nothing, base: Base | None = None) -> Manifest:
    """Write a new checkpoint; when this returns it is durable.

    beat: called each time something was written. base: what is in the unfinished folder already. Raises OSError (disk
    full, I/O error); what was written until then is removed.
    """
    order = above_all(order)
    if base is None:
        order.unfinished.mkdir()
        base = Base(order.unfinished, (), {})
    elif base.folder != order.unfinished:
        base.folder.rename(order.unfinished)
    try:
        algorithm = _hashing.preferred()
        files = [*base.files, *write_parts(order, order.parts, source, algorithm, beat)]
        manifest = finish(order, [*files, _index(order, source, algorithm, base)], algorithm)
        disk.publish(order.unfinished, order.final)
    except BaseException:
        shutil.rmtree(order.unfinished, ignore_errors=True)
        raise
    return manifest


def above_all(order: Order) -> Order:
    """The same save under a name above all checkpoints that are there: somebody may have put one into the folder since training began.

    Raises OSError.
    """
    highest = max(map(manifest.number, manifest.names(Path(order.folder))), default=0)
    taken = highest >= manifest.number(order.name)
    return replace(order, name=f"step-{highest + 1:09d}") if taken else order


def write_parts(order: Order, parts: Iterable[Part], source: Source, algorithm: str, beat: Beat) -> list[File]:
    """The files of this rank, each on disk. Raises OSError."""
    return [disk.write(order.unfinished / part.name, source(part), algorithm, beat) for part in parts]


def finish(order: Order, files: Iterable[File], algorithm: str) -> Manifest:
    """The manifest over files that are on disk, and all their names. Raises OSError."""
    manifest = Manifest(order.name, order.head, algorithm, tuple(files))
    disk.write(order.unfinished / MANIFEST, memoryview(manifest.to_bytes()), algorithm, nothing)
    disk.sync_folder(order.unfinished)
    return manifest


def index_bytes(entries: object) -> bytes:
    """The content of `index.json`, from the entries of all ranks."""
    return json.dumps({"tensors": entries}, allow_nan=False, separators=(",", ":")).encode()


def _index(order: Order, source: Source, algorithm: str, base: Base) -> File:
    content = index_bytes(merge(base.entries, json.loads(bytes(source(order.entries)))))
    return disk.write(order.unfinished / INDEX, memoryview(content), algorithm, nothing)
