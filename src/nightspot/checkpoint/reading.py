"""Files of a checkpoint -> fresh memory, each byte hashed on its way: one pass, several threads, nothing live changes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from errno import EIO
from pathlib import Path
from typing import Any

from nightspot.checkpoint import _hashing
from nightspot.checkpoint.ahead import patches
from nightspot.checkpoint.errors import DamagedError
from nightspot.checkpoint.layout import Span, Target, box_bytes, targets
from nightspot.checkpoint.manifest import INDEX, STATE, File, Manifest, open_plain, rank_file
from nightspot.checkpoint.pieces import ITEM_BYTES
from nightspot.checkpoint.tiling import check_index

BLOCK_BYTES = 8 << 20
MOST_BUFFERS = 512  # in one call; the system's own limit is 1024
MOST_THREADS = 8

Boxes = Mapping[str, tuple[Sequence[int], Sequence[int]]]  # key -> offsets and sizes of what is wanted of it


@dataclass(frozen=True, slots=True)
class Contents:
    """What a verified checkpoint holds for one rank. trees: by state's name. tensors: by key of `index.json`."""

    trees: dict[str, Any]
    index: dict[str, Any]
    tensors: dict[str, Any]


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
    wanted = every if boxes is None else patches.with_patches(index, boxes)
    _refuse_too_much(checkpoint, index, wanted, manifest)
    planned = targets(index, wanted)
    spans: dict[str, list[Span]] = {}
    for target in planned:
        for span in target.spans:
            spans.setdefault(span.file, []).append(span)
    texts = {STATE, INDEX, *(file.name for file in manifest.files if file.name.endswith(".json"))}
    files = [file for file in manifest.files if file.name in spans or (boxes is None and file.name not in texts)]
    _refuse_unknown(checkpoint, spans, manifest)
    _refuse_outside(checkpoint, spans, manifest)
    _in_threads(checkpoint, files, manifest.algorithm, spans)
    found = {target.key: _tensor(target, index[target.key]["dtype"]) for target in planned}
    patches.lay_over(index, found, wanted)
    return found


def read_file(checkpoint: Path, file: File, algorithm: str, spans: Iterable[Span]) -> None:
    """Fill the spans' memory from a file, all of which is hashed. Spans must not overlap in the file.

    Raises DamagedError where it is not what was written, UnverifiableError, OSError.
    """
    digest = _hashing.new(algorithm)
    try:
        with open_plain(checkpoint / file.name) as opened:
            _check_size(checkpoint, file, os.fstat(opened.fileno()).st_size)
            for batch in _batches(_segments(spans, file.size_bytes)):
                _fill(opened.fileno(), batch, f"{checkpoint.name}: {file.name}")
                for _, memory in batch:
                    digest.update(memory)
    except FileNotFoundError as error:
        raise DamagedError(f"{checkpoint.name}: {file.name} is missing") from error
    except OSError as error:
        if error.errno != EIO:
            raise
        raise DamagedError(f"{checkpoint.name}: {file.name} cannot be read: {error}") from error
    if digest.hexdigest() != file.hash:
        raise DamagedError(f"{checkpoint.name}: {file.name} does not have the hash it was written with")


def _in_threads(checkpoint: Path, files: Sequence[File], algorithm: str, spans: Mapping[str, list[Span]]) -> None:
    threads = min(MOST_THREADS, len(os.sched_getaffinity(0)), len(files))
    if threads <= 1:
        for file in files:
            read_file(checkpoint, file, algorithm, spans.get(file.name, ()))
        return
    largest_first = sorted(files, key=lambda file: -file.size_bytes)
    with ThreadPoolExecutor(threads) as pool:
        readings = [
            pool.submit(read_file, checkpoint, file, algorithm, spans.get(file.name, ())) for file in largest_first
        ]
        try:
            for reading in readings:
                reading.result()
        finally:
            for reading in readings:
                reading.cancel()


def _json(checkpoint: Path, file: File | None, algorithm: str) -> dict[str, Any]:
    if file is None:
        return {}
    with suppress(FileNotFoundError):  # before memory of that size is asked for; a missing file is said below
        _check_size(checkpoint, file, (checkpoint / file.name).lstat().st_size)
    content = bytearray(file.size_bytes)
    read_file(checkpoint, file, algorithm, [Span(file.name, 0, memoryview(content))])
    found: dict[str, Any] = json.loads(content)
    return found


def _segments(spans: Iterable[Span], size_bytes: int) -> Iterator[tuple[int, memoryview]]:
    """The whole file in its order: the spans' memory, and memory of its own for what nobody wants. In blocks."""
    at = 0
    for span in [*sorted(spans, key=lambda span: span.offset_bytes), Span("", size_bytes, memoryview(b""))]:
        for start in range(at, span.offset_bytes, BLOCK_BYTES):
            yield start, memoryview(bytearray(min(BLOCK_BYTES, span.offset_bytes - start)))
        for start in range(0, len(span.memory), BLOCK_BYTES):
            yield span.offset_bytes + start, span.memory[start : start + BLOCK_BYTES]
        at = span.offset_bytes + len(span.memory)


def _batches(segments: Iterable[tuple[int, memoryview]]) -> Iterator[list[tuple[int, memoryview]]]:
    """Neighbours that are read by one call: about a block."""
    batch: list[tuple[int, memoryview]] = []
    size_bytes = 0
    for segment in segments:
        if batch and (size_bytes + len(segment[1]) > BLOCK_BYTES or len(batch) == MOST_BUFFERS):
            yield batch
            batch, size_bytes = [], 0
        batch.append(segment)
        size_bytes += len(segment[1])
    if batch:
        yield batch


def _fill(descriptor: int, batch: Sequence[tuple[int, memoryview]], name: str) -> None:
    missing = sum(len(memory) for _, memory in batch)
    if os.preadv(descriptor, [memory for _, memory in batch], batch[0][0]) == missing:
        return
    for start, memory in batch:  # it came in part: now piece by piece
        done = 0
        while done < len(memory):
            read_bytes = os.preadv(descriptor, [memory[done:]], start + done)
            if read_bytes == 0:
                raise DamagedError(f"{name} became shorter while it was read")
            done += read_bytes


def _check_size(checkpoint: Path, file: File, size_bytes: int) -> None:
    if size_bytes != file.size_bytes:
        raise DamagedError(f"{checkpoint.name}: {file.name} has {size_bytes} bytes, not {file.size_bytes}")


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
