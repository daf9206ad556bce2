"""What goes with what: a job on SageMaker is one request, and has little of what a program on this machine needs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Iterator, Mapping

from nightspot.jobfile.fields import wrong
from nightspot.jobfile.sagemakertable import SAGEMAKER

if TYPE_CHECKING:
    from nightspot.jobfile.document import Document

LONGEST_NAME = 32
IN_THE_REQUEST = "It stands in the request: set it there, or in [sagemaker] overrides"
# Keys that do not apply, and where what they say belongs instead.
ELSEWHERE: Mapping[str, str] = {
    "command": "The request's HyperParameters.sagemaker_program, or its ContainerEntrypoint, says what runs.",
    "directory": "Leave it out: nothing runs on this machine.",
    "environment": f"{IN_THE_REQUEST} (Environment).",
    "checkpoint.directory": 'Write [sagemaker] checkpoints = "s3://bucket/prefix"; each run gets a folder of its own in it.',
    "checkpoint.store": 'Write [sagemaker] checkpoints = "s3://bucket/prefix": SageMaker copies them there by itself.',
    "training.hyperparameters": f"{IN_THE_REQUEST} (HyperParameters).",
    "training.channels": f"{IN_THE_REQUEST} (InputDataConfig).",
    "training.code": "Leave it out: the request names its source.",
    "training.sagemaker": "Leave it out: SageMaker sets all this up itself.",
}
MEMBER = re.compile(r"(?!/)(?!.*(?:^|/)\.\.(?:/|$)).+", re.DOTALL)


def check_kinds(document: Document) -> None:
    """PydanticCustomError, in our words, where pools and tables do not go together."""
    on_sagemaker = [pool.backend == SAGEMAKER for pool in document.pools]
    if any(on_sagemaker):
        _check_sagemaker(document, on_sagemaker)
    elif document.sagemaker is not None:
        remedy = f'Write backend = "{SAGEMAKER}" in each of [[pools]], or leave [sagemaker] out.'
        raise wrong("no pool is on SageMaker", remedy, SAGEMAKER)
    elif document.command is None:
        raise wrong("it is required", 'Add it, for example: command = "{python} train.py".', "command")


def _check_sagemaker(document: Document, on_sagemaker: list[bool]) -> None:
    if not all(on_sagemaker):
        remedy = "Let all pools be on SageMaker, or none: checkpoints do not move between the two."
        raise wrong("other pools of this job are on SageMaker", remedy, "pools", on_sagemaker.index(False), "backend")
    if document.sagemaker is None:
        remedy = (
            'Add [sagemaker] with template = "request.json"; `nightspot init --from-training-job NAME` writes both.'
        )
        raise wrong("the pools are on SageMaker, and it says what trains there", remedy, SAGEMAKER)
    for key in _given(document):
        raise wrong("this does not apply on SageMaker", ELSEWHERE[key], *key.split("."))
    if len(document.name) > LONGEST_NAME:
        expected = (
            f"on SageMaker at most {LONGEST_NAME} characters: a training job's name has 63, with night and attempt"
        )
        raise wrong(expected, f"Call it {document.name[:LONGEST_NAME].strip('-')!r}.", "name")
    artifact = document.artifact_table
    if artifact is not None and MEMBER.fullmatch(artifact.path) is None:
        below = ("artifact",) if isinstance(document.artifact, str) else ("artifact", "path")
        raise wrong("expected the name of a file inside model.tar.gz", 'Write it like "model.pt".', *below)
    _check_progress(document)


def _given(document: Document) -> Iterator[str]:
    for key in ELSEWHERE:
        table, _, name = key.rpartition(".")
        if name in (getattr(document, table) if table else document).model_fields_set:
            yield key


def _check_progress(document: Document) -> None:
    assert document.sagemaker is not None  # noqa: S101 - for the type checker: it was asked for above
    wanted, pattern = document.sagemaker.progress, document.checkpoint.pattern
    if wanted == "files" and pattern is None:
        remedy = 'Name them: [checkpoint] pattern = "ckpt-*.pt".'
        raise wrong("which files are checkpoints is not said", remedy, SAGEMAKER, "progress")
    if wanted == "manifests" and pattern is not None:
        remedy = 'Leave `progress` out, or write progress = "files".'
        raise wrong(
            "`checkpoint.pattern` names an unmodified script's files, which have no manifests",
            remedy,
            SAGEMAKER,
            "progress",
        )


def check_local_time(document: Document) -> None:
    """PydanticCustomError where time is compressed and a pool's backend has only the real one. SageMaker's emulator has both."""
    for index, pool in enumerate(document.pools):
        if pool.backend not in ("local", SAGEMAKER) and document.time_scale != 1:
            raise wrong("time is compressed on local pools only", "Use time_scale = 1.", "pools", index, "backend")
