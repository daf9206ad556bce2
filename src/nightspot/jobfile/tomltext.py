"""TOML in and out: the job file's text as a document, and values as they would be written in it."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

from nightspot.errors import JobFileError

_toml: Any = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
SYNTAX = "this is not TOML"
LARGEST_BYTES = 1 << 20


def read_document(path: Path, file: str) -> dict[str, Any]:
    """The file as nested tables. JobFileError if it cannot be read, or is no UTF-8, or no TOML."""
    text = _read(path, file)
    try:
        return dict(_toml.loads(text))
    except (ValueError, RecursionError) as error:
        line = _line(text, error)
        raise JobFileError(file, "", line, f"{SYNTAX}: {error}", "Correct that line (https://toml.io).") from None


def _read(path: Path, file: str) -> str:
    try:
        if path.is_dir():
            raise JobFileError(file, "", file, "this is a folder", "Name the job file in it.")
        if path.exists() and not path.is_file():
            raise JobFileError(file, "", file, "this is not a regular file", "Name a file.")
        with path.open("rb") as stream:
            content = stream.read(LARGEST_BYTES + 1)
    except FileNotFoundError:
        raise JobFileError(
            file, "", None, "there is no such file", "Write one with `nightspot init`, or name another."
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise JobFileError(file, "", file, f"it cannot be read ({reason})", "Make it readable.") from None
    return _decoded(content, file)


def _decoded(content: bytes, file: str) -> str:
    if len(content) > LARGEST_BYTES:
        raise JobFileError(file, "", file, "this is larger than 1 MiB", "Name a job file.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise JobFileError(
            file, "", content[error.start : error.end], f"line {line} is not UTF-8", "Save the file as UTF-8."
        ) from None


def _line(text: str, error: Exception) -> str:
    """The line that a syntax error speaks of, as far as it can be known."""
    lines = text.splitlines() or [""]
    words = str(error).rpartition("line ")[2].split(",")[0]
    number = int(words) if words.isdigit() else len(lines)
    return str(short(lines[min(number, len(lines)) - 1].strip()))


def parse_value(text: str) -> Any:
    """One value in TOML's syntax; a text that is none stands for itself, as a string."""
    try:
        document = _toml.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return document["value"] if list(document) == ["value"] else text


def show(value: Any) -> str:
    """A value as TOML writes it, on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{ " + ", ".join([f"{_key(k)} = {show(v)}" for k, v in value.items()]) + " }" if value else "{}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join([show(v) for v in value]) + "]"
    if isinstance(value, str):
        return str(json.dumps(value, ensure_ascii=False)).replace("\x7f", "\\u007f")
    return str(value)


def _key(key: str) -> str:
    return key if key.replace("-", "_").isidentifier() and key.isascii() else show(key)


def short(value: Any, longest: int = 60) -> Any:
    """A value as an error message can bear it: long ones cut."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = value if isinstance(value, str) else repr(value)
    if len(text) > longest:
        return text[: longest - 3] + "..."
    return value
