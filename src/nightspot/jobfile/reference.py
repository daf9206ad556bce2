"""The table of every key in docs/job-file.md, made from the tables themselves so that it cannot drift."""

from __future__ import annotations

from typing import Any, Iterator, Mapping

from nightspot.jobfile.durations import PATTERN
from nightspot.jobfile.schema import job_schema
from nightspot.jobfile.tomltext import show

Schema = Mapping[str, Any]
# Shown by their own section, not as a row of the top level.
SECTIONS = ("work", "deadline", "pools", "sagemaker", "emulator", "drill", "checkpoint", "limits", "hooks", "training")
SPECIAL = {"command": "text or list of texts", "start": "time", "at": "time"}


def reference() -> str:
    """Markdown: one table for the top level, one for each section."""
    schema = job_schema()
    definitions = schema["$defs"]
    top = {key: value for key, value in schema["properties"].items() if key not in SECTIONS}
    parts = [_table("Top level", {**schema, "properties": top})]
    parts.append(_table("`[policy]`, instead of a name", definitions["PolicyTable"]))
    parts.append(_table("`[artifact]`, instead of a path", definitions["ArtifactTable"]))
    for section in SECTIONS:
        parts.append(_table(_heading(section), definitions[_definition(section)]))
        if section == "pools":
            parts.append(_table("`bounds` of a pool", definitions["BoundsTable"]))
            parts.append(_table("`capacity` of a local pool, as a table", definitions["CapacityTable"]))
    return "\n\n".join(parts) + "\n"


def _heading(section: str) -> str:
    return "`[[pools]]`" if section == "pools" else f"`[{section}]`"


def _definition(section: str) -> str:
    return {"pools": "PoolTable", "sagemaker": "SageMakerTable"}.get(section, f"{section.capitalize()}Table")


def _table(heading: str, schema: Schema) -> str:
    lines = [f"### {heading}", "", "| key | type | default | meaning |", "|---|---|---|---|"]
    lines += [_row(key, value, schema.get("required", ())) for key, value in schema["properties"].items()]
    return "\n".join(lines)


def _row(key: str, value: Schema, required: Any) -> str:
    kind = SPECIAL.get(key) or " or ".join(dict.fromkeys(_kinds(value)))
    return f"| `{key}` | {kind} | {_default(key, value, required)} | {value.get('description', '')} |"


def _default(key: str, value: Schema, required: Any) -> str:
    if key in required:
        return "required"
    default = value.get("default")
    return "" if default in (None, "", {}, []) else f"`{show(default)}`"


def _kinds(value: Schema) -> Iterator[str]:
    """The types that a value may have, in the job file's words."""
    for choice in [*value.get("anyOf", ()), *value.get("oneOf", ())]:
        yield from _kinds(choice)
    if "enum" in value:
        yield " or ".join([f"`{show(word)}`" for word in value["enum"]])
    elif value.get("pattern") == PATTERN:
        yield "duration"
    elif "$ref" in value:
        yield "table"
    elif value.get("type") not in (None, "null"):
        yield WORDS[value["type"]]


WORDS: Mapping[str, str] = {
    "string": "text",
    "number": "number",
    "integer": "whole number",
    "boolean": "true or false",
    "array": "list",
    "object": "table",
}
