"""The CreateTrainingJob request: read from the template, merged with the job file's overrides, checked, and filled in for a night."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, Iterator, Mapping, Optional

from pydantic import ValidationError

from nightspot.errors import JobFileError
from nightspot.jobfile.document import Document
from nightspot.jobfile.durations import format_duration
from nightspot.jobfile.findings import Request, Wrong, at
from nightspot.jobfile.placeholders import expand
from nightspot.jobfile.places import absolute
from nightspot.jobfile.requestcheck import by_our_rules
from nightspot.jobfile.requestmodel import against_the_model
from nightspot.jobfile.sagemakertable import SageMakerTable
from nightspot.jobfile.tomltext import dotted, short

FIELD = "sagemaker.template"
LARGEST_BYTES = 1 << 20
HOW_TO_GET_ONE = "`nightspot init --from-training-job NAME` writes one, and so does nightspot.sagemaker.record."
Values = Mapping[str, Optional[str]]


@dataclass(frozen=True, slots=True)
class Template:
    """A request as it was read. `file` is its name, as errors show it."""

    file: str
    request: Mapping[str, Any]


def read_template(table: SageMakerTable, base: FilePath, file: str) -> Template:
    """The request that `sagemaker.template` names. JobFileError where it cannot be read, or is no JSON object."""
    path = FilePath(absolute(table.template, base, file, FIELD))
    shown = str(FilePath(file).parent / table.template)
    try:
        request = json.loads(_text(path, file), parse_constant=_no_number)
    except json.JSONDecodeError as error:
        stood = short(error.doc.splitlines()[error.lineno - 1].strip()) if error.doc.strip() else None
        raise JobFileError(
            shown, f"line {error.lineno}", stood, f"this is not JSON: {error.msg}", HOW_TO_GET_ONE
        ) from None
    except (ValueError, RecursionError) as error:
        raise JobFileError(shown, "", table.template, f"this is not JSON: {error}", HOW_TO_GET_ONE) from None
    if not isinstance(request, dict):
        raise JobFileError(shown, "", short(request), "expected a request: a JSON object", HOW_TO_GET_ONE)
    return Template(shown, request)


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def too_little_said(error: JobFileError, tables: Mapping[str, Any], base: FilePath, file: str) -> JobFileError:
    """The error; of missing `work` with what the request knows of it: an upper bound, which only the user can judge."""
    if error.field != "work" or error.value is not None or not isinstance(tables.get("sagemaker"), dict):
        return error
    with suppress(JobFileError, ValidationError):
        request = read_template(SageMakerTable.model_validate(tables["sagemaker"]), base, file).request
        runtime_s = at(request, "StoppingCondition", "MaxRuntimeInSeconds")
        if isinstance(runtime_s, int):
            total = f'work = {{ total = "{format_duration(runtime_s)}" }}'
            remedy = f"The request's MaxRuntimeInSeconds is {runtime_s}. If that is what the work takes: {total}."
            return JobFileError(file, error.field, None, error.expected, remedy)
    return error


def _text(path: FilePath, file: str) -> str:
    try:
        if path.exists() and not path.is_file():
            raise JobFileError(file, FIELD, str(path), "this is not a file", HOW_TO_GET_ONE)
        with path.open("rb") as stream:
            content = stream.read(LARGEST_BYTES + 1)
    except FileNotFoundError:
        raise JobFileError(file, FIELD, str(path), "there is no such file", HOW_TO_GET_ONE) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise JobFileError(file, FIELD, str(path), f"it cannot be read ({reason})", "Make it readable.") from None
    return _decoded(content, path, file)


def _decoded(content: bytes, path: FilePath, file: str) -> str:
    if len(content) > LARGEST_BYTES:
        raise JobFileError(file, FIELD, str(path), "this is larger than 1 MiB", HOW_TO_GET_ONE)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise JobFileError(file, FIELD, str(path), "this is not UTF-8", "Save the file as UTF-8.") from None


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> Request:
    """A copy of `below` with `above` laid over it, object by object; lists and values are replaced."""
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        result[key] = merged(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return result


def whole_request(template: Template, table: SageMakerTable, overrides: Mapping[str, Any]) -> Request:
    """The request of tonight's attempts, but for what differs from one to the next."""
    role = {"RoleArn": table.role} if table.role is not None else {}
    return merged(merged(template.request, role), overrides)


def filled(overrides: Any, values: Values, file: str, field: str = "sagemaker.overrides") -> Any:
    """The overrides with the placeholders of their texts filled in. JobFileError for an unknown one."""
    if isinstance(overrides, dict):
        return {key: filled(value, values, file, f"{field}.{key}") for key, value in overrides.items()}
    if isinstance(overrides, list):
        return [filled(value, values, file, f"{field}[{index}]") for index, value in enumerate(overrides)]
    return expand(overrides, values, file, field) if isinstance(overrides, str) else overrides


def texts_of(table: SageMakerTable) -> Iterator[tuple[str, str]]:
    """(key, text) of the addresses that may have placeholders."""
    for key in ("checkpoints", "output"):
        text = getattr(table, key)
        if text is not None:
            yield f"sagemaker.{key}", text


def check_template(template: Template, document: Document, file: str) -> None:
    """JobFileError, with the file that it comes from, the field and the remedy, where the request is none for a Spot night."""
    table = document.sagemaker
    assert table is not None  # noqa: S101 - for the type checker: there is a template
    values = {"night": "2026-11-25", "deadline": "20261125T0700Z", "name": document.name}
    overrides = filled(table.overrides, {**values, "run_id": f"{document.name}-20261125T0700Z"}, file)
    request = whole_request(template, table, overrides)
    found = list(_all_wrong(request, document))
    if found:
        raise _as_error(found, template, table, file)


def _all_wrong(request: Request, document: Document) -> Iterator[Wrong]:
    """The model's findings first: an unknown field explains what is missing. What our own rules ask for is not asked for twice."""
    ours = {
        "TrainingJobName": "x",
        "RoleArn": "arn:aws:iam::123456789012:role/x",
        "OutputDataConfig": {"S3OutputPath": "s3://x"},
    }
    yield from against_the_model({**ours, **request})
    yield from by_our_rules(request, document)


def _as_error(found: list[Wrong], template: Template, table: SageMakerTable, file: str) -> JobFileError:
    first = found[0]
    overridden = at(table.overrides, *first.path) is not None
    others = f" ({len(found) - 1} more to correct after this one.)" if len(found) > 1 else ""
    where = (
        (file, dotted(("sagemaker", "overrides", *first.path))) if overridden else (template.file, dotted(first.path))
    )
    value = None if first.value is None else short(first.value)
    return JobFileError(*where, value, first.expected, f"{first.remedy}{others}")
