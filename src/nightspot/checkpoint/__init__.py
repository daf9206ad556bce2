"""Makes a plain training loop interruptible: see docs/checkpoint.md.

For the training process: imports nothing else of nightspot; torch, numpy and xxhash only where in use.
"""

from nightspot.checkpoint.errors import (
    CheckpointError,
    ConfigError,
    DamagedError,
    FolderInUseError,
    LoadError,
    SaveError,
    StateError,
    UnverifiableError,
)
from nightspot.checkpoint.sampler import ResumableSampler
from nightspot.checkpoint.session import Restored, Session

__all__ = [
    "Session",
    "Restored",
    "ResumableSampler",
    "CheckpointError",
    "StateError",
    "DamagedError",
    "UnverifiableError",
    "ConfigError",
    "LoadError",
    "SaveError",
    "FolderInUseError",
]
