"""TOML in and out: the job file's text as a document, and values as they would be written in it."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any, Iterable, Sequence, Union

from nightspot.errors import JobFileError

_toml: Any = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
SYNTAX = "this is not TOML"
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
BARE = re.compile(r"""([\w.-]+)\s*=\s*([^"'\[{#=\s][^"'#=]{0,60}?)\s*(?:#.*)?""")
DEEPEST, TOML_BITS = 32, 63
Location = Sequence[Union[int, str]]


class Written(str):
    """A text that an error message shows as it is: `true`, not Python's True."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


MANY = Written("...")
LARGEST_BYTES = 1 << 20


def read_document(path: Path, file: str) -> dict[str, Any]:
    """The file as nested tables. JobFileError if it cannot be read, or is no UTF-8, or no TOML."""
    text = _read(path, file)
    try:
        return dict(checked(_toml.loads(text), file, ()))
    except (ValueError, RecursionError) as error:
        number, line = _line(text, error)
        expected = f"{SYNTAX}: {error}"
        raise JobFileError(file, f"line {number}", short(line), expected, _syntax_remedy(line, error)) from None


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
        stood = content[error.start : error.end]
        raise JobFileError(file, f"line {line}", stood, "this is not UTF-8", "Save the file as UTF-8.") from None


def _line(text: str, error: Exception) -> tuple[int, str]:
    """The line that a syntax error speaks of, and its number, as far as they can be known."""
    lines = text.splitlines() or [""]
    words = str(error).rpartition("line ")[2].split(",")[0]
    number = min(int(words) if words.isdigit() else len(lines), len(lines))
    return number, lines[number - 1].strip()


def _syntax_remedy(line: str, error: Exception) -> str:
    """What most often is wrong: `at = 08:00` and `each = 12min` are no TOML without quotes."""
    bare = BARE.fullmatch(line) if str(error).startswith(("Invalid value", "Expected newline")) else None
    return f'Put it in quotes: {bare[1]} = "{bare[2]}".' if bare else "Correct that line (https://toml.io)."


def checked(value: Any, file: str, location: Location) -> Any:
    """The value, unless it holds what nobody wrote by hand, and Python cannot print: tables in tables without end, endless numbers."""
    here = [(location, value)]
    for _ in range(DEEPEST):
        for place, item in here:
            if isinstance(item, int) and item.bit_length() > TOML_BITS:
                raise JobFileError(file, dotted(place), MANY, "this is too large a number", "Write a smaller one.")
        here = [((*place, key), inner) for place, item in here for key, inner in _inside(item)]
    if here:
        field = dotted(here[0][0][:2])
        raise JobFileError(file, field, MANY, f"this is nested more than {DEEPEST} deep", "Make it flat.")
    return value


def _inside(value: Any) -> Iterable[tuple[Union[int, str], Any]]:
    if isinstance(value, dict):
        return value.items()
    return enumerate(value) if isinstance(value, list) else ()


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


def dotted(location: Location) -> str:
    """("pools", 1, "price") as `pools[1].price`."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{_key(part)}"
    return text.removeprefix(".")


def _key(key: str) -> str:
    return key if BARE_KEY.fullmatch(key) else show(key)


def short(value: Any, longest: int = 60) -> Any:
    """A value as an error message can bear it: in TOML's words, long ones cut."""
    if value is None or type(value) in (int, float):
        return value
    text = value if isinstance(value, str) else Written(show(value))
    return type(text)(text[: longest - 3] + "...") if len(text) > longest else text
