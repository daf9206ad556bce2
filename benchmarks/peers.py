"""Ways to save a training's state that others have, each behind the same three calls. Used by saves.py."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.distributed
import torch.distributed.checkpoint

from state import Training

dist: Any = torch.distributed  # not all of it has types
dcp: Any = torch.distributed.checkpoint


class Way(Protocol):
    """One way to save. `ask` says that a save is due; `boundary` is called after each step and blocks as long as the way needs."""

    name: str

    def ask(self) -> None:
        """A save is due at the next boundary."""

    def boundary(self) -> None:
        """Between two steps: what the way does here, training waits for."""

    def committed(self) -> bool:
        """All that was asked for is durable."""

    def close(self) -> None:
        """Let go of memory, files and processes."""


class Simple:
    """A way whose `save` is called at the boundary after `ask`; it returns a Future where the rest goes on in the background."""

    name = "?"

    def __init__(self, training: Training, folder: Path) -> None:
        self.training, self.folder = training, folder / type(self).__name__
        self.folder.mkdir(parents=True)
        self._asked, self._number = False, 0
        self._rest: Future[Any] | None = None

    def ask(self) -> None:
        """A new place, never an old one: saving over a checkpoint can destroy it."""
        self._clean()
        self._asked = True

    def boundary(self) -> None:
        """Saves if asked."""
        if not self._asked:
            return
        self._asked, self._number = False, self._number + 1
        self._rest = self.save(self.folder / f"save-{self._number}")

    def committed(self) -> bool:
        """The save returned, and its Future is done. Raises what the save raised."""
        if self._asked or (self._rest is not None and not self._rest.done()):
            return False
        if self._rest is not None:
            self._rest.result()
        return True

    def close(self) -> None:
        """Remove what was saved."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def save(self, path: Path) -> Future[Any] | None:
        """Save to `path`, which does not exist yet."""
        raise NotImplementedError

    def _clean(self) -> None:
        for old in self.folder.iterdir():
            shutil.rmtree(old) if old.is_dir() else old.unlink()


class Memcpy(Simple):
    """No save at all: the same bytes copied into memory that is reused. Nothing that copies can stall for less."""

    name = "memcpy"

    def __init__(self, training: Training, folder: Path) -> None:
        super().__init__(training, folder)
        pinned = training.device != "cpu"
        self._copies = [torch.empty(t.shape, dtype=t.dtype, pin_memory=pinned).zero_() for t in training.tensors()]

    def save(self, path: Path) -> None:
        """Copy."""
        del path
        for copy, tensor in zip(self._copies, self.training.tensors(), strict=True):
            copy.copy_(tensor, non_blocking=True)
        self.training.settle()


class TorchSave(Simple):
    """torch.save, then fsync."""

    name = "torch.save + fsync"

    def save(self, path: Path) -> None:
        """Stop training until all is on the disk."""
        with path.open("xb") as file:
            torch.save(self.training.state_dicts(), file)
            file.flush()
            os.fsync(file.fileno())


class DcpSync(Simple):
    """torch.distributed.checkpoint, two threads, its own fsync."""

    name = "DCP sync"

    def save(self, path: Path) -> None:
        """Stop training until all is on the disk."""
        dcp.save(self.training.state_dicts(), storage_writer=dcp.FileSystemWriter(path, thread_count=2), no_dist=True)


class DcpAsync(Simple):
    """As it comes: a new stager at each call."""

    name = "DCP async"

    def save(self, path: Path) -> Future[Any]:
        """Stage, then go on in a thread."""
        return _future(
            dcp.async_save(self.training.state_dicts(), storage_writer=dcp.FileSystemWriter(path), no_dist=True)
        )


class DcpReused(Simple):
    """The memory of one stager is used again at every call."""

    name = "DCP async, reused stager"

    def __init__(self, training: Training, folder: Path) -> None:
        super().__init__(training, folder)
        self._stager = _stager(shared=False, pinned=training.device != "cpu")

    def save(self, path: Path) -> Future[Any]:
        """Stage, then go on in a thread."""
        writer = dcp.FileSystemWriter(path)
        saving = dcp.async_save(
            self.training.state_dicts(), storage_writer=writer, async_stager=self._stager, no_dist=True
        )
        return _future(saving)

    def close(self) -> None:
        """The stager keeps a copy of the whole state."""
        self._stager.close()
        super().close()


class DcpProcess(Simple):
    """A reused stager in shared memory, written by a process of its own. It needs a process group."""

    name = "DCP async, process"

    def __init__(self, training: Training, folder: Path) -> None:
        super().__init__(training, folder)
        store = dist.FileStore(str(folder / "process-group"), 1)
        dist.init_process_group("gloo", store=store, rank=0, world_size=1)
        self._stager = _stager(shared=True, pinned=False)

    def save(self, path: Path) -> Future[Any]:
        """Stage, then hand over."""
        saving = dcp.async_save(
            self.training.state_dicts(),
            storage_writer=dcp.FileSystemWriter(path),
            async_stager=self._stager,
            async_checkpointer_type=dcp.state_dict_saver.AsyncCheckpointerType.PROCESS,
        )
        return _future(saving)

    def close(self) -> None:
        """The process ends with ours."""
        self._stager.close()
        dist.destroy_process_group()
        super().close()


def _stager(*, shared: bool, pinned: bool) -> Any:
    from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions

    return DefaultStager(StagingOptions(pinned, shared, use_async_staging=False, use_non_blocking_copy=pinned))


def _future(saving: Any) -> Future[Any]:
    """async_save returns a Future, or an object that holds it."""
    found: Future[Any] = getattr(saving, "upload_completion", saving)
    return found


PEERS: tuple[type[Simple], ...] = (Memcpy, TorchSave, DcpSync, DcpAsync, DcpReused, DcpProcess)
