"""A PROBE got its machine, and a copy of the checkpoints, long before `go`: what the bucket has since then is fetched."""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath

from nightspot.inside.bucket import Bucket, Found

UNFINISHED = ".sagemaker-uploading"
SKEW_S = 60.0  # between the bucket's clock and ours: in doubt, fetch


def refresh(bucket: Bucket, folder: Path, scratch: Path) -> int:
    """Bring `folder` up to what is in the bucket; how many files came. Each appears whole, or not at all.

    Nothing is removed: what is only here was made here. Raises Trouble and OSError.
    """
    count = 0
    for found in bucket.found():
        if _wanted(found.name) and not _have(folder / found.name, found):
            arriving = scratch / "arriving"
            bucket.fetch(found.name, arriving)
            (folder / found.name).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(arriving, folder / found.name)
            count += 1
    return count


def _wanted(name: str) -> bool:
    """A plain path below the folder, and nothing that the sync agent left."""
    parts = PurePosixPath(name).parts
    plain = bool(parts) and not name.startswith("/") and ".." not in parts and not name.endswith("/")
    return plain and not name.endswith(UNFINISHED)


def _have(path: Path, found: Found) -> bool:
    try:
        here = path.stat()
    except OSError:
        return False
    return here.st_size == found.size_bytes and here.st_mtime > found.modified_utc + SKEW_S
