"""Data channels: what comes where, what is refused, and that no name of an object leads out of its folder."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from nightspot.emulator.clients import ACCESS_KEY
from nightspot.emulator.instance import DataError
from nightspot.emulator.machine import Machine
from nightspot.emulator.transfer import Place, clients, open_real, pack, path_of, place, real_files
from tests.emulator.machine.stage import REGION, Stage


def downloaded(stage: Stage) -> list[str]:
    stage.direct("pass")
    stage.machine().download()
    return sorted(name for name, _ in real_files(stage.ml / "input/data/train"))


@pytest.mark.parametrize(
    ("key", "names"),
    [
        ("data", ["a.csv", "deep/b.csv"]),
        ("data/", ["a.csv", "deep/b.csv"]),
        ("data/a.csv", ["a.csv"]),
        ("data/de", ["deep/b.csv"]),
        ("", ["data/a.csv", "data/deep/b.csv"]),
    ],
)
def test_a_prefix_is_a_channel(stage: Stage, key: str, names: list[str]) -> None:
    stage.put("data/a.csv", "1")
    stage.put("data/deep/b.csv", "2")
    stage.put("data/empty/", "")
    stage.channel(S3Uri=f"s3://{stage.name}/{key}")
    assert downloaded(stage) == names


def test_a_manifest_lists_the_objects_of_a_channel(stage: Stage) -> None:
    stage.put("data/a.csv", "1")
    stage.put("data/not-listed.csv", "2")
    stage.put("list", json.dumps([{"prefix": f"s3://{stage.name}/data/"}, "a.csv"]))
    stage.channel(S3DataType="ManifestFile", S3Uri=f"s3://{stage.name}/list", S3DataDistributionType="ShardedByS3Key")
    assert downloaded(stage) == ["a.csv"]


def test_fast_file_is_read_like_file_and_gzip_is_left_as_it_is(stage: Stage) -> None:
    stage.put("data/a.csv.gz", b"\x1f\x8b, as it came")
    stage.channel()
    stage.changes["InputDataConfig"][0] |= {"InputMode": "FastFile", "CompressionType": "Gzip"}
    assert downloaded(stage) == ["a.csv.gz"]
    assert (stage.ml / "input/data/train/a.csv.gz").read_bytes() == b"\x1f\x8b, as it came"


def refused(stage: Stage) -> str:
    stage.direct("pass")
    machine = stage.machine()
    with pytest.raises(DataError) as caught:
        machine.download()
    return str(caught.value)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"S3Uri": "s3://no-such-bucket-anywhere/data"}, "NoSuchBucket"),
        ({"S3Uri": "s3://{bucket}/nothing"}, "no object under"),
        ({"S3Uri": "https://x"}, "expected s3://"),
        ({"S3DataType": "AugmentedManifestFile"}, "not AugmentedManifestFile"),
        ({"S3DataType": "ManifestFile", "S3Uri": "s3://{bucket}/data/a.csv"}, "is no manifest"),
        ({"S3DataType": "ManifestFile", "S3Uri": "s3://{bucket}/nothing"}, "NoSuchKey"),
    ],
)
def test_what_cannot_be_read_is_a_client_error_that_names_it(stage: Stage, source: dict[str, Any], words: str) -> None:
    stage.put("data/a.csv", "[1, 2]")
    stage.channel(**{name: value.replace("{bucket}", stage.name) for name, value in source.items()})
    assert words in refused(stage)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"InputMode": "Pipe"}, "no Pipe mode"), ({"DataSource": {"FileSystemDataSource": {}}}, "S3DataSource only")],
)
def test_what_the_emulator_does_not_do_is_refused_clearly(stage: Stage, changes: dict[str, Any], words: str) -> None:
    stage.channel()
    stage.changes["InputDataConfig"][0] |= changes
    assert words in refused(stage)


def test_a_folder_that_is_a_file_too_is_refused(stage: Stage) -> None:
    stage.put("data/a", "1")
    stage.put("data/a/b", "2")
    stage.channel()
    assert "folder and a file" in refused(stage)


@pytest.mark.parametrize("name", ["../../../../escaped", "deep/../../x", "./x", ".."])
def test_no_object_name_leaves_the_folder(stage: Stage, name: str) -> None:
    listed = [{"prefix": f"s3://{stage.name}/data/"}, name]
    stage.put("list", json.dumps(listed))
    stage.put("data/" + name, "out")
    stage.channel(S3DataType="ManifestFile", S3Uri=f"s3://{stage.name}/list")
    assert "leads out" in refused(stage)
    assert not list(stage.folder.rglob("escaped"))


def test_a_checkpoint_with_such_a_name_is_refused_too(stage: Stage) -> None:
    stage.put("ck/../../escaped", "out")
    assert "leads out" in refused(stage)
    assert not list(stage.folder.rglob("escaped"))


def test_an_absolute_name_is_refused_and_odd_ones_stay_inside(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        path_of(tmp_path, "/etc/passwd", "channel")
    with pytest.raises(DataError):
        path_of(tmp_path, "a\0b", "channel")
    assert path_of(tmp_path, "a//b\\..\\c", "channel") == tmp_path / "a" / "b\\..\\c"
    assert place("s3://bucket", "here") == Place("bucket", "")
    assert place("s3://bucket/a/b/", "here").under("c").uri == "s3://bucket/a/b/c"


@pytest.mark.parametrize("path", ["/data/checkpoints", "/opt/ml", "/opt/ml/../../etc", "/opt/mlx/a"])
def test_checkpoints_outside_opt_ml_are_refused(stage: Stage, path: str) -> None:
    stage.changes["CheckpointConfig"] = {"S3Uri": f"s3://{stage.name}/ck", "LocalPath": path}
    assert "within /opt/ml only" in refused(stage)


def test_a_metric_that_is_no_expression_is_refused(stage: Stage) -> None:
    stage.direct("pass")
    stage.changes["AlgorithmSpecification"]["MetricDefinitions"] = [{"Name": "loss", "Regex": "(("}]
    machine = stage.machine()
    with pytest.raises(DataError, match="no regular expression"):
        machine.download()


def machine_with_model(stage: Stage) -> Machine:
    machine = stage.machine()
    machine.download()
    (stage.ml / "model/deep").mkdir()
    (stage.ml / "model/deep/weights").write_text("42")
    return machine


def test_a_link_in_the_model_stays_a_link_and_one_in_its_place_is_not_followed(stage: Stage, tmp_path: Path) -> None:
    stage.direct("pass")
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("a secret")
    machine = machine_with_model(stage)
    (stage.ml / "model/link").symlink_to(secret / "key")
    (stage.ml / "output/data").rmdir()
    (stage.ml / "output/data").symlink_to(secret)
    machine.upload()
    assert stage.objects("out/") == [f"out/{stage.name}/output/model.tar.gz"]
    with tarfile.open(stage.ml.parent / "model.tar.gz") as tar:
        assert sorted(tar.getnames()) == ["deep", "deep/weights", "link"]
        assert tar.getmember("link").issym()
    (stage.ml / "model").rename(stage.ml / "moved")
    (stage.ml / "model").symlink_to(secret)
    assert not pack(stage.ml / "model", tmp_path / "none.tar.gz")
    os.mkfifo(tmp_path / "pipe")
    assert open_real(tmp_path / "pipe") is None
    assert open_real(stage.ml / "moved/link") is None


def test_an_uncompressed_model_is_uploaded_file_by_file(stage: Stage) -> None:
    stage.direct("pass")
    stage.changes["OutputDataConfig"] = {"S3OutputPath": f"s3://{stage.name}/out/", "CompressionType": "NONE"}
    machine = machine_with_model(stage)
    assert machine.upload() == f"s3://{stage.name}/out/{stage.name}/output/model/"
    assert stage.objects("out/") == [f"out/{stage.name}/output/model/deep/weights"]


def test_a_bucket_that_does_not_take_the_model_is_a_client_error(stage: Stage) -> None:
    stage.direct("pass")
    stage.changes["OutputDataConfig"] = {"S3OutputPath": "s3://no-such-bucket-anywhere/out"}
    machine = machine_with_model(stage)
    with pytest.raises(DataError, match="NoSuchBucket"):
        machine.upload()


def test_the_machines_own_calls_know_nothing_of_the_users_aws_settings(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "credentials").write_text("[default]\naws_access_key_id = REAL\naws_secret_access_key = REAL\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "REAL")
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    clients.cache_clear()
    made = clients(stage.endpoint_url, REGION)
    sent: list[str] = []
    made.s3.meta.events.register(
        "before-send.s3", lambda request, **_: sent.append(str(request.headers["Authorization"]))
    )
    assert made.s3.list_objects_v2(Bucket=stage.name)["KeyCount"] == 0
    assert f"Credential={ACCESS_KEY}/" in sent[0]
    clients.cache_clear()
