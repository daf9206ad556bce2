"""Makes a plain training loop interruptible: see docs/checkpoint.md.

For the training process: imports nothing else of nightspot; torch, numpy and xxhash only where in use.
"""

from nightspot.checkpoint.errors import (
    CheckpointError,
    ConfigError,
    DamagedError,
    FolderInUseError,
    LoadError,
    RankLostError,
    SaveError,
    StateError,
    UnverifiableError,
)
from nightspot.checkpoint.sampler import ResumableSampler
from nightspot.checkpoint.session import Restored, Session
from nightspot.checkpoint.workers import SeededByIndex, seed_of, seeded

__all__ = [
    "Session",
    "Restored",
    "ResumableSampler",
    "SeededByIndex",
    "seed_of",
    "seeded",
    "CheckpointError",
    "StateError",
    "DamagedError",
    "UnverifiableError",
    "ConfigError",
    "LoadError",
    "SaveError",
    "FolderInUseError",
    "RankLostError",
]
