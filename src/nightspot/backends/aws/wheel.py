"""A wheel of what runs inside the training image: a subset of this very package, pure Python, the same bytes each time."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

import nightspot

ROOMS = ("checkpoint", "inside")
TOP = ("__init__.py", "py.typed")
EPOCH = (1980, 1, 1, 0, 0, 0)  # the first that a zip archive can say


@dataclass(frozen=True, slots=True)
class Wheel:
    """Its file name and its bytes."""

    name: str
    content: bytes


def build() -> Wheel:
    """The wheel. Its version is ours with `+inside`, so that nobody takes it for the whole package."""
    version = f"{nightspot.__version__}+inside"
    info = f"nightspot-{version}.dist-info"
    members = dict(sorted(_modules()))
    members[f"{info}/METADATA"] = _metadata(version)
    members[f"{info}/WHEEL"] = _WHEEL
    members[f"{info}/RECORD"] = _record(members, f"{info}/RECORD")
    return Wheel(f"nightspot-{version}-py3-none-any.whl", _zipped(members))


_WHEEL = b"Wheel-Version: 1.0\nGenerator: nightspot\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def _metadata(version: str) -> bytes:
    lines = [
        "Metadata-Version: 2.1",
        "Name: nightspot",
        f"Version: {version}",
        "Summary: What runs inside the training image: checkpoints and the wrapper",
        "License: Apache-2.0",
        "Requires-Python: >=3.10",
    ]
    return "\n".join([*lines, ""]).encode()


def _modules() -> Iterator[tuple[str, bytes]]:
    package = Path(nightspot.__file__).parent
    for name in TOP:
        yield f"nightspot/{name}", (package / name).read_bytes()
    for room in ROOMS:
        yield from _tree(package / room, f"nightspot/{room}")


def _tree(folder: Path, name: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir() and entry.name != "__pycache__":
            yield from _tree(entry, f"{name}/{entry.name}")
        elif entry.name.endswith(".py"):
            yield f"{name}/{entry.name}", entry.read_bytes()


def _record(members: dict[str, bytes], own: str) -> bytes:
    lines = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in members.items()]
    return "\n".join([*lines, f"{own},,", ""]).encode()


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def _zipped(members: dict[str, bytes]) -> bytes:
    """Stored, not deflated: two builds of zlib need not agree."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            member = zipfile.ZipInfo(name, EPOCH)
            member.create_system, member.external_attr = 3, 0o100644 << 16
            archive.writestr(member, content)
    return buffer.getvalue()
