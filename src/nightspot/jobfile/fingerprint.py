"""The fingerprint of a Job: what its result depends on, and nothing that may change between two nights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence

from nightspot.errors import JobFileError
from nightspot.jobfile.document import Document
from nightspot.jobfile.findings import Path as Path_
from nightspot.jobfile.tomltext import dotted

VERSION = 1
MOST_FILES = 10_000
# The SDK's name for the job, for its logs: each recording has another.
LABEL = "sagemaker_job_name"
LIKE_A_PATTERN = 'Write it like "src/**/*.py".'


def fingerprint(document: Document, directory: Path, file: str, request: Optional[Mapping[str, Any]] = None) -> str:
    """SHA-256 over the command, hyperparameters, channels, world sizes and the content of the code, placeholders unfilled;
    of a request, what its result depends on.

    Prices, pools, the deadline and the folder's place are not in it. Of the world sizes only which there are, not how often.
    """
    facts: dict[str, Any] = {
        "version": VERSION,
        "command": document.words,
        "hyperparameters": document.training.hyperparameters,
        "channels": document.training.channels,
        "world_sizes": sorted({pool.world_size for pool in document.pools}),
        "code": {
            path.relative_to(directory).as_posix(): _digest(path, file)
            for path in code_files(document.words, document.training.code, directory, file)
        },
    }
    if request is not None:
        facts["request"] = of_result(request)
    canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def of_result(request: Mapping[str, Any]) -> dict[str, Any]:
    """Image, hyperparameters (source and program are among them), channels, environment, and on how many instances."""
    hyperparameters = dict(request.get("HyperParameters") or {})
    hyperparameters.pop(LABEL, None)
    kept = {key: request.get(key) for key in ("AlgorithmSpecification", "InputDataConfig", "Environment")}
    instances = (request.get("ResourceConfig") or {}).get("InstanceCount")
    return {**kept, "HyperParameters": hyperparameters, "InstanceCount": instances}


def changed_field(before: Mapping[str, Any], now: Mapping[str, Any]) -> Optional[tuple[str, Any, Any]]:
    """The first field of two requests' results that differs, and what stands there in each (None: nothing); None where none does."""
    return _changed(of_result(before), of_result(now), ())


def _changed(before: Any, now: Any, path: Path_) -> Optional[tuple[str, Any, Any]]:
    if before == now:
        return None
    if isinstance(before, dict) and isinstance(now, dict):
        inner = (_changed(before.get(key), now.get(key), (*path, key)) for key in sorted({*before, *now}))
        return next((found for found in inner if found is not None), None)
    return dotted(path), before, now


def code_files(command: Sequence[str], patterns: Optional[Sequence[str]], directory: Path, file: str) -> list[Path]:
    """The files of the code, in order: those that the patterns match, else those that the command names below its directory."""
    if patterns is None:
        named = {directory / word for word in command[:1000] if _is_below(word)}
        return sorted([path for path in named if _is_file(path)])
    found: set[Path] = set()
    for index, pattern in enumerate(patterns):
        found |= _matches(pattern, directory, file, f"training.code[{index}]")
    if len(found) > MOST_FILES:
        raise JobFileError(file, "training.code", len(found), f"more than {MOST_FILES} files", "Name fewer of them.")
    return sorted(found)


def _matches(pattern: str, directory: Path, file: str, field: str) -> set[Path]:
    if not _is_below(pattern):
        raise JobFileError(file, field, pattern, "code lies below the job's directory", "Name it from there.")
    try:
        matches = {path for path in directory.glob(pattern) if path.is_file()}
    except (ValueError, IndexError, OSError, NotImplementedError):
        raise JobFileError(file, field, pattern, "this is no pattern of files", LIKE_A_PATTERN) from None
    if not matches:
        raise JobFileError(file, field, pattern, "no file matches it", LIKE_A_PATTERN)
    return matches


def _is_file(path: Path) -> bool:
    """False also where no file can be: a program on the command line (`python -c ...`) is longer than any name."""
    try:
        return path.is_file()
    except OSError:
        return False


def _is_below(word: str) -> bool:
    path = Path(word)
    return bool(word) and len(word) < 1000 and not path.is_absolute() and ".." not in path.parts and "\0" not in word


def _digest(path: Path, file: str) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            for block in iter(lambda: stream.read(1 << 20), b""):
                digest.update(block)
    except OSError as error:
        raise JobFileError(
            file, "training.code", str(path), f"it cannot be read ({error.strerror})", "Make it readable."
        ) from None
    return digest.hexdigest()
