"""The job file of `fit`, as a document: what was said in the notebook, and nothing beside it, so that a shell runs the same job."""

from __future__ import annotations

from typing import Any, Iterator, Mapping

from nightspot.errors import JobFileError
from nightspot.jobfile import JobFile
from nightspot.jobfile.fingerprint import fingerprint
from nightspot.jobfile.overrides import apply_overrides
from nightspot.jobfile.template import whole_request
from nightspot.jobfile.tomltext import dotted, show

SETTINGS = "settings"
EXAMPLE = 'Write keys of the job file, dotted, for example settings={"limits.cost": 20.0}.'


def with_settings(document: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """A copy with each `{"work.units": 5}` in its place. JobFileError, which names the setting, where there is none."""
    try:
        return apply_overrides(document, [f"{key}={show(value)}" for key, value in settings.items()])
    except JobFileError as error:
        raise JobFileError(SETTINGS, error.field, error.value, error.expected, EXAMPLE) from None


def job_text(document: Mapping[str, Any]) -> str:
    """The document as TOML: its values first, then a table each, then the lists of tables."""
    parts = [(key, value, _rank(value)) for key, value in document.items()]
    return "".join(
        [f"{line}\n" for key, value, _ in sorted(parts, key=lambda part: part[2]) for line in _lines(key, value)]
    )


def _rank(value: Any) -> int:
    return 1 if isinstance(value, Mapping) else 2 if _is_tables(value) else 0


def _is_tables(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _lines(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from _table(f"[{dotted((key,))}]", value)
    elif _is_tables(value):
        for item in value:
            yield from _table(f"[[{dotted((key,))}]]", item)
    else:
        yield f"{dotted((key,))} = {show(value)}"


def _table(heading: str, table: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", heading)
    for key, value in table.items():
        yield f"{dotted((key,))} = {show(value)}"


def fingerprint_of(job_file: JobFile) -> str:
    """What the result of that job depends on, as its nights keep it."""
    table, template = job_file.document.sagemaker, job_file.template
    request = whole_request(template, table, table.overrides) if table is not None and template is not None else None
    return fingerprint(job_file.document, job_file.directory, job_file.file, request)
