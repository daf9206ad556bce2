"""An index that was made up, with hashes that fit it: one step back like any damage, whatever it asks for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import pytest

from nightspot.checkpoint import Session, _hashing, manifest
from nightspot.checkpoint.manifest import INDEX, MANIFEST, File

torch = pytest.importorskip("torch")


def saved(folder: Path) -> dict[str, Any]:
    """Two checkpoints of one tensor and a count."""
    loop = {"step": 0, "table": torch.arange(6.0).reshape(3, 2)}
    with Session({"loop": loop}, folder=folder, interval_s=0.0, background=False) as session:
        session.restore()
        for step in (1, 2):
            loop["step"] = step
            session.step(float(step))
    return loop


def forge(checkpoint: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the only entry of the index, and make every hash fit."""
    body = json.loads((checkpoint / INDEX).read_text())
    change(body["tensors"]["loop/table"])
    raw = json.dumps(body).encode()
    (checkpoint / INDEX).write_bytes(raw)
    whole = manifest.read(checkpoint)
    digest = _hashing.new(whole.algorithm)
    digest.update(raw)
    forged = File(INDEX, len(raw), digest.hexdigest())
    files = tuple(forged if file.name == INDEX else file for file in whole.files)
    (checkpoint / MANIFEST).write_bytes(replace(whole, files=files).to_bytes())


def rows(first: int, count: int, at: int = 0) -> dict[str, Any]:
    """A piece of whole rows of the table, which has three."""
    return {"file": "data-0-000.bin", "offset_bytes": at, "offsets": [first, 0], "sizes": [count, 2]}


def column(first: int, at: int = 0) -> dict[str, Any]:
    """A piece of one of its two columns."""
    return {"file": "data-0-000.bin", "offset_bytes": at, "offsets": [0, first], "sizes": [3, 1]}


FORGERIES: dict[str, Callable[[dict[str, Any]], object]] = {
    "a shape that no memory holds": lambda entry: (
        entry.update(shape=[1 << 40, 2]),
        entry["pieces"][0].update(sizes=[1 << 40, 2]),
    ),
    "a negative shape": lambda entry: (entry.update(shape=[-3, 2]), entry["pieces"][0].update(sizes=[-3, 2])),
    "bytes before the file": lambda entry: entry["pieces"][0].update(offset_bytes=-64),
    "bytes behind the file": lambda entry: entry["pieces"][0].update(offset_bytes=1 << 40),
    "a file that is not there": lambda entry: entry["pieces"][0].update(file="data-9-999.bin"),
    "a file of somebody else": lambda entry: entry["pieces"][0].update(file="../../secret"),
    "a dtype of its own": lambda entry: entry.update(dtype="float77"),
    "pieces that overlap and leave a hole": lambda entry: entry.update(pieces=[rows(0, 2), rows(1, 1, at=16)]),
    "columns that overlap and leave a hole": lambda entry: entry.update(pieces=[column(0), column(0, at=12)]),
    "pieces that leave a hole": lambda entry: entry.update(pieces=[rows(0, 2)]),
    "a piece that is there twice": lambda entry: entry.update(pieces=[rows(0, 3), rows(0, 3)]),
    "a piece of another shape": lambda entry: entry["pieces"][0].update(offsets=[0], sizes=[3]),
    "a piece that sticks out": lambda entry: entry["pieces"][0].update(offsets=[1, 0]),
    "a size in words": lambda entry: entry["pieces"][0].update(sizes=["3", "2"]),
    "a size that is no whole number": lambda entry: entry["pieces"][0].update(sizes=[3.0, 2.0]),
    "a shape that is a number": lambda entry: entry.update(shape=6),
    "no pieces at all": lambda entry: entry.pop("pieces"),
    "a file that is no name": lambda entry: entry["pieces"][0].update(file=7),
    "a place that is no number": lambda entry: entry["pieces"][0].update(offset_bytes=None),
}


@pytest.mark.parametrize("change", FORGERIES.values(), ids=FORGERIES.keys())
def test_a_forged_index_costs_one_step_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[dict[str, Any]], object]
) -> None:
    saved(tmp_path)
    forge(tmp_path / "step-000000002", change)
    manifest.verify(tmp_path / "step-000000002")  # every hash fits
    loop = {"step": 0, "table": torch.zeros(3, 2)}
    with Session({"loop": loop}, folder=tmp_path, interval_s=0.0, background=False) as session:
        restored = session.restore()
    assert restored is not None
    assert (restored.name, loop["step"]) == ("step-000000001", 1)
    assert "step-000000002" in capsys.readouterr().err


@pytest.mark.parametrize("size_bytes", [-1, 1 << 60, 1.5, "7"])
def test_a_manifest_with_a_size_that_makes_no_sense_is_damaged(tmp_path: Path, size_bytes: Any) -> None:
    saved(tmp_path)
    checkpoint = tmp_path / "step-000000002"
    whole = manifest.read(checkpoint)
    files = tuple(replace(file, size_bytes=size_bytes) if file.name == INDEX else file for file in whole.files)
    (checkpoint / MANIFEST).write_bytes(replace(whole, files=files).to_bytes())
    loop = {"step": 0, "table": torch.zeros(3, 2)}
    with Session({"loop": loop}, folder=tmp_path, interval_s=0.0, background=False) as session:
        restored = session.restore()
    assert restored is not None and restored.name == "step-000000001"
