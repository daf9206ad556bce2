"""From the file to checked settings: everything that can be known before a night is planned."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable, Iterator, Mapping, Optional, Union

from pydantic import ValidationError

from nightspot.errors import JobFileError
from nightspot.jobfile import placeholders
from nightspot.jobfile.document import Document
from nightspot.jobfile.drilltable import DrillTable
from nightspot.jobfile.overrides import apply_overrides
from nightspot.jobfile.places import absolute
from nightspot.jobfile.pools import check_traces
from nightspot.jobfile.problems import as_job_file_error
from nightspot.jobfile.template import Template, check_template, read_template, texts_of, too_little_said
from nightspot.jobfile.tomltext import read_document, short


@dataclass(frozen=True, slots=True)
class JobFile:
    """A job file that was read and checked.

    `file` is its name as the user wrote it, `path` where it lies, `directory` where the command runs. `template`: the request, on
    SageMaker.
    """

    file: str
    path: Path
    document: Document
    directory: Path
    template: Optional[Template] = None

    @property
    def name(self) -> str:
        """The job's name."""
        return self.document.name

    @property
    def base(self) -> Path:
        """The folder from which the file's paths count."""
        return self.path.parent


def load_job(path: Union[str, Path], overrides: Iterable[str] = ()) -> JobFile:
    """Read and check. JobFileError, naming file, key, value and remedy, for whatever is wrong with it."""
    file = str(path)
    lies_at = Path(absolute(file, Path.cwd(), file, ""))
    document = _document(apply_overrides(read_document(lies_at, file), overrides), file, lies_at.parent)
    for field, template, known in templates(document):
        placeholders.check(template, file, field, known)
    directory = _directory(document.directory, lies_at.parent, file)
    check_traces(document.pools, lies_at.parent, file)
    return JobFile(file, lies_at, document, directory, _template(document, lies_at.parent, file))


def _template(document: Document, base: Path, file: str) -> Optional[Template]:
    if document.sagemaker is None:
        return None
    template = read_template(document.sagemaker, base, file)
    check_template(template, document, file)
    return template


def _document(tables: Mapping[str, Any], file: str, base: Path) -> Document:
    if not tables:
        raise JobFileError(file, "name", None, "nothing is set in this file", "`nightspot init` writes a whole one.")
    try:
        return Document.model_validate(tables)
    except ValidationError as error:
        found = as_job_file_error(error, file, Document, tables)
        raise too_little_said(found, tables, base, file) from None


def _directory(text: str, base: Path, file: str) -> Path:
    directory = Path(absolute(text, base, file, "directory"))
    with suppress(OSError):  # a name that is too long, a folder that may not be seen
        if directory.is_dir():
            return directory
    remedy = "Name the folder in which the command runs, from the job file's own."
    raise JobFileError(file, "directory", short(text), "there is no such folder", remedy)


def templates(document: Document) -> Iterator[tuple[str, str, Iterable[str]]]:
    """(key, text, placeholders that may stand in it) of all that have any."""
    everything, of_paths = tuple(placeholders.MEANINGS), placeholders.PATH_NAMES
    for word in document.words:
        yield "command", word, everything
    for key, value in document.environment.items():
        yield f"environment.{key}", value, everything
    for key, value in document.training.channels.items():
        yield f"training.channels.{key}", value, of_paths
    if document.checkpoint.directory is not None:
        yield "checkpoint.directory", document.checkpoint.directory, of_paths
    if document.sagemaker is not None:
        yield from [(key, text, placeholders.IN_REQUESTS) for key, text in texts_of(document.sagemaker)]
    yield from _of_drill(document.drill)
    artifact = document.artifact_table
    if artifact is not None:
        in_archive = document.sagemaker is not None
        yield artifact_field(document), artifact.path, placeholders.IN_REQUESTS if in_archive else of_paths
        yield "artifact.publish", artifact.publish or "", everything


def _of_drill(table: DrillTable) -> Iterator[tuple[str, str, Iterable[str]]]:
    """Those of `[drill]`, whose runs have a folder of their own like any other."""
    everything, of_paths = tuple(placeholders.MEANINGS), placeholders.PATH_NAMES
    for key, words in (("command", table.command), ("args", table.args)):
        yield from [(f"drill.{key}", word, everything) for word in words or ()]
    yield from [(f"drill.environment.{key}", value, everything) for key, value in table.environment.items()]
    for key, path in (("losses", table.losses), ("artifact", table.artifact), ("checkpoints", table.checkpoints)):
        yield f"drill.{key}", path or "", of_paths
    for key, paths in (("paths", table.paths), ("survives", table.survives)):
        yield from [(f"drill.{key}[{number}]", path, of_paths) for number, path in enumerate(paths or ())]


def artifact_field(document: Document) -> str:
    """The key that names the artefact's path: the short form, or the table's."""
    return "artifact" if isinstance(document.artifact, str) else "artifact.path"
