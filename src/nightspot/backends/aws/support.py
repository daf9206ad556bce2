"""Which Pythons and torches of a training image nightspot works with, and how an image's tag says them. See docs/support.md."""

from __future__ import annotations

import re
from dataclasses import dataclass

PYTHON_OLDEST = (3, 10)
TORCH_OLDEST = (2, 3)
# What the tests of this repository have run; AWS's images are not among it.
TORCH_TESTED = frozenset({(2, 13)})
# AWS's own registries of deep learning images carry these repositories; a tag reads 2.3.0-gpu-py311-cu121-ubuntu20.04-sagemaker.
DLC_REPOSITORY = re.compile(r"(?:.*/)?(?:huggingface-)?pytorch-training(?:-[a-z]+)?", re.ASCII)
DLC_TAG = re.compile(
    r"(?P<torch>\d+\.\d+)(?:\.\d+)?(?:-transformers[0-9.]+)?-(?:cpu|gpu)(?:-py(?P<python>\d{2,3}))?(?:-.*)?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Versions:
    """What is in an image: (major, minor) of each. `python` is None where the tag leaves it open."""

    torch: tuple[int, int]
    python: tuple[int, int] | None = None

    @property
    def words(self) -> str:
        """For people."""
        python = f"Python {self.python[0]}.{self.python[1]}" if self.python else "a Python that the tag does not name"
        return f"{python} and torch {self.torch[0]}.{self.torch[1]}"


def versions_of(repository: str, tag: str) -> Versions | None:
    """What an AWS deep learning image holds, by its tag; None for images of another make."""
    found = DLC_TAG.fullmatch(tag) if DLC_REPOSITORY.fullmatch(repository) else None
    if found is None:
        return None
    major, _, minor = found["torch"].partition(".")
    digits = found["python"]
    return Versions((int(major), int(minor)), (int(digits[0]), int(digits[1:])) if digits else None)
