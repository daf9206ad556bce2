"""What a training instance finds in /opt/ml before it starts: SageMaker's folders and configuration, the data, the checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Mapping

from nightspot.emulator.instance import DataError
from nightspot.emulator.transfer import Place, fetch, fetch_prefix, place, read
from nightspot.process.surroundings import HOST, MOUNT

GROUP = "homogeneousCluster"  # SageMaker's name for the instances of a job that names no groups
CHECKPOINTS = "/opt/ml/checkpoints"
LONGEST_MANIFEST_BYTES = 64 << 20
FOLDERS = ("input/config", "input/data", "model", "output/data", "code")
Request = Mapping[str, Any]


def make_folders(ml: Path, request: Request) -> None:
    """The empty instance. Where no CheckpointConfig is, there is no folder for checkpoints either."""
    for name in FOLDERS:
        (ml / name).mkdir(parents=True)
    for channel in request.get("InputDataConfig", ()):
        (ml / "input/data" / channel["ChannelName"]).mkdir()
    shown = checkpoint_path(request)
    if shown is not None:
        within(ml, shown).mkdir(parents=True, exist_ok=True)


def checkpoint_path(request: Request) -> str | None:
    """As the program sees it; None without a CheckpointConfig. DataError where it is outside /opt/ml."""
    config = request.get("CheckpointConfig")
    if not config:
        return None
    shown = str(config.get("LocalPath") or CHECKPOINTS).rstrip("/")
    if MOUNT not in Path(shown).parents or ".." in Path(shown).parts:
        raise DataError(f"CheckpointConfig.LocalPath is {shown!r}: the emulator has checkpoints within /opt/ml only")
    return shown


def within(ml: Path, shown: str) -> Path:
    """Where a path of the program's really is."""
    return ml / Path(shown).relative_to(MOUNT)


def instance_type(request: Request, selected: str = "") -> str:
    """The one that was got, or else the first that was asked for."""
    resources = request.get("ResourceConfig", {})
    choices = [*resources.get("InstancePreferences", ()), *resources.get("InstanceGroups", ())]
    asked = [resources.get("SelectedInstanceType"), resources.get("InstanceType")]
    return selected or next((str(name) for name in [*asked, *(one.get("InstanceType") for one in choices)] if name), "")


def write_configuration(ml: Path, request: Request, selected: str) -> None:
    """The JSON files of input/config, all values as SageMaker writes them."""
    algorithm = request["AlgorithmSpecification"]
    files: dict[str, Any] = {
        "hyperparameters.json": dict(request.get("HyperParameters", {})),
        "inputdataconfig.json": {
            channel["ChannelName"]: _channel(channel, algorithm) for channel in request.get("InputDataConfig", ())
        },
        "resourceconfig.json": _resources(instance_type(request, selected)),
        "metric-definition-regex.json": algorithm.get("MetricDefinitions", []),
        "init-config.json": {"inputMode": algorithm["TrainingInputMode"].upper()},
    }
    if request.get("CheckpointConfig"):
        config = {"S3Uri": request["CheckpointConfig"]["S3Uri"], "LocalPath": checkpoint_path(request)}
        files["checkpointconfig.json"] = config
    for name, content in files.items():
        (ml / "input/config" / name).write_text(json.dumps(content), "utf-8")


def _channel(channel: Request, algorithm: Request) -> dict[str, str]:
    source = channel["DataSource"].get("S3DataSource", {})
    told = {
        "ContentType": channel.get("ContentType"),
        "TrainingInputMode": channel.get("InputMode") or algorithm["TrainingInputMode"],
        "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": channel.get("RecordWrapperType", "None"),
    }
    return {name: value for name, value in told.items() if value is not None}


def _resources(name: str) -> dict[str, Any]:
    interface = "eth0" if Path("/sys/class/net/eth0").exists() else "lo"
    return {
        "current_host": HOST,
        "current_instance_type": name,
        "current_group_name": GROUP,
        "hosts": [HOST],
        "instance_groups": [{"instance_group_name": GROUP, "instance_type": name, "hosts": [HOST]}],
        "network_interface_name": interface,
    }


def download_channels(s3: Any, ml: Path, request: Request) -> None:
    """All data of all channels, as File mode has it. DataError for what cannot be read, or what the emulator does not do."""
    for channel in request.get("InputDataConfig", ()):
        name = channel["ChannelName"]
        mode = channel.get("InputMode") or request["AlgorithmSpecification"]["TrainingInputMode"]
        if mode == "Pipe":
            raise DataError(f"channel {name}: the emulator has no Pipe mode. Use File or FastFile")
        source = channel["DataSource"].get("S3DataSource")
        if source is None:
            raise DataError(f"channel {name}: the emulator reads S3DataSource only")
        _download(s3, source, ml / "input/data" / name, f"channel {name}")


def _download(s3: Any, source: Request, folder: Path, what: str) -> None:
    kind, address = source["S3DataType"], place(source["S3Uri"], f"{what}: S3Uri")
    if kind == "S3Prefix":
        if fetch_prefix(s3, address, folder, what) == 0:
            raise DataError(f"{what}: there is no object under {address.uri}")
    elif kind == "ManifestFile":
        _download_listed(s3, address, folder, what)
    else:
        raise DataError(f"{what}: the emulator reads S3DataType S3Prefix and ManifestFile, not {kind}")


def _download_listed(s3: Any, address: Place, folder: Path, what: str) -> None:
    wrong = f"""{what}: {address.uri} is no manifest: expected [{{"prefix": "s3://BUCKET/PREFIX"}}, "NAME", ...]"""
    try:
        first, *names = json.loads(read(s3, address, LONGEST_MANIFEST_BYTES, what))
        prefix = place(first["prefix"], f"{what}: prefix")
    except (ValueError, TypeError, KeyError):
        raise DataError(wrong) from None
    if not names or not all(isinstance(name, str) for name in names):
        raise DataError(wrong)
    for name in names:
        fetch(s3, Place(prefix.bucket, prefix.key + name), folder, name, what)
