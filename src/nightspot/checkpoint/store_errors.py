"""What a bucket can answer that is not what was asked for.

CheckpointError
└── StoreError         a bucket did not do what it was asked; asking again changes nothing, unless somebody mends something
    ├── BusyError      overload, time-outs, lost connections: ask again later
    ├── AbsentError    there is no such object, or no such upload
    ├── TakenError     an object of that name is there already, and must not be overwritten
    ├── DeniedError    not allowed, no credentials, no such bucket
    └── StoppedError   nobody waits for the answer any more
"""

from __future__ import annotations

from nightspot.checkpoint.errors import CheckpointError


class StoreError(CheckpointError):
    """A bucket did not do what it was asked."""


class BusyError(StoreError):
    """Overloaded, out of reach, or damaged in transit: the same request may succeed later."""


class AbsentError(StoreError):
    """There is no such object, or no such multipart upload."""


class TakenError(StoreError):
    """The object exists already: `If-None-Match: *` failed."""


class DeniedError(StoreError):
    """Not allowed, no credentials, or no such bucket."""


class StoppedError(StoreError):
    """The work was given up: nobody waits for it any more."""
