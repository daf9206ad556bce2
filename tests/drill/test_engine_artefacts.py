"""Two models are the same if their tensors are, whatever the file around them looks like; and every bit of a tensor counts."""

from __future__ import annotations

import io
import json
import pickle
import struct
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from nightspot.drill.record import Artefact
from nightspot.drill.seen.artefacts import Reader, python_of
from nightspot.drill.seen.tensors import bytes_of, describe


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """One process, as for a whole drill."""
    made = Reader([sys.executable], tmp_path_factory.mktemp("reader"))
    yield made
    made.close()


def read(reader: Reader, path: Path) -> Artefact:
    found = reader.read(path, Path("/shown") / path.name)
    assert found is not None
    return found


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


WEIGHT = torch.arange(6.0).reshape(2, 3)
STATE: dict[str, Any] = {"weight": WEIGHT, "nested": {"bias": torch.zeros(2, dtype=torch.bfloat16)}, "epoch": 3}


def test_names_order_and_container_of_a_torch_file_do_not_matter(reader: Reader, tmp_path: Path) -> None:
    one = read(reader, saved(tmp_path / "one.pt", STATE))
    two = read(reader, saved(tmp_path / "another-name.pt", dict(reversed(STATE.items()))))
    assert bytes_of(tmp_path / "one.pt") != bytes_of(tmp_path / "another-name.pt")
    assert (one.digest, one.tensors) == (two.digest, two.tensors)
    assert sorted(one.tensors) == ["epoch", "nested.bias", "weight"] and one.path == "/shown/one.pt"


@pytest.mark.parametrize(
    "change",
    [
        {"weight": WEIGHT.to(torch.float64)},
        {"weight": WEIGHT.reshape(3, 2)},
        {"weight": torch.nextafter(WEIGHT, torch.ones(2, 3) * 9)},
        {"weight": torch.tensor([[-0.0, 1, 2], [3, 4, 5]])},
        {"epoch": 4},
        {"more": torch.zeros(0)},
    ],
    ids=["dtype", "shape", "last bit", "sign of zero", "a number", "an empty one"],
)
def test_any_change_shows_and_by_name(reader: Reader, tmp_path: Path, change: dict[str, Any]) -> None:
    before = read(reader, saved(tmp_path / "a.pt", STATE))
    after = read(reader, saved(tmp_path / "b.pt", {**STATE, **change}))
    assert before.digest != after.digest
    differing = {
        name for name in {*before.tensors, *after.tensors} if before.tensors.get(name) != after.tensors.get(name)
    }
    assert differing == set(change)


def test_nan_has_bits_too(reader: Reader, tmp_path: Path) -> None:
    quiet, other = (struct.unpack("<f", struct.pack("<I", bits))[0] for bits in (0x7FC00000, 0x7FC00001))
    one = read(reader, saved(tmp_path / "a.pt", {"w": torch.tensor([quiet])}))
    assert one.digest == read(reader, saved(tmp_path / "b.pt", {"w": torch.tensor([quiet])})).digest
    raw = torch.tensor([0x7FC00001], dtype=torch.int32).view(torch.float32)
    assert other != other and one.digest != read(reader, saved(tmp_path / "c.pt", {"w": raw})).digest


def test_a_file_that_would_run_something_is_not_loaded_but_compared_by_its_bytes(
    reader: Reader, tmp_path: Path
) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "exploded",)

    found = read(reader, saved(tmp_path / "bomb.pt", {"w": torch.zeros(1), "b": Bomb()}))
    assert found.tensors == {} and found.digest == bytes_of(tmp_path / "bomb.pt")
    (tmp_path / "plain.pickle").write_bytes(pickle.dumps(Bomb()))
    assert read(reader, tmp_path / "plain.pickle").tensors == {}
    assert not (tmp_path / "exploded").exists()


def test_numpy_archives_are_read_whatever_their_compression(tmp_path: Path) -> None:
    numpy.savez(tmp_path / "a.npz", w=numpy.arange(5), b=numpy.zeros(2, dtype="f2"))
    numpy.savez_compressed(tmp_path / "b.npz", b=numpy.zeros(2, dtype="f2"), w=numpy.arange(5))
    one, two = describe(tmp_path / "a.npz"), describe(tmp_path / "b.npz")
    assert one == two and sorted(one["tensors"]) == ["b", "w"]
    numpy.savez(tmp_path / "c.npz", w=numpy.arange(5), b=numpy.zeros(2, dtype="f4"))
    assert describe(tmp_path / "c.npz")["digest"] != one["digest"]


def test_safetensors_need_no_library(tmp_path: Path) -> None:
    head = {"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "__metadata__": {"made": "today"}}
    (tmp_path / "a.safetensors").write_bytes(_safetensors(head, b"\1\2\3\4"))
    (tmp_path / "b.safetensors").write_bytes(_safetensors({"w": head["w"]}, b"\1\2\3\4"))
    one, two = describe(tmp_path / "a.safetensors"), describe(tmp_path / "b.safetensors")
    assert one == two and list(one["tensors"]) == ["w"]
    (tmp_path / "c.safetensors").write_bytes(_safetensors({"w": head["w"]}, b"\1\2\3\5"))
    assert describe(tmp_path / "c.safetensors")["tensors"]["w"] != one["tensors"]["w"]


def _safetensors(head: dict[str, Any], data: bytes) -> bytes:
    raw = json.dumps(head).encode()
    return struct.pack("<Q", len(raw)) + raw + data


def test_of_a_folder_all_files_count(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        numpy.savez(tmp_path / name / "w.npz", w=numpy.arange(3))
        (tmp_path / name / "config.json").write_text("{}")
    assert describe(tmp_path / "a") == describe(tmp_path / "b")
    assert set(describe(tmp_path / "a")["tensors"]) == {"w.npz:w", "config.json:"}
    (tmp_path / "b/config.json").write_text("{ }")
    assert describe(tmp_path / "a")["digest"] != describe(tmp_path / "b")["digest"]


def test_another_archive_is_compared_by_its_bytes(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme", "x")
    (tmp_path / "a.zip").write_bytes(buffer.getvalue())
    assert describe(tmp_path / "a.zip") == {"digest": bytes_of(tmp_path / "a.zip"), "tensors": {}}


def test_a_reader_that_died_is_no_end_of_the_drill(tmp_path: Path) -> None:
    (tmp_path / "m").write_text("model")
    dying = Reader([sys.executable], tmp_path)
    dying.close()
    found = dying.read(tmp_path / "m", Path("/m"))
    assert found is not None and found.digest == bytes_of(tmp_path / "m")
    assert dying.read(tmp_path / "none", Path("/none")) is None


def test_the_reader_runs_on_the_python_that_trains() -> None:
    assert python_of(["/usr/bin/env", "python"]) == sys.executable
    assert python_of([sys.executable, "train.py"]) == sys.executable
    assert python_of([]) == sys.executable
