"""A name for an estimator's source that is the same as long as the source is: its upload then has the same address.

The SDK names each upload after the job, and each job after the time. A night that goes on in the evening it was begun must find the request
it began with; so `fit` names the upload after its content.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Iterator

from nightspot.sagemaker.errors import EstimatorError

DIGITS = 16
MOST_FILES = 100_000
LEFT_OUT = {"__pycache__", ".git", ".ipynb_checkpoints"}


def source_name(estimator: Any, name: str) -> str:
    """`NAME-DIGEST`, of letters, digits and dashes."""
    digest = hashlib.sha256()
    for part in _parts(estimator):
        digest.update(len(part).to_bytes(8, "big") + part)
    return f"{name}-{digest.hexdigest()[:DIGITS]}"


def _parts(estimator: Any) -> Iterator[bytes]:
    git, folder = getattr(estimator, "git_config", None), getattr(estimator, "source_dir", None)
    entry = str(getattr(estimator, "entry_point", None) or "")
    yield json.dumps([git, entry, str(folder or "")], default=str, sort_keys=True).encode()
    if git:
        return
    for place in [folder or entry, *(getattr(estimator, "dependencies", None) or ())]:
        yield from _content(str(place).removeprefix("file://"))


def _content(place: str) -> Iterator[bytes]:
    """Names and bytes of what lies there; nothing of an address, which stands for itself."""
    path = Path(place)
    if not place or "://" in place:
        return
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    kept = sorted(file for file in files if not LEFT_OUT & set(file.relative_to(path).parts))
    if len(kept) > MOST_FILES:
        raise EstimatorError(f"{place} holds more than {MOST_FILES} files: name a source_dir with less in it")
    for file in kept:
        yield str(file.relative_to(path)).encode()
        yield file.read_bytes()
