"""Shared by the tests of checkpoints: a small committed checkpoint, and what progress said."""

import json
from pathlib import Path
from typing import Any

from nightspot.checkpoint import Session
from nightspot.checkpoint.capture import Blob
from nightspot.checkpoint.commit import commit
from nightspot.checkpoint.manifest import Head, Manifest

HEAD = Head(units_done=1.5, attempt=2, world_size=1, fingerprint="f1", versions={"python": "3"})


def blob(name: str, content: bytes) -> Blob:
    return Blob(name, lambda file: file.write(content))


def write(folder: Path, content: bytes = b"weights") -> Manifest:
    return commit(folder, [blob("state.json", content), blob("model.pt", b"m" * 40)], HEAD)


def save(folder: Path, loop: dict[str, Any], times: int = 1) -> None:
    """Checkpoints of a loop that counts; the newest holds the last count."""
    with Session({"loop": loop}, folder=folder, interval_s=0) as session:
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
