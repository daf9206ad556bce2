"""Small files that are there whole, or not at all."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any


def write_whole(path: Path, document: Any, mode: int = 0o600) -> None:
    """Put JSON at `path` in one step, on the disk before it can be seen. OSError where that fails; then nothing changed."""
    temporary = _written_beside(path, json.dumps(document), mode)
    try:
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_first(path: Path, document: Any) -> bool:
    """Put JSON at `path` unless something is there. False where it was: of many writers one wins, and no one sees half a file."""
    temporary = _written_beside(path, json.dumps(document))
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
    return True


def write_soon(path: Path, document: Any) -> bool:
    """Put JSON at `path` in one step, but leave the disk its time: for what is written often and worth little. False where that fails."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps(document), "utf-8")
        temporary.replace(path)
    except OSError:
        return False
    return True


def read_json(path: Path) -> Any:
    """What JSON a file holds; None where there is no file, or it makes no sense."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _written_beside(path: Path, text: str, mode: int = 0o600) -> Path:
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return temporary
