"""What is not exactly what was written is never taken for a checkpoint."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightspot.checkpoint import ConfigError, DamagedError, UnverifiableError, _hashing, manifest
from nightspot.checkpoint.manifest import INDEX, MANIFEST
from tests.checkpoint.helpers import DATA, HEAD, flip_a_bit, write

Fresh = Callable[[], Path]
FILES = ("state.json", DATA, INDEX, MANIFEST)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    """Makes one checkpoint after the other: Hypothesis asks for many within one test."""
    folder = tmp_path_factory.mktemp("many")
    return lambda: folder / write(folder).name


def forge(checkpoint: Path, **changes: Any) -> None:
    """A manifest whose own hash is right: what somebody who can write to the bucket could make."""
    body = json.loads((checkpoint / MANIFEST).read_bytes()) | changes
    body.pop("sha256")
    if "files" in changes:
        files = sorted(body["files"], key=lambda file: str(file["name"]))
        body["digest"] = hashlib.sha256(canonical(files)).hexdigest()
    body["sha256"] = hashlib.sha256(canonical(body)).hexdigest()
    (checkpoint / MANIFEST).write_bytes(canonical(body))


def canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def test_a_checkpoint_verifies_and_says_what_it_is(tmp_path: Path) -> None:
    made = write(tmp_path)
    assert manifest.verify(tmp_path / made.name) == made
    assert (made.head, made.size_bytes) == (HEAD, 47 + len('{"tensors":{}}'))


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(FILES), where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_flipped_bit_is_noticed(fresh: Fresh, name: str, where: float, bit: int) -> None:
    checkpoint = fresh()
    path = checkpoint / name
    flip_a_bit(path, int(where * path.stat().st_size), bit)
    with pytest.raises(DamagedError):
        manifest.verify(checkpoint)


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from(FILES), where=st.floats(0, 1, exclude_max=True))
def test_any_truncation_is_noticed(fresh: Fresh, name: str, where: float) -> None:
    checkpoint = fresh()
    os.truncate(checkpoint / name, int(where * (checkpoint / name).stat().st_size))
    with pytest.raises(DamagedError):
        manifest.verify(checkpoint)


@pytest.mark.parametrize("change", [lambda raw: raw[:-1], lambda raw: raw + b" ", lambda raw: b" " + raw])
def test_even_white_space_in_a_manifest_is_noticed(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    checkpoint = tmp_path / write(tmp_path).name
    (checkpoint / MANIFEST).write_bytes(change((checkpoint / MANIFEST).read_bytes()))
    with pytest.raises(DamagedError):
        manifest.verify(checkpoint)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_noticed(tmp_path: Path, name: str) -> None:
    checkpoint = tmp_path / write(tmp_path).name
    (checkpoint / name).unlink()
    with pytest.raises(DamagedError):
        manifest.verify(checkpoint)


def test_a_file_that_grew_is_noticed(tmp_path: Path) -> None:
    checkpoint = tmp_path / write(tmp_path).name
    with (checkpoint / DATA).open("ab") as file:
        file.write(b"x")
    with pytest.raises(DamagedError, match="41 bytes, not 40"):
        manifest.verify(checkpoint)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/b", "..", ".", ".hidden", "", MANIFEST, "a\0b"])
def test_a_file_name_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    checkpoint = tmp_path / write(tmp_path).name
    forge(checkpoint, files=[{"name": name, "size_bytes": 0, "hash": "0"}])
    with pytest.raises(DamagedError, match="not allowed"):
        manifest.verify(checkpoint)


@pytest.mark.parametrize("name", FILES)
def test_a_link_is_refused_even_to_the_right_bytes(tmp_path: Path, name: str) -> None:
    checkpoint = tmp_path / write(tmp_path).name
    (checkpoint / name).rename(tmp_path / "elsewhere")
    (checkpoint / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DamagedError, match="is a link"):
        manifest.verify(checkpoint)


def test_a_named_pipe_is_refused_and_does_not_hang(tmp_path: Path) -> None:
    checkpoint = tmp_path / write(tmp_path).name
    (checkpoint / DATA).unlink()
    os.mkfifo(checkpoint / DATA)
    with pytest.raises(DamagedError, match="not a plain file"):
        manifest.verify(checkpoint)


def test_a_checkpoint_that_is_a_link_is_not_listed(tmp_path: Path) -> None:
    made = write(tmp_path)
    (tmp_path / "step-000000009").symlink_to(tmp_path / made.name)
    assert manifest.names(tmp_path) == [made.name]


def test_a_manifest_under_another_name_is_refused(tmp_path: Path) -> None:
    made = write(tmp_path)
    (tmp_path / made.name).rename(tmp_path / "step-000000008")
    with pytest.raises(DamagedError, match="belongs to step-000000001"):
        manifest.verify(tmp_path / "step-000000008")


@pytest.mark.parametrize(("version", "age"), [(1, "an older"), (3, "a newer")])
def test_another_format_is_refused_not_taken_for_damage(tmp_path: Path, version: int, age: str) -> None:
    checkpoint = tmp_path / write(tmp_path).name
    forge(checkpoint, format=version)
    with pytest.raises(ConfigError, match=f"{age} nightspot"):
        manifest.verify(checkpoint)


def test_without_the_hash_package_a_checkpoint_is_unverifiable_not_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = tmp_path / write(tmp_path).name
    monkeypatch.setattr(_hashing, "_xxh3_128", lambda: None)
    if _hashing.preferred() != manifest.read(checkpoint).algorithm:
        with pytest.raises(UnverifiableError, match="xxhash"):
            manifest.verify(checkpoint)
    made = write(tmp_path)
    assert made.algorithm == "sha256"
    assert manifest.verify(tmp_path / made.name) == made


def test_the_newest_valid_one_is_found_behind_damaged_ones(tmp_path: Path) -> None:
    good, bad = write(tmp_path), write(tmp_path)
    (tmp_path / "step-000000003.tmp-x").mkdir()
    flip_a_bit(tmp_path / bad.name / DATA, 3)
    assert manifest.newest_valid(tmp_path) == good
    assert manifest.newest_valid(tmp_path / "nowhere") is None


def test_a_number_is_not_used_again_while_its_unfinished_folder_is_there(tmp_path: Path) -> None:
    (tmp_path / "step-000000041.tmp-x").mkdir()
    assert manifest.next_name(tmp_path) == "step-000000042"
    assert manifest.unfinished(tmp_path) == ["step-000000041.tmp-x"]


def test_the_digest_depends_on_the_content_alone(tmp_path: Path) -> None:
    one, other, different = write(tmp_path), write(tmp_path), write(tmp_path, b"weighty")
    assert one.digest == other.digest
    assert one.digest != different.digest
