"""Files of a checkpoint -> memory, each byte hashed on its way, several threads: what lives already in a second pass."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

from nightspot.checkpoint.ahead import patches
from nightspot.checkpoint.errors import DamagedError
from nightspot.checkpoint.filling import BLOCK_BYTES, Filling, Spare, check_size
from nightspot.checkpoint.layout import Span, Target, box_bytes, in_place, targets
from nightspot.checkpoint.manifest import INDEX, STATE, File, Manifest, rank_file
from nightspot.checkpoint.pieces import ITEM_BYTES
from nightspot.checkpoint.tiling import check_index

MOST_THREADS = 8

Boxes = Mapping[str, tuple[Sequence[int], Sequence[int]]]  # key -> offsets and sizes of what is wanted of it


def _nothing() -> None:
    """All is in memory already."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a verified checkpoint holds for one rank. trees: by state's name. tensors: by key of `index.json`.

    put: reads those that are live tensors' own memory into it; until then they have the values of the program. Raises
    DamagedError, OSError where the files are no longer what was verified: the live states are then of no use.
    """

    trees: dict[str, Any]
    index: dict[str, Any]
    tensors: dict[str, Any]
    put: Callable[[], None] = _nothing


def read(checkpoint: Path, manifest: Manifest, rank: int = 0) -> Contents:
    """All of a checkpoint of one process, every byte verified.

    Raises DamagedError, UnverifiableError, OSError.
    """
    trees, index = read_trees(checkpoint, manifest, rank)
    return Contents(trees, index, read_tensors(checkpoint, manifest, index))


def read_trees(checkpoint: Path, manifest: Manifest, rank: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The trees for `rank`, and the index: key -> dtype, shape, pieces. Raises as `read` does."""
    found = {file.name: file for file in manifest.files}
    texts = [_json(checkpoint, found.get(name), manifest.algorithm) for name in (STATE, rank_file(rank), INDEX)]
    index = texts[2].get("tensors", {})
    check_index(index, manifest.name)
    return texts[0] | texts[1], index


def read_own(checkpoint: Path, manifest: Manifest, rank: int) -> dict[str, Any]:
    """The trees that `rank` alone has. Raises as `read` does."""
    name = rank_file(rank)
    return _json(checkpoint, next((file for file in manifest.files if file.name == name), None), manifest.algorithm)


def read_tensors(
    checkpoint: Path, manifest: Manifest, index: Mapping[str, Any], boxes: Boxes | None = None
) -> dict[str, Any]:
    """Tensors in CPU memory, by key of the index. boxes: read only these, and only files that hold something of them;
    None: all, and every file that is neither a tree nor the index is verified.

    Raises DamagedError where a byte differs, UnverifiableError, OSError.
    """
    every = {key: _whole(entry) for key, entry in index.items()}
    return read_around(checkpoint, manifest, index, every if boxes is None else boxes, {}, everything=boxes is None)[0]


def read_around(
    checkpoint: Path,
    manifest: Manifest,
    index: Mapping[str, Any],
    boxes: Boxes,
    homes: Mapping[str, memoryview],
    *,
    everything: bool = False,
) -> tuple[dict[str, Any], Callable[[], None]]:
    """As `read_tensors`, but those in `homes` (key -> memory that exists, of all of a tensor) are verified only, not kept.

    The function that is returned then reads them into `homes`, and hashes them again on their way there: it raises
    DamagedError, OSError where a file is no longer what was verified, and has spoilt `homes` by then.
    everything: verify all files that are neither a tree nor the index, not only those that hold something of `boxes`.
    """
    wanted = patches.with_patches(index, boxes)
    _refuse_too_much(checkpoint, index, wanted, manifest)
    placed = [made for key, memory in homes.items() if (made := in_place(key, index[key], memory)) is not None]
    there = {target.key for target in placed}
    planned = targets(index, {key: box for key, box in wanted.items() if key not in there})
    spans, later = _by_file(planned), _by_file(placed)
    for some in (spans, later):
        _refuse_unknown(checkpoint, some, manifest)
        _refuse_outside(checkpoint, some, manifest)
    needed = spans.keys() | later.keys()
    texts = {STATE, INDEX, *(file.name for file in manifest.files if file.name.endswith(".json"))}
    files = [file for file in manifest.files if file.name in needed or (everything and file.name not in texts)]
    _in_threads(checkpoint, files, manifest.algorithm, spans)
    found = {target.key: _tensor(target, index[target.key]["dtype"]) for target in planned}
    patches.lay_over(index, found, {key: wanted[key] for key in found})
    again = [file for file in files if file.name in later]
    return found, partial(_in_threads, checkpoint, again, manifest.algorithm, later)


def _by_file(planned: Iterable[Target]) -> dict[str, list[Span]]:
    found: dict[str, list[Span]] = {}
    for target in planned:
        for span in target.spans:
            found.setdefault(span.file, []).append(span)
    return found


def read_file(checkpoint: Path, file: File, algorithm: str, spans: Iterable[Span]) -> None:
    """Fill the spans' memory from a file, all of which is hashed. Spans must not overlap in the file.

    Raises DamagedError where it is not what was written, UnverifiableError, OSError.
    """
    _read_all([Filling(checkpoint, file, algorithm, spans)], 1)


def _in_threads(checkpoint: Path, files: Sequence[File], algorithm: str, spans: Mapping[str, list[Span]]) -> None:
    spare = Spare()
    fillings = [Filling(checkpoint, file, algorithm, spans.get(file.name, ()), spare) for file in files]
    size_bytes = sum(file.size_bytes for file in files)
    _read_all(fillings, min(MOST_THREADS, len(os.sched_getaffinity(0)), -(-size_bytes // BLOCK_BYTES)))


def _read_all(fillings: Sequence[Filling], threads: int) -> None:
    """All threads work on one file, then on the next: none of them is left alone with the largest."""
    stop = Event()

    def work() -> None:
        try:
            for filling in fillings:
                while not stop.is_set() and filling.turn():
                    pass
        except BaseException:
            stop.set()  # the others need not read to the end of what is refused
            raise

    try:
        if threads <= 1:
            work()
        else:
            _in_pool(work, threads, stop)
    finally:
        for filling in fillings:
            filling.close()
    for filling in fillings:
        filling.check()


def _in_pool(work: Callable[[], None], threads: int, stop: Event) -> None:
    with ThreadPoolExecutor(threads) as pool:
        try:
            for done in [pool.submit(work) for _ in range(threads)]:
                done.result()
        finally:
            stop.set()  # an interrupt must not wait for the last byte


def _json(checkpoint: Path, file: File | None, algorithm: str) -> dict[str, Any]:
    if file is None:
        return {}
    with suppress(FileNotFoundError):  # before memory of that size is asked for; a missing file is said below
        check_size(checkpoint, file, (checkpoint / file.name).lstat().st_size)
    content = bytearray(file.size_bytes)
    read_file(checkpoint, file, algorithm, [Span(file.name, 0, memoryview(content))])
    found: dict[str, Any] = json.loads(content)
    return found


def _refuse_unknown(checkpoint: Path, spans: Mapping[str, object], manifest: Manifest) -> None:
    if unknown := sorted(spans.keys() - {file.name for file in manifest.files}):
        raise DamagedError(f"{checkpoint.name}: its index names files that its manifest does not: {', '.join(unknown)}")


def _refuse_outside(checkpoint: Path, spans: Mapping[str, list[Span]], manifest: Manifest) -> None:
    sizes = {file.name: file.size_bytes for file in manifest.files}
    for name, those in spans.items():
        if any(span.offset_bytes < 0 or span.offset_bytes + len(span.memory) > sizes[name] for span in those):
            raise DamagedError(f"{checkpoint.name}: its index names bytes that {name} does not have")


def _refuse_too_much(checkpoint: Path, index: Mapping[str, Any], wanted: Boxes, manifest: Manifest) -> None:
    """Before memory is asked for: an index with a shape that no file can fill must not end the process."""
    if any(number < 0 for box in wanted.values() for numbers in box for number in numbers):
        raise DamagedError(f"{checkpoint.name}: its index has a negative size or offset")
    if unknown := sorted({str(index[key]["dtype"]) for key in wanted} - ITEM_BYTES.keys()):
        raise DamagedError(f"{checkpoint.name}: its index names dtypes that are not known here: {', '.join(unknown)}")
    asked = sum(box_bytes(index[key]["dtype"], sizes) for key, (_, sizes) in wanted.items())
    if asked > manifest.size_bytes:
        raise DamagedError(
            f"{checkpoint.name}: its index names {asked} bytes of tensors, its files have {manifest.size_bytes}"
        )


def _whole(entry: Mapping[str, Any]) -> tuple[list[int], list[int]]:
    return [0] * len(entry["shape"]), list(entry["shape"])


def _tensor(target: Target, dtype: str) -> Any:
    from nightspot.checkpoint import _torch_memory

    return _torch_memory.assemble(target, dtype)
