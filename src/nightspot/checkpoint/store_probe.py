"""What a bucket can do, found out on a small object: S3-compatible is a wide word.

Whether `If-None-Match: *` holds decides whether two trainings can overwrite each other; whether a wrong checksum is refused
decides by which one it is told what it should have received.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass

from nightspot.checkpoint.bucket_objects import Bucket, checks
from nightspot.checkpoint.store_errors import BusyError, DeniedError, StoppedError, StoreError, TakenError

PROBE = ".nightspot-probe-"
CHECKSUMS = ("crc32", "md5")


@dataclass(frozen=True, slots=True)
class Abilities:
    """conditional: If-None-Match is kept. checksum: crc32 or md5 (a wrong one is refused), or none. etag_is_md5: of plain objects."""

    conditional: bool
    checksum: str
    etag_is_md5: bool

    @property
    def checked(self) -> bool:
        """Whether damage on the way would be noticed when it happens; else only when the checkpoint is read."""
        return self.checksum != "none" or self.etag_is_md5

    def arrived(self, body: bytes, etag: str) -> bool:
        """Whether the bucket's answer fits what was sent. Where it checks by itself, its yes is enough."""
        if self.checksum != "none" or not self.etag_is_md5:
            return True
        return etag == hashlib.md5(body, usedforsecurity=False).hexdigest()


def probe(bucket: Bucket, ask: Callable[[Callable[[], str]], str]) -> Abilities:
    """Write one small object under a name of its own, look, and remove it. ask: how to repeat a request, a Patience.

    Raises StoreError: it cannot be written there.
    """
    key, body = f"{PROBE}{os.urandom(6).hex()}", os.urandom(32)
    etag = ask(lambda: bucket.put(key, body, "none"))
    try:
        conditional = _keeps(ask, lambda: bucket.put_new(key, body, "none"))
        checksum = next((one for one in CHECKSUMS if _refuses(ask, bucket, key, one)), "none")
    finally:
        with contextlib.suppress(StoreError):  # not allowed, perhaps: it is 32 bytes, and retention will say so
            bucket.delete(key)
    return Abilities(conditional, checksum, etag == hashlib.md5(body, usedforsecurity=False).hexdigest())


def _keeps(ask: Callable[[Callable[[], str]], str], put_again: Callable[[], str]) -> bool:
    """A bucket that does not know the header says so (400, 501), or overwrites without a word."""
    try:
        ask(put_again)
    except TakenError:
        return True
    except (BusyError, DeniedError, StoppedError):
        raise
    except StoreError:
        return False
    return False


def _refuses(ask: Callable[[Callable[[], str]], str], bucket: Bucket, key: str, checksum: str) -> bool:
    """Whether a body with another's checksum is turned away. It answers BadDigest, which elsewhere means: send again."""
    try:
        ask(lambda: _refused(bucket, key, checksum))
    except TakenError:
        return True
    except (BusyError, DeniedError, StoppedError):
        raise
    except StoreError:
        return False
    return False


def _refused(bucket: Bucket, key: str, checksum: str) -> str:
    """TakenError where the wrong checksum was refused as such."""
    try:
        return bucket.put_with(key, b"one", checks(b"another", checksum))
    except StoreError as error:
        if any(word in str(error) for word in ("BadDigest", "ChecksumMismatch", "XAmzContentChecksum")):
            raise TakenError(str(error)) from error
        raise
