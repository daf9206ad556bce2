"""The model in the bucket: its digest, whatever it is packed as, and its copy under the final name."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import uuid
from typing import Any, Mapping

import pytest

from nightspot.backends.aws import model
from nightspot.backends.aws.calls import Aws, Rejected
from nightspot.backends.aws.store import Store, split
from tests.backends.emulated import BUCKET, REGION, Emulation


def archive(files: Mapping[str, bytes], mtime: int = 0) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as made:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), mtime
            made.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


class Models:
    def __init__(self, emulation: Emulation) -> None:
        self.emulation, self.store = emulation, Store(Aws(), REGION)
        self.prefix = f"out/{uuid.uuid4().hex[:8]}"

    def put(self, raw: bytes, name: str = "model.tar.gz") -> str:
        self.emulation.put(f"{self.prefix}/{name}", raw)
        return f"s3://{BUCKET}/{self.prefix}/{name}"

    def digest(self, raw: bytes, artifact: str | None = None) -> model.Digest | None:
        return model.digest(self.store, self.put(raw), artifact)


@pytest.fixture
def models(still: Emulation) -> Models:
    return Models(still)


def sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def value(found: model.Digest | None) -> str:
    assert found is not None
    return found.value


def test_a_model_of_one_file_has_that_files_digest(models: Models) -> None:
    assert value(models.digest(archive({"model.pt": b"weights"}))) == sha256(b"weights")


def test_the_artefact_is_found_by_its_path_and_by_no_other(models: Models) -> None:
    raw = archive({"./code/model.pt": b"code", "model.pt": b"weights", "log.txt": b""})
    assert value(models.digest(raw, "model.pt")) == sha256(b"weights")
    assert value(models.digest(raw, "code/model.pt")) == sha256(b"code")
    assert models.digest(raw, "best.pt") is None


def test_equal_contents_have_equal_digests_whenever_and_however_they_were_packed(models: Models) -> None:
    first = value(models.digest(archive({"a": b"1", "b": b"2"}, mtime=1)))
    assert value(models.digest(archive({"b": b"2", "a": b"1"}, mtime=2))) == first
    assert value(models.digest(archive({"a": b"1", "b": b"3"}))) != first
    assert value(models.digest(archive({"b": b"2", "a": b"1"}), "model.tar.gz")) == first


def test_no_model_has_no_digest(models: Models) -> None:
    assert model.digest(models.store, f"s3://{BUCKET}/{models.prefix}/model.tar.gz", None) is None


@pytest.mark.parametrize("limit", ["FETCH_BYTES_MAX", "CONTENT_BYTES_MAX", "FETCH_S"])
def test_one_too_large_or_too_slow_to_read_has_its_etag(
    models: Models, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, limit, -1)
    raw = archive({"model.pt": b"weights"})
    assert value(models.digest(raw)) == f"etag:{hashlib.md5(raw).hexdigest()}"


@pytest.mark.parametrize("raw", [b"no archive", archive({"model.pt": bytes(range(256)) * 400})[:-200]])
def test_what_is_no_whole_archive_is_no_model(models: Models, raw: bytes) -> None:
    with pytest.raises(Rejected, match="no whole archive"):
        models.digest(raw)


def test_an_uncompressed_model_is_a_folder(models: Models) -> None:
    uri = models.put(b"weights", "model/a.pt").removesuffix("a.pt")
    first = value(model.digest(models.store, uri, None))
    assert value(model.digest(models.store, uri.rstrip("/"), None)) == first
    models.put(b"others", "model/a.pt")
    assert value(model.digest(models.store, uri, None)) != first


def test_the_final_name_gets_a_copy_and_says_where_it_comes_from(models: Models) -> None:
    raw = archive({"model.pt": b"weights"})
    uri = models.put(raw)
    target = f"s3://{BUCKET}/{models.prefix}/final/tonight.tar.gz"
    assert model.publish(models.store, uri, target, {"digest": "d"}) == target
    assert models.store.read(target, 1 << 20) == raw
    assert json.loads(models.store.read(f"{target}.lineage.json", 1 << 20) or b"") == {"digest": "d"}


def test_a_folder_as_final_name_keeps_the_archives(models: Models) -> None:
    target = model.publish(models.store, models.put(archive({"a": b""})), f"s3://{BUCKET}/{models.prefix}/final/", {})
    assert target.endswith("/final/model.tar.gz")
    assert models.store.head(target) is not None


def test_a_final_name_that_may_not_be_is_refused(models: Models) -> None:
    with pytest.raises(Rejected):
        model.publish(models.store, models.put(archive({"a": b""})), "s3://no-such-bucket/x", {})


@pytest.mark.parametrize("uri", ["", "bucket/key", "https://bucket/key", "s3:///key"])
def test_only_an_address_in_a_bucket_is_one(uri: str) -> None:
    with pytest.raises(ValueError, match="write it like s3://"):
        split(uri)


def test_an_object_larger_than_asked_for_is_not_read(models: Models) -> None:
    read: Any = models.store.read
    with pytest.raises(Rejected, match="larger"):
        read(models.put(b"12345"), 4)
    assert read(models.put(b"1234"), 4) == b"1234"
    assert read(f"s3://{BUCKET}/nothing", 4) is None
