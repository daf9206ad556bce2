"""pydantic's findings as one JobFileError: the key that is wrong, what stood there, what was expected, what to do."""

from __future__ import annotations

from typing import Any, Iterator, Mapping, Optional, Sequence, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from nightspot.errors import JobFileError
from nightspot.jobfile.fields import nearest
from nightspot.jobfile.settings import TABLE, WORD
from nightspot.jobfile.tomltext import Location, dotted, short, show

EXPECTED = {
    "string_type": "expected a text in quotes",
    "int_type": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "finite_number": "expected a finite number",
    "bool_type": "expected true or false",
    "list_type": "expected a list",
    "dict_type": "expected a table",
    "model_type": "expected a table",
    "model_attributes_type": "expected a table",
    "too_short": "expected at least one",
    "missing": "it is required",
    "extra_forbidden": "there is no such key here",
}
LIMITS = {
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "too_long": "at most {max_length} are allowed",
    "literal_error": "expected {expected}",
}


def as_job_file_error(
    error: ValidationError, file: str, model: type[BaseModel], document: Mapping[str, Any]
) -> JobFileError:
    """The finding to show: unknown keys come first, for they explain what is missing. The number of the others is told."""
    found = error.errors(include_url=False)
    first = next((f for f in found if f["type"] == "extra_forbidden"), found[0])
    context = first.get("ctx", {})
    location = [*[part for part in first["loc"] if part not in (TABLE, WORD)], *context.get("below", ())]
    expected, remedy = _words(first, location, model, context)
    others = f" ({len(found) - 1} more to correct after this one.)" if len(found) > 1 else ""
    return JobFileError(file, dotted(location), short(value_at(document, location)), expected, f"{remedy}{others}")


def _words(
    finding: ErrorDetails, location: Location, model: type[BaseModel], context: Mapping[str, Any]
) -> tuple[str, str]:
    kind = finding["type"]
    if kind == "nightspot":
        return str(context["expected"]), str(context["remedy"])
    limit = LIMITS.get(kind, "").format(**{k: _plain(v) for k, v in context.items()})
    expected = limit or EXPECTED.get(kind, finding["msg"])
    if kind == "extra_forbidden":
        return expected, _unknown(model, location)
    return expected, _example(model, location, missing=kind == "missing")


def _unknown(model: type[BaseModel], location: Location) -> str:
    """What was probably meant. TOML puts a key under the last [table] before it, so the right key often stands in the wrong place."""
    key = str(location[-1])
    parent = _model_at(model, location[:-1]) or model
    homes = " or ".join(_homes(model, key))
    return nearest(key, _keys(parent)) + (f" A key of that name belongs {homes}." if homes else "")


def _homes(model: type[BaseModel], key: str) -> Iterator[str]:
    if key in _keys(model):
        yield "at the top, before the first [table]"
    for name, field in _keys(model).items():
        table = _model_in(field.annotation)
        if table is not None and key in _keys(table):
            yield "under [[pools]]" if name == "pools" else f"under [{name}]"


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _example(model: type[BaseModel], location: Location, *, missing: bool) -> str:
    """How the key is written. A key of the user's own, as in `environment`, is shown by the table around it."""
    names = [part for part in location if isinstance(part, str)]
    while not (examples := _examples(model, names)):
        names.pop()
    return f"{'Add it, for example' if missing else 'Write, for example'}: {names[-1]} = {show(examples[0])}."


def _examples(model: type[BaseModel], names: Sequence[str]) -> list[Any]:
    parent = _model_at(model, names[:-1])
    field = _keys(parent).get(names[-1]) if parent else None
    return list(field.examples or ()) if field else []


def value_at(document: Any, location: Location) -> Any:
    """What stands there; None where nothing does."""
    value = document
    for part in location:
        try:
            value = value[part]
        except (LookupError, TypeError):
            return None
    return value


def _keys(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _model_at(model: type[BaseModel], location: Location) -> Optional[type[BaseModel]]:
    here: Optional[type[BaseModel]] = model
    for part in location:
        if isinstance(part, str) and here is not None:
            field = _keys(here).get(part)
            here = _model_in(field.annotation) if field else None
    return here


def _model_in(annotation: Any) -> Optional[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in get_args(annotation):
        model = _model_in(inner)
        if model is not None:
            return model
    return None
