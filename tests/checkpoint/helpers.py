"""Shared by the tests of checkpoints: a small committed checkpoint, and what progress said."""

import json
from pathlib import Path
from typing import Any

from nightspot.checkpoint import Session
from nightspot.checkpoint.commit import commit
from nightspot.checkpoint.manifest import Head, Manifest, next_name
from nightspot.checkpoint.order import Order
from nightspot.checkpoint.pieces import Part

HEAD = Head(units_done=1.5, attempt=2, world_size=1, fingerprint="f1", versions={"python": "3"})
DATA = "data-0-000.bin"


class Bytes:
    """A source of parts, as the memory of a snapshot is."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._files = files | {"entries": b"{}"}

    def __call__(self, part: Part) -> memoryview:
        return memoryview(self._files[part.name])


def order(folder: Path, files: dict[str, bytes], staging: Path | None = None) -> Order:
    parts = tuple(Part(name, 0, len(content)) for name, content in files.items())
    staged = str(staging or folder)
    return Order(next_name(folder), "abc", str(folder), staged, HEAD, parts, Part("entries", 0, 2), keep=2)


def write(folder: Path, content: bytes = b"weights") -> Manifest:
    files = {"state.json": content, DATA: b"m" * 40}
    return commit(order(folder, files), Bytes(files))


def save(folder: Path, loop: dict[str, Any], times: int = 1, *, background: bool = False) -> None:
    """Checkpoints of a loop that counts; the newest holds the last count."""
    with Session({"loop": loop}, folder=folder, interval_s=0, background=background) as session:
        session.restore()
        for _ in range(times):
            loop["step"] += 1
            session.step(units_done=loop["step"])


def lines(progress: Path, kind: str) -> list[dict[str, Any]]:
    parsed = [json.loads(line) for line in progress.read_text().splitlines()]
    return [line for line in parsed if line["kind"] == kind]


def flip_a_bit(path: Path, offset: int, bit: int = 0) -> None:
    raw = bytearray(path.read_bytes())
    raw[offset] ^= 1 << bit
    path.write_bytes(raw)
