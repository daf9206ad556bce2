"""Torn files of an unmodified script are out of the way before it begins, on the machine itself."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from nightspot.inside.ownfiles import quarantine_torn, whole
from tests.inside.image import Image

LOADS = """
    import glob, json, os, zipfile
    folder = os.environ["NIGHTSPOT_CHECKPOINT_DIR"]
    newest = sorted(glob.glob(folder + "/ckpt-*.pt"))[-1]
    with zipfile.ZipFile(newest) as archive:
        print(os.path.basename(newest), int(archive.read("epoch")))
"""


def archive(epoch: int) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as made:
        made.writestr("epoch", str(epoch))
        made.writestr("weights", b"w" * 10_000)
    return raw.getvalue()


def moved(folder: Path, pattern: str = "ckpt-*.pt", most: float = 20.0) -> list[str]:
    said: list[str] = []
    quarantine_torn(folder, pattern, most, folder.parent / "aside", said.append)
    return [words.split()[0] for words in said]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (archive(1), True),
        (archive(1)[:-1], False),
        (archive(1)[:5000], False),
        (b"PK", False),
        (b"", False),
        (b"\x80\x02 a legacy pickle", True),
    ],
)
def test_a_file_is_whole_if_its_end_is_there(tmp_path: Path, content: bytes, expected: bool) -> None:
    path = tmp_path / "ckpt-1.pt"
    path.write_bytes(content)
    assert whole(path) is expected


def test_a_file_of_torch_is_whole(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"weights": torch.zeros(1000)}, tmp_path / "ckpt-1.pt")
    assert whole(tmp_path / "ckpt-1.pt")


def test_torn_files_are_moved_from_the_newest_down_to_the_first_that_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    (folder / "below").mkdir(parents=True)
    (folder / "ckpt-2.pt").write_bytes(archive(2)[:100])  # below one that is whole: nobody starts from it
    (folder / "ckpt-3.pt").write_bytes(archive(3))
    (folder / "ckpt-9.pt").write_bytes(b"")
    (folder / "below" / "ckpt-10.pt").write_bytes(archive(10)[:5000])
    for other in ("ckpt-99.pt", "best.pt", "ckpt-11.pt.sagemaker-uploading"):  # counts something else, or nothing
        (folder / other).write_bytes(b"")
    assert moved(folder) == ["ckpt-10.pt", "ckpt-9.pt"]
    assert sorted(path.name for path in (tmp_path / "aside").iterdir()) == ["0-ckpt-10.pt", "1-ckpt-9.pt"]
    assert {"ckpt-2.pt", "ckpt-3.pt", "ckpt-99.pt", "best.pt"} < {path.name for path in folder.iterdir()}
    assert moved(folder) == []


def test_where_nothing_can_be_moved_it_is_said_and_nothing_fails(tmp_path: Path) -> None:
    (tmp_path / "ckpt-2.pt").write_bytes(b"")
    said: list[str] = []
    (tmp_path / "file").write_text("no folder")
    quarantine_torn(tmp_path, "ckpt-*.pt", 20.0, tmp_path / "file" / "aside", said.append)
    assert ["cannot be moved" in words for words in said] == [True]


def test_a_script_in_the_image_starts_from_the_file_before_the_torn_one_and_it_is_told(image: Image) -> None:
    changed = image.bundle({"train.py": LOADS})
    image.environment |= {"NIGHTSPOT_CHECKPOINT_PATTERN": "ckpt-*.pt", "NIGHTSPOT_UNITS": "20.0"}
    (image.base / "checkpoints" / "ckpt-0007.pt").write_bytes(archive(7))
    (image.base / "checkpoints" / "ckpt-0008.pt").write_bytes(archive(8)[:5000])
    assert image.enter(changed).wait() == 0, image.err.read_text()
    assert image.out.read_text() == "ckpt-0007.pt 7\n"
    (warning,) = image.progress()["warnings"]
    assert warning["message"].startswith("ckpt-0008.pt is torn: moved")
