"""The JSON Schema of the job file, for editors."""

from __future__ import annotations

from typing import Any

from nightspot.jobfile.document import Document

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def job_schema() -> dict[str, Any]:
    """What an editor needs to complete and check a `nightspot.toml`. The tool itself checks more."""
    schema = Document.model_json_schema(by_alias=True)
    return {"$schema": DIALECT, **schema, "title": "nightspot job file"}
