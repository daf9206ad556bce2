"""Digests of the tensors in a file: torch's, safetensors, numpy's. Stands alone: it is run by the Python that trains.

One path a line on standard input; for each one line on standard output: {"digest", "tensors": {name: digest}} or {"fault": why}.
Nothing in a file is executed (weights_only). SHA-256; a tensor's digest covers dtype, shape and bytes.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import struct
import sys
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Iterator

BLOCK_BYTES = 1 << 20
HEAD = struct.Struct("<Q")
MOST_HEAD_BYTES = 100 << 20
NUMPY = b"\x93NUMPY"


def describe(path: Path) -> dict[str, Any]:
    """Of a file or a folder. OSError where it cannot be read."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    tensors: dict[str, str] = {}
    for file in files:
        prefix = f"{file.relative_to(path)}:" if path.is_dir() else ""
        found = tensors_of(file)
        if not found and path.is_dir():
            found = {"": bytes_of(file)}
        tensors.update({prefix + name: digest for name, digest in found.items()})
    if not tensors:
        return {"digest": bytes_of(path), "tensors": {}}
    ordered = dict(sorted(tensors.items()))
    return {"digest": _sha(json.dumps(ordered).encode()), "tensors": ordered}


def tensors_of(file: Path) -> dict[str, str]:
    """Digest by name; empty where none can be read."""
    for reader in (_torch, _numpy_archive, _safetensors):
        with suppress(Exception):  # whatever a library says of a file that is none of its own
            if found := dict(reader(file)):
                return found
    return {}


def bytes_of(file: Path) -> str:
    """Of a whole file."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        for block in iter(lambda: stream.read(BLOCK_BYTES), b""):
            digest.update(block)
    return digest.hexdigest()


def _torch(file: Path) -> Iterator[tuple[str, str]]:
    if not _is_torch(file):
        return iter(())
    import torch  # here alone: other files need no torch

    return _walk(torch.load(file, map_location="cpu", weights_only=True), "", torch)


def _is_torch(file: Path) -> bool:
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith("/data.pkl") or name == "data.pkl" for name in archive.namelist())


def _walk(value: Any, name: str, torch: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, torch.Tensor):
        yield name, _of_tensor(value, torch)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _walk(item, f"{name}.{key}" if name else str(key), torch)
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from _walk(item, f"{name}.{number}" if name else str(number), torch)
    else:
        yield name, _sha(repr(value).encode())


def _of_tensor(tensor: Any, torch: Any) -> str:
    if tensor.layout != torch.strided:
        tensor = tensor.coalesce().to_dense()
    flat = tensor.detach().contiguous().reshape(-1)
    raw = flat.view(torch.uint8) if flat.numel() else flat
    content = raw.numpy().tobytes() if flat.numel() else b""
    return _sha(f"{tensor.dtype} {tuple(tensor.shape)} ".encode() + content)


def _numpy_archive(file: Path) -> Iterator[tuple[str, str]]:
    if file.suffix == ".npy":
        with file.open("rb") as stream:
            yield file.stem, _of_numpy(stream.read())
    elif zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            for name in names:
                yield name.removesuffix(".npy"), _of_numpy(archive.read(name))


def _of_numpy(raw: bytes) -> str:
    """Its head is a Python dictionary, whose spaces do not matter."""
    if not raw.startswith(NUMPY):
        raise ValueError("no array of numpy's")
    wide = raw[6] > 1
    length = int.from_bytes(raw[8:12], "little") if wide else int.from_bytes(raw[8:10], "little")
    first = 12 if wide else 10
    head = ast.literal_eval(raw[first : first + length].decode("latin-1").strip())
    return _sha(repr(sorted(head.items())).encode() + raw[first + length :])


def _safetensors(file: Path) -> Iterator[tuple[str, str]]:
    with file.open("rb") as stream:
        (length,) = HEAD.unpack(stream.read(HEAD.size))
        if length > min(MOST_HEAD_BYTES, file.stat().st_size):
            raise ValueError("no safetensors")
        head = json.loads(stream.read(length))
        for name in sorted(set(head) - {"__metadata__"}):
            first, end = head[name]["data_offsets"]
            stream.seek(HEAD.size + length + first)
            what = f"{head[name]['dtype']} {head[name]['shape']} ".encode()
            yield name, _sha(what + stream.read(end - first))


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def main() -> None:
    """Answer until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer
    for line in sys.stdin:
        try:
            answer = describe(Path(json.loads(line)))
        except (OSError, ValueError) as error:
            answer = {"fault": str(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
