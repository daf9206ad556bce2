"""Starts ranks as torchrun does, but forks them from one process that has imported torch: a rank costs milliseconds."""

import contextlib
import io
import multiprocessing
import os
import pickle
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONTEXT = multiprocessing.get_context("forkserver")
# What a rank would import at its first step: an optimizer alone brings seconds of it.
WARM = ["torch._dynamo", "torch._inductor.custom_graph_pass", "torch.distributed.fsdp"]
WARM += ["torch.distributed.checkpoint.default_planner", "nightspot.checkpoint.many.reading"]
CONTEXT.set_forkserver_preload(["tests.checkpoint.ranks_training", *WARM])
LIMIT_S = 120.0


@dataclass(frozen=True)
class Rank:
    """How one ended. code: as a shell has it, negative for a signal. result: what its function returned."""

    code: int
    said: str
    result: Any


def launch(folder: Path, size: int, act: Callable[..., Any], *arguments: object, **environment: str) -> list[Rank]:
    """All ranks to their end. As torchrun: when one dies, the others are told to end, and killed a moment later.

    folder: for what they say. act: a function of a module, called with `arguments` in each rank.
    """
    return _launched(folder, size, act, arguments, environment, lambda processes: _watch(processes, together=True))


def launch_apart(
    folder: Path, size: int, act: Callable[..., Any], *arguments: object, **environment: str
) -> list[Rank]:
    """Likewise, as on machines of their own: when one dies, nobody tells the others."""
    return _launched(folder, size, act, arguments, environment, lambda processes: _watch(processes, together=False))


def _launched(
    folder: Path,
    size: int,
    act: Callable[..., Any],
    arguments: tuple[object, ...],
    environment: Mapping[str, str],
    watch: Callable[[list[Any]], None],
) -> list[Rank]:
    folder.mkdir(parents=True, exist_ok=True)
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(size), **environment}
    processes: list[Any] = []
    for rank in range(size):
        said, result = folder / f"said-{rank}", folder / f"result-{rank}"
        for path in (said, result):
            path.unlink(missing_ok=True)
        mine = shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        processes.append(CONTEXT.Process(target=_live, args=(mine, said, result, act, arguments)))
        processes[-1].start()
    watch(processes)
    return [_ended(folder, rank, process) for rank, process in enumerate(processes)]


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
    return port


def _watch(processes: list[Any], *, together: bool) -> None:
    until_s = time.monotonic() + LIMIT_S
    while any(process.is_alive() for process in processes):
        died = together and any(process.exitcode not in (None, 0) for process in processes)
        if time.monotonic() > until_s or died:
            _end(processes)
            return
        time.sleep(0.02)


def _end(processes: list[Any]) -> None:
    for process in processes:
        if process.is_alive():
            os.kill(process.pid, signal.SIGTERM)
    for process in processes:
        process.join(10.0)
        if process.is_alive():
            process.kill()
        process.join()


def _live(
    environment: Mapping[str, str], said: Path, result: Path, act: Callable[..., Any], arguments: tuple[object, ...]
) -> None:
    os.environ.update(environment)
    descriptor = os.open(said, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    sys.stdout = sys.stderr = io.TextIOWrapper(os.fdopen(descriptor, "wb", 0), write_through=True)
    try:
        made = act(*arguments)
    except SystemExit as leaving:
        os._exit(leaving.code if isinstance(leaving.code, int) else 1)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    result.write_bytes(pickle.dumps(made))
    os._exit(0)


def _ended(folder: Path, rank: int, process: Any) -> Rank:
    result = None
    with contextlib.suppress(FileNotFoundError):
        result = pickle.loads((folder / f"result-{rank}").read_bytes())
    return Rank(process.exitcode, (folder / f"said-{rank}").read_text(), result)
