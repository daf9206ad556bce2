"""What can go wrong with a checkpoint.

CheckpointError
├── StateError         a state holds something that cannot be stored; names it
├── DamagedError       a checkpoint is not what was written: one step back
├── UnverifiableError  this process lacks what it takes to check it: nobody's damage
├── ConfigError        starting again will not help: a `Session` turns it into exit code 78
├── LoadError          the bytes are right, and still the state could not be loaded
├── SaveError          several saves in a row failed, or the last one before the end
├── FolderInUseError   another process trains into this folder
└── RankLostError      another rank of this training no longer answers
"""

from __future__ import annotations

EXIT_START_AGAIN = 75  # EX_TEMPFAIL
EXIT_CONFIG = 78  # EX_CONFIG


class CheckpointError(Exception):
    """Anything `nightspot.checkpoint` itself raises for its user."""


class StateError(CheckpointError, TypeError):
    """A state holds a value that a checkpoint cannot carry exactly; the message says where."""


class DamagedError(CheckpointError):
    """A checkpoint is incomplete, altered or tampered with."""


class UnverifiableError(CheckpointError):
    """The checkpoint may be whole: the package of its hash algorithm is missing here."""


class ConfigError(CheckpointError):
    """The set-up is wrong, and would be wrong again after a restart."""


class LoadError(CheckpointError):
    """A verified checkpoint could not be put back into the live objects."""


class SaveError(CheckpointError):
    """Saving failed so often that going on would only pretend to be safe."""


class FolderInUseError(CheckpointError):
    """A living process holds the checkpoint folder."""


class RankLostError(CheckpointError):
    """Another rank of this training died, or did not answer within the time limit."""
