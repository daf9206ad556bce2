"""Hashes of checkpoint files: xxh3_128 where xxhash is installed (20 GB/s a core), else sha256 (1.7)."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable
from typing import Protocol, cast

from nightspot.checkpoint.errors import UnverifiableError

ALGORITHMS = ("xxh3_128", "sha256")


class Hash(Protocol):
    """The part of hashlib's objects that is used."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take in more bytes."""

    def hexdigest(self) -> str:
        """Hex digits of all bytes so far."""


def preferred() -> str:
    """Name of the fastest algorithm that this process can use."""
    return "sha256" if _xxh3_128() is None else "xxh3_128"


def new(algorithm: str) -> Hash:
    """A fresh hash. Raises UnverifiableError for one whose package is not installed, or that is unknown."""
    if algorithm == "sha256":
        return hashlib.sha256()
    make = _xxh3_128() if algorithm == "xxh3_128" else None
    if make is None:
        raise UnverifiableError(
            f"hash algorithm {algorithm!r}: expected sha256, or xxh3_128 with the package xxhash installed"
        )
    return make()


def _xxh3_128() -> Callable[[], Hash] | None:
    """Optional: an image without xxhash trains as well, only hashing is slower."""
    try:
        module = importlib.import_module("xxhash")
    except ImportError:
        return None
    return cast("Callable[[], Hash]", module.xxh3_128)
