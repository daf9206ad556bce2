"""An emulator at work: started, served, and taken down so that nothing of it is left running."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Callable, Iterator

from botocore.exceptions import BotoCoreError, ClientError
from werkzeug.serving import BaseWSGIServer, make_server

from nightspot.emulator.anchors import ALIVE, START, anchored, clock_of
from nightspot.emulator.app import MODELS, Application
from nightspot.emulator.book import Book
from nightspot.emulator.clients import client
from nightspot.emulator.dice import Dice
from nightspot.emulator.errors import EmulatorError
from nightspot.emulator.folder import StateFolder
from nightspot.emulator.instance import MakeInstance
from nightspot.emulator.jobs import Jobs
from nightspot.emulator.keep import Keeper
from nightspot.emulator.life import World
from nightspot.emulator.motoside import application, request_handler
from nightspot.emulator.quotas import Quotas
from nightspot.emulator.settings import Settings
from nightspot.emulator.shapes import service_model
from nightspot.emulator.weather import Sky
from nightspot.process.linux import adopt_orphans
from nightspot.process.markettime import steady_s
from nightspot.process.tree import descendants, kill_until_none

LOOPBACK = "127.0.0.1"
BEAT_REAL_S, SAVE_EVERY_BEATS = 1.0, 5
KILL_BUDGET_REAL_S = 10.0
# How the instances of a world are made, once it is known where the emulator is to be reached.
MakerOf = Callable[[str, Settings, StateFolder], MakeInstance]


@dataclass(slots=True)
class Emulator:
    """All parts of one, joined."""

    settings: Settings
    world: World
    jobs: Jobs
    application: Application
    server: BaseWSGIServer
    keeper: Keeper

    def watch(self, ending: threading.Event) -> None:
        """Until it shall end: note that we are alive, and keep what S3 was given."""
        beats = 0
        while not ending.wait(BEAT_REAL_S) and not self._idle():
            self.world.book.note({ALIVE: self.world.clock.now_utc()})
            beats += 1
            if beats % SAVE_EVERY_BEATS == 0 and self.application.written:
                self._keep()

    def _keep(self) -> None:
        self.application.written = False
        try:
            self.keeper.save()
        except (ClientError, BotoCoreError, OSError) as error:
            # An object that was deleted while it was copied, a full disk: the next beat tries again.
            print(f"S3's objects could not be kept: {error}", file=sys.stderr)  # noqa: T201 - its log
            self.application.written = True

    def _idle(self) -> bool:
        limit_s = self.settings.idle_exit_real_s
        if not limit_s or self.jobs.busy():
            return False
        return steady_s() - self.application.used_real_s >= limit_s

    def close(self) -> None:
        """Instances first; S3 last, when nobody writes to it any more."""
        self.jobs.close()
        self.application.open = False
        self.world.book.note({ALIVE: self.world.clock.now_utc()})
        self._keep()
        self.server.shutdown()


def serve(settings: Settings, maker_of: MakerOf, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM, SIGINT, or idleness. `ready` is told the address. EmulatorError where that cannot begin. Main thread only."""
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]  # whoever starts us: his accounts are none of our business
    adopt_orphans()
    folder = StateFolder(settings.state.absolute())
    with folder.owned():
        try:
            with running(settings, folder, maker_of) as (emulator, endpoint_url):
                ready(endpoint_url)
                emulator.watch(ending)
        finally:
            kill_until_none(lambda: descendants(os.getpid()), _reap, KILL_BUDGET_REAL_S)


@contextmanager
def running(settings: Settings, folder: StateFolder, maker_of: MakerOf) -> Iterator[tuple[Emulator, str]]:
    """An emulator that answers. The folder is ours."""
    with ExitStack() as stack:
        book = Book(folder.book)
        stack.callback(book.close)
        facts = anchored(settings, book.facts())
        alive_utc = facts.get(ALIVE, 0.0)
        book.note(facts)
        listening = stack.enter_context(_listening(settings.port))
        port = listening.getsockname()[1]
        endpoint_url = f"http://{LOOPBACK}:{port}"
        clock, dice = clock_of(facts), Dice(settings.faults)
        make = maker_of(endpoint_url, settings, folder)
        world = World(clock, Sky(settings, facts[START]), settings, book, dice, make, threading.RLock())
        emulator = _joined(settings, world, folder, listening, endpoint_url)
        threading.Thread(target=emulator.server.serve_forever, name="server", daemon=True).start()
        stack.callback(emulator.close)
        for name in MODELS.values():
            service_model(name)  # now, and not in the first request's time
        emulator.keeper.restore()
        emulator.jobs.resume(alive_utc)
        emulator.application.open = True
        yield emulator, endpoint_url


def _joined(
    settings: Settings, world: World, folder: StateFolder, listening: socket.socket, endpoint_url: str
) -> Emulator:
    jobs = Jobs(world)
    services = {"sagemaker": jobs, "servicequotas": Quotas(settings)}
    app = Application(services, world.dice, application())
    app.port = listening.getsockname()[1]
    server = make_server(
        LOOPBACK, app.port, app, threaded=True, request_handler=request_handler(), fd=listening.fileno()
    )

    def s3(region: str) -> Any:
        return client("s3", endpoint_url, region, app.own_key)

    return Emulator(settings, world, jobs, app, server, Keeper(s3, folder.objects))


@contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    listening = socket.socket()
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((LOOPBACK, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise EmulatorError(
            f"port {port} of {LOOPBACK} cannot be had: {error.strerror}. Choose another --port"
        ) from error
    with listening:
        yield listening


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
    except ChildProcessError:
        return
