"""Our wheel in the user's source, and the request that names it."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path
from typing import Any, Callable

import pytest
from sagemaker.pytorch import PyTorch

from nightspot.backends.aws import wheel
from nightspot.backends.aws.bundle import LAUNCHERS, travelling, unbundled, upload, why_not
from nightspot.backends.aws.sourcedir import additions, repack
from nightspot.errors import BackendError
from tests.inside.image import BUCKET, CHECKPOINTS, CONTROL, RUN, SOURCE_KEY, TOKEN, packed, request, spec

USES = "from nightspot.checkpoint import Session; from nightspot.inside import wrapper; import nightspot; print(nightspot.__file__)"


def bundled(source: bytes, program: str = "train.py") -> bytes:
    made = io.BytesIO()
    repack(io.BytesIO(source), made, additions(wheel.build(), program))
    return made.getvalue()


def test_the_wheel_installs_offline_without_dependencies_and_imports(tmp_path: Path) -> None:
    built = wheel.build()
    (tmp_path / built.name).write_bytes(built.content)
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv/bin/python"
    pip = [str(python), "-m", "pip", "install", "-q", "--no-deps", "--no-index", str(tmp_path / built.name)]
    subprocess.run(pip, check=True, cwd=tmp_path)
    shown = subprocess.run([str(python), "-I", "-c", USES], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert Path(shown.stdout.strip()).is_relative_to(tmp_path / "venv")
    subprocess.run([str(python), "-m", "pip", "check", "-q"], check=True, cwd=tmp_path)


def test_the_wheel_is_the_same_each_time_and_holds_the_training_side_only() -> None:
    built = wheel.build()
    assert built == wheel.build()
    with zipfile.ZipFile(io.BytesIO(built.content)) as archive:
        rooms = {name.split("/")[1] for name in archive.namelist() if name.startswith("nightspot/")}
        record = archive.read(next(name for name in archive.namelist() if name.endswith("RECORD"))).decode()
    assert rooms == {"__init__.py", "py.typed", "checkpoint", "inside"}
    assert {line.split(",")[0] for line in record.splitlines()} == set(archive.namelist())


def odd_source() -> bytes:
    """Modes, links, an empty folder, a long name, an owner."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.GNU_FORMAT) as archive:
        for name, kind, link in [
            ("./train.py", tarfile.REGTYPE, ""),
            ("lib", tarfile.DIRTYPE, ""),
            ("lib/" + "x" * 150 + ".py", tarfile.REGTYPE, ""),
            ("lib/again.py", tarfile.SYMTYPE, "../train.py"),
            ("hard.py", tarfile.LNKTYPE, "train.py"),
        ]:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.mode, member.uid, member.uname = kind, link, 0o750, 501, "them"
            member.mtime = 1_700_000_000.25
            archive.addfile(member)
    return buffer.getvalue()


def test_of_the_users_source_not_a_byte_changes() -> None:
    source = odd_source()
    before, after = gzip.decompress(source), gzip.decompress(bundled(source))
    with tarfile.open(fileobj=io.BytesIO(source)) as archive:
        theirs = archive.getnames()
    with tarfile.open(fileobj=io.BytesIO(after)) as archive:
        assert archive.getnames() == [*theirs, wheel.build().name, "nightspot_entry.py"]
    assert after.startswith(before.rstrip(b"\0"))
    assert bundled(source) == bundled(source)


def with_member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, link
        archive.addfile(member)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (with_member("../x.py"), "'../x.py': it would leave the source's folder"),
        (with_member("/etc/x"), "'/etc/x': it would leave"),
        (with_member("lib/../../x"), "it would leave"),
        (with_member("lib/x", tarfile.SYMTYPE, "../../y"), "'lib/x' -> '../../y': it would leave"),
        (with_member("x", tarfile.SYMTYPE, "/etc/passwd"), "it would leave"),
        (with_member("x", tarfile.LNKTYPE, "../y"), "it would leave"),
        (
            with_member("./nightspot_entry.py"),
            "a file 'nightspot_entry.py', which is a name nightspot needs: rename it",
        ),
        (with_member("nightspot_entry.py/x"), "a name nightspot needs"),
        (b"no archive", "not a whole .tar.gz archive"),
        (odd_source()[:-20], "not a whole .tar.gz archive"),
        (gzip.compress(b"no archive" * 100), "not a whole tar archive"),
    ],
    # An archive's own bytes hold the time: the workers would collect tests of different names.
    ids=lambda value: value if isinstance(value, str) else "source",
)
def test_a_source_that_cannot_take_ours_in_is_refused_with_its_reason(source: bytes, says: str) -> None:
    with pytest.raises(BackendError) as raised:
        bundled(source)
    assert says in str(raised.value)


def launch(s3: Any, template: dict[str, Any], **how: float) -> dict[str, Any]:
    told: dict[str, Any] = {"checkpoints_uri": f"s3://{BUCKET}/{CHECKPOINTS}", **how}
    return {**template, **travelling(template, spec(), s3, control_uri=f"s3://{BUCKET}/{CONTROL}", **told)}


def test_only_the_program_and_the_environment_of_a_request_change(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key=SOURCE_KEY, Body=packed({"train.py": ""}))
    template = request(epochs="3")
    changed = launch(s3, template)
    assert {name for name in template if changed[name] != template[name]} == {"HyperParameters", "Environment"}
    before, after = template["HyperParameters"], changed["HyperParameters"]
    assert {name for name in after if before.get(name) != after[name]} == {
        "sagemaker_submit_directory",
        "sagemaker_program",
    }
    assert after["sagemaker_program"] == '"nightspot_entry.py"'
    assert after["sagemaker_submit_directory"].startswith(f'"s3://{BUCKET}/ck/{RUN}-control/code/')
    assert changed["Environment"] == {
        "FOO": "1",
        "NIGHTSPOT_RUN_ID": RUN,
        "NIGHTSPOT_ATTEMPT": "1",
        "NIGHTSPOT_TOKEN": TOKEN,
        "NIGHTSPOT_ROLE": "train",
        "NIGHTSPOT_CHECKPOINT_DIR": "/opt/ml/checkpoints",
        "NIGHTSPOT_CHECKPOINT_INTERVAL_S": "600.0",
        "NIGHTSPOT_CHECKPOINTS": f"s3://{BUCKET}/{CHECKPOINTS}",
        "NIGHTSPOT_CONTROL": f"s3://{BUCKET}/{CONTROL}",
        "NIGHTSPOT_FINGERPRINT": "f1",
        "NIGHTSPOT_SCRIPT": "train.py",
        "NIGHTSPOT_SOURCE": f"s3://{BUCKET}/{SOURCE_KEY}",
    }
    assert unbundled(changed) == template
    assert unbundled(template) == template


def test_intervals_are_told_in_real_seconds_and_the_folder_is_the_templates(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key=SOURCE_KEY, Body=packed({"train.py": ""}))
    template = request() | {"CheckpointConfig": {"S3Uri": "s3://b/c", "LocalPath": "/opt/ml/saved"}}
    environment = launch(s3, template, time_scale=240.0, not_after_real_utc=2e9 + 0.5)["Environment"]
    assert environment["NIGHTSPOT_CHECKPOINT_INTERVAL_S"] == "2.5"
    assert environment["NIGHTSPOT_TIME_SCALE"] == "240.0"
    assert environment["NIGHTSPOT_NOT_AFTER"] == "2000000000.5"
    assert environment["NIGHTSPOT_CHECKPOINT_DIR"] == "/opt/ml/saved"


def test_a_source_is_uploaded_once_and_again_when_it_changes(s3: Any) -> None:
    puts: list[str] = []
    s3.meta.events.register("before-call.s3.PutObject", lambda params, **_: puts.append(params["url_path"]))
    s3.put_object(Bucket=BUCKET, Key=SOURCE_KEY, Body=packed({"train.py": "1"}))
    source, prefix = f"s3://{BUCKET}/{SOURCE_KEY}", f"s3://{BUCKET}/code/"
    first = upload(s3, source, "train.py", prefix)
    assert upload(s3, source, "train.py", prefix) == first
    assert len(puts) == 2
    s3.put_object(Bucket=BUCKET, Key=SOURCE_KEY, Body=packed({"train.py": "2"}))
    assert upload(s3, source, "train.py", prefix) != first
    assert upload(s3, source, "run.sh", prefix) != upload(s3, source, "train.py", prefix)


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    template = request()
    change(template)
    return template


@pytest.mark.parametrize(
    ("template", "says"),
    [
        (changed(lambda t: t.pop("HyperParameters")), "no sagemaker_submit_directory and sagemaker_program"),
        (changed(lambda t: t["HyperParameters"].pop("sagemaker_program")), "Set wrapper = false"),
        (changed(lambda t: t["HyperParameters"].update(sagemaker_submit_directory="/opt/ml/code")), "'/opt/ml/code'"),
        (changed(lambda t: t["HyperParameters"].update(sagemaker_mpi_enabled="true")), "sagemaker_mpi_enabled"),
        (changed(lambda t: t.update(AlgorithmSpecification={"ContainerEntrypoint": ["x"]})), "ContainerEntrypoint"),
        (
            changed(lambda t: t["HyperParameters"].update(sagemaker_program="nightspot_entry.py")),
            "nightspot itself sent",
        ),
    ],
)
def test_a_template_that_cannot_carry_the_wrapper_says_why(s3: Any, template: dict[str, Any], says: str) -> None:
    why = why_not(template)
    assert why is not None
    assert says in why
    with pytest.raises(BackendError) as raised:
        launch(s3, template)
    assert str(raised.value) == why


def test_a_template_that_can_has_nothing_against_it() -> None:
    parameters = {"sagemaker_mpi_enabled": "false", "sagemaker_torch_distributed_enabled": "null"}
    assert why_not(request(**parameters)) is None
    plain = changed(
        lambda t: t["HyperParameters"].update(sagemaker_program="train.py")
    )  # by hand, without JSON's quotes
    assert why_not(plain) is None


def test_more_variables_than_sagemaker_takes_are_refused(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key=SOURCE_KEY, Body=packed({"train.py": ""}))
    template = request() | {"Environment": {f"V{number}": "" for number in range(95)}}
    with pytest.raises(BackendError, match="95 variables, ours are 11: SageMaker takes 100"):
        launch(s3, template)


def test_a_source_that_is_not_there_is_amazons_error(s3: Any) -> None:
    with pytest.raises(s3.exceptions.ClientError) as raised:
        launch(s3, request())
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


def test_the_launcher_uses_the_toolkits_own_interpreter(tmp_path: Path) -> None:
    names = {addition.name: addition for addition in additions(wheel.build(), "run.sh")}
    (tmp_path / "nightspot_entry.sh").write_bytes(names["nightspot_entry.sh"].content)
    (tmp_path / "nightspot_entry.py").write_text("import json, sys; print(json.dumps([sys.executable, sys.argv[1:]]))")
    call = "import subprocess, sys; subprocess.run(['/bin/sh', 'nightspot_entry.sh', 'a b', '$c'])"
    shown = subprocess.run([sys.executable, "-c", call], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(shown.stdout) == [sys.executable, ["a b", "$c"]]


def test_each_launcher_that_the_sdk_knows_is_refused() -> None:
    named = {
        getattr(PyTorch, name) for name in dir(PyTorch) if name.startswith("LAUNCH_") and name.endswith("ENV_NAME")
    }
    assert {"sagemaker_mpi_enabled", "sagemaker_torch_distributed_enabled"} <= named
    assert named <= set(LAUNCHERS)
