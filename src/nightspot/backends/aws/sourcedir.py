"""The user's sourcedir.tar.gz with a few files of ours put behind theirs; of theirs not a byte changes."""

from __future__ import annotations

import gzip
import hashlib
import io
import posixpath
import shutil
import tarfile
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Sequence

import nightspot
from nightspot.backends.aws.wheel import Wheel
from nightspot.errors import BackendError

ENTRY = "nightspot_entry.py"
# The toolkit treats a program by its ending: installs requirements.txt and setup.py for some, and runs others in a shell. Ours ends alike.
SHELL_ENTRY, BARE_ENTRY = "nightspot_entry.sh", "nightspot_entry"
ENTRIES = (ENTRY, SHELL_ENTRY, BARE_ENTRY)
SOURCE_BYTES_MAX = 8 << 30
BLOCK_BYTES = 1 << 20
LAUNCHER = """\
#!/bin/sh
# Found by nightspot: the toolkit's own interpreter, which has what the image is made for.
python=$(tr '\\0' '\\n' < "/proc/$PPID/cmdline" 2>/dev/null | head -n 1)
case "$python" in */python*) ;; *) python= ;; esac
[ -x "$python" ] || python=$(command -v python || command -v python3)
exec "$python" nightspot_entry.py "$@"
"""


@dataclass(frozen=True, slots=True)
class Addition:
    """A file of ours at the root of the user's source."""

    name: str
    content: bytes
    mode: int = 0o644

    @property
    def sha256(self) -> str:
        """Of the content, in hex digits."""
        return hashlib.sha256(self.content).hexdigest()


def entry_name(program: str) -> str:
    """What the toolkit is told to run in the place of `program`, so that it treats both alike."""
    if program.endswith(".py"):
        return ENTRY
    return SHELL_ENTRY if program.endswith(".sh") else BARE_ENTRY


def additions(wheel: Wheel, program: str) -> list[Addition]:
    """What goes into the source: the wheel, the entry, and for programs that are not Python a launcher of it."""
    entry = (Path(nightspot.__file__).parent / "inside" / "bootstrap.py").read_bytes()
    ours = [Addition(wheel.name, wheel.content), Addition(ENTRY, entry)]
    if (name := entry_name(program)) != ENTRY:
        ours.append(Addition(name, LAUNCHER.encode(), 0o755))
    return ours


def repack(packed: IO[bytes], made: IO[bytes], ours: Sequence[Addition]) -> None:
    """Write to `made` the gzipped tar `packed` plus our files. The same in, the same out.

    Raises BackendError for what is no such archive, has a path that leaves it, or has a file of one of our names.
    """
    with tempfile.TemporaryFile() as plain:
        _unzip(packed, plain)
        try:
            _check(plain, {addition.name for addition in ours})
            plain.seek(0)
            with tarfile.open(fileobj=plain, mode="a:") as archive:
                for addition in ours:
                    archive.addfile(_header(addition), io.BytesIO(addition.content))
        except tarfile.TarError as error:
            raise BackendError(f"the source is not a whole tar archive: {error}. Upload it again.") from error
        plain.seek(0)
        with gzip.GzipFile(filename="", mode="wb", fileobj=made, mtime=0) as zipped:
            shutil.copyfileobj(plain, zipped, BLOCK_BYTES)


def _unzip(packed: IO[bytes], plain: IO[bytes]) -> None:
    size_bytes = 0
    try:
        with gzip.GzipFile(fileobj=packed, mode="rb") as zipped:
            while block := zipped.read(BLOCK_BYTES):
                size_bytes += plain.write(block)
                if size_bytes > SOURCE_BYTES_MAX:
                    raise BackendError(f"the source has more than {SOURCE_BYTES_MAX} bytes: put data into a channel")
    except (OSError, EOFError, zlib.error) as error:
        raise BackendError(f"the source is not a whole .tar.gz archive: {error}. Upload it again.") from error
    plain.seek(0)


def _check(plain: IO[bytes], ours: set[str]) -> None:
    with tarfile.open(fileobj=plain, mode="r:") as archive:
        for member in archive:
            name = posixpath.normpath(member.name)
            if _leaves(member.name) or _leaves(_target(member)):
                raise BackendError(
                    f"the source has {member.name!r}{_pointing(member)}: it would leave the source's folder. "
                    "Take it out of source_dir."
                )
            if name in ours or name.split("/")[0] in ours:
                raise BackendError(f"the source has a file {name!r}, which is a name nightspot needs: rename it")


def _leaves(name: str) -> bool:
    return name.startswith("/") or posixpath.normpath(name).split("/")[0] == ".."


def _target(member: tarfile.TarInfo) -> str:
    """Where a link leads, from the root of the archive; the root for what is no link."""
    if member.issym():
        return posixpath.join(posixpath.dirname(member.name), member.linkname)
    return member.linkname if member.islnk() else "."


def _pointing(member: tarfile.TarInfo) -> str:
    return f" -> {member.linkname!r}" if member.issym() or member.islnk() else ""


def _header(addition: Addition) -> Any:
    header = tarfile.TarInfo(addition.name)
    header.size, header.mode, header.mtime = len(addition.content), addition.mode, 0
    return header
