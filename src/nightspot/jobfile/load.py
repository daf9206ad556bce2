"""From the file to checked settings: everything that can be known before a night is planned."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Iterable, Iterator, Union

from pydantic import ValidationError

from nightspot.errors import JobFileError
from nightspot.jobfile import placeholders
from nightspot.jobfile.document import Document
from nightspot.jobfile.overrides import apply_overrides
from nightspot.jobfile.pools import check_traces
from nightspot.jobfile.problems import as_job_file_error
from nightspot.jobfile.tomltext import read_document


@dataclass(frozen=True, slots=True)
class JobFile:
    """A job file that was read and checked. `file` is its name as the user wrote it, `path` where it lies."""

    file: str
    path: Path
    document: Document

    @property
    def name(self) -> str:
        """The job's name."""
        return self.document.name

    @property
    def base(self) -> Path:
        """The folder from which the file's paths count."""
        return self.path.parent

    @property
    def directory(self) -> Path:
        """Where the command runs."""
        return self.base / Path(self.document.directory).expanduser()


def load_job(path: Union[str, Path], overrides: Iterable[str] = ()) -> JobFile:
    """Read and check. JobFileError, naming file, key, value and remedy, for whatever is wrong with it."""
    file = str(path)
    lies_at = Path(path).expanduser().absolute()
    tables = apply_overrides(read_document(lies_at, file), overrides)
    try:
        document = Document.model_validate(tables)
    except ValidationError as error:
        raise as_job_file_error(error, file, Document, tables) from None
    job_file = JobFile(file, lies_at, document)
    _check_places(job_file)
    return job_file


def _check_places(job_file: JobFile) -> None:
    for field, template, known in templates(job_file.document):
        placeholders.check(template, job_file.file, field, known)
    if not job_file.directory.is_dir():
        raise JobFileError(
            job_file.file,
            "directory",
            job_file.document.directory,
            f"there is no folder {job_file.directory}",
            "Name the folder in which the command runs, from the job file's own.",
        )
    check_traces(job_file.document.pools, job_file.base, job_file.file)


def templates(document: Document) -> Iterator[tuple[str, str, Iterable[str]]]:
    """(key, text, placeholders that may stand in it) of all that have any."""
    everything, of_paths = tuple(placeholders.MEANINGS), placeholders.PATH_NAMES
    for index, word in enumerate(document.command):
        yield f"command[{index}]", word, everything
    for key, value in document.environment.items():
        yield f"environment.{key}", value, everything
    for key, value in document.training.channels.items():
        yield f"training.channels.{key}", value, of_paths
    if document.checkpoint.directory is not None:
        yield "checkpoint.directory", document.checkpoint.directory, of_paths
    artifact = document.artifact_table
    if artifact is not None:
        yield "artifact.path", artifact.path, of_paths
        yield "artifact.publish", artifact.publish or "", everything
