"""The life of one training job, in a thread of its own: what happens to it, when, and what is told of it."""

from __future__ import annotations

import math
import sys
import threading
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from nightspot.emulator.book import Book
from nightspot.emulator.clock import MarketClock
from nightspot.emulator.dice import Dice
from nightspot.emulator.errors import EmulatorError
from nightspot.emulator.instance import Closing, Cut, DataError, Instance, MakeInstance, Why
from nightspot.emulator.orders import Order, Orders
from nightspot.emulator.patience import Limits, Patience
from nightspot.emulator.record import LONGEST_REASON, JobRecord
from nightspot.emulator.rules import instance_types, market_of, max_pending_s, max_run_s, max_wait_s
from nightspot.emulator.settings import Settings
from nightspot.emulator.weather import Sky
from nightspot.emulator.words import ENDS_IN, INTERNAL, WORDS
from nightspot.market import Trace
from nightspot.model.capacity import Market

GRACE_S, SHORTEST_GRACE_REAL_S = 120.0, 2.0


@dataclass(frozen=True, slots=True)
class World:
    """What all jobs share. `lock` guards the records and the book."""

    clock: MarketClock
    sky: Sky
    settings: Settings
    book: Book
    dice: Dice
    make: MakeInstance
    lock: threading.RLock

    @property
    def orders(self) -> Path:
        """The folder of interruptions on order."""
        return self.settings.state / "orders"


class Life(threading.Thread):
    """Start it once. `stop` and `close` may be called from any thread; the record is read under the world's lock."""

    def __init__(self, record: JobRecord, world: World) -> None:
        super().__init__(name=f"job {record.name}", daemon=True)
        self.record, self._world = record, world
        self._patience = Patience(world.clock)
        self._running = self._sealed = False
        self._instance: Instance | None = None
        self._orders = Orders(world.orders)
        self._order: Order | None = None

    def stop(self) -> None:
        """StopTrainingJob: the job is Stopping when this returns."""
        with self._world.lock:
            if not self.record.ended:
                self._begin_stopping(ENDS_IN[Why.STOP])
        self._patience.nudge()

    def close(self) -> None:
        """The emulator ends: the instance dies, the job stays as it is. Then join the thread."""
        self._patience.close()

    def run(self) -> None:
        """Until the job is over, or the emulator closes."""
        try:
            while not self.record.ended:
                self._incarnation()
        except Closing:
            self._lose()
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            self._lose()
            if self._patience.closing or self.record.ended:  # what is over stays so, though its disk cannot be removed
                return
            words = f"InternalServerError: {error}" if isinstance(error, EmulatorError) else INTERNAL
            self._end("Failed", reason=words)

    def _incarnation(self) -> None:
        try:
            self._until_cut()
        except DataError as error:
            if self._patience.closing:
                raise Closing from None  # it may be we who closed S3
            self._lose()
            self._end("Failed", reason=f"ClientError: {error}")
        finally:
            instance, self._instance, closed = self._instance, None, self._sealed
            self._running = self._sealed = False
            if instance is not None:
                self._discard(instance, dead=closed)

    def _until_cut(self) -> None:
        try:
            self._train(self._wait_for_capacity())
        except Cut as cut:
            self._after(cut.why)

    @staticmethod
    def _discard(instance: Instance, *, dead: bool) -> None:
        if not dead:
            instance.kill()
        instance.discard()

    # Waiting for an instance

    def _wait_for_capacity(self) -> str:
        """The type of the first pool that had capacity for as long as launching takes."""
        delays = self._world.settings.delays
        if self.record.secondary in ("Interrupted", "Restarting"):
            self._pause(self._now_utc() + delays.interrupted_s, self._waiting_limits())
        self._go("Starting", WORDS["Starting"])
        while True:
            found = self._up()
            if found is None:
                self._go("Pending", WORDS["Pending"])
                self._pause(self._next_flip_utc(), self._waiting_limits())
                continue
            self._go(self.record.secondary, WORDS["Launching"])
            ready_utc = self._now_utc() + delays.start_s
            lost_utc = self._trace(found).next_flip(self._now_utc())
            self._pause(min(ready_utc, lost_utc), self._waiting_limits())
            if ready_utc <= lost_utc:
                return found

    def _trace(self, instance_type: str) -> Trace:
        return self._world.sky.trace(instance_type, market_of(self.record.request))

    def _up(self) -> str | None:
        now_utc = self._now_utc()
        return next((name for name in instance_types(self.record.request) if self._trace(name).up(now_utc)), None)

    def _next_flip_utc(self) -> float:
        now_utc = self._now_utc()
        return min(self._trace(name).next_flip(now_utc) for name in instance_types(self.record.request))

    def _waiting_limits(self) -> Limits:
        limits = self._wait_limit()
        pending_s = max_pending_s(self.record.request)
        if pending_s is not None and self.record.waited_since_utc is not None:
            limits.append((self.record.waited_since_utc + pending_s, Why.MAX_PENDING))
        return limits

    def _wait_limit(self) -> Limits:
        wait_s = max_wait_s(self.record.request)
        return [] if wait_s is None else [(self.record.created_utc + wait_s, Why.MAX_WAIT)]

    # Holding one

    def _train(self, instance_type: str) -> None:
        delays = self._world.settings.delays
        with self._world.lock:
            self._refuse_if_stopped()
            self.record.hold(instance_type, self._now_utc())
            self._instance = instance = self._world.make(self.record)
        until_utc = self._now_utc() + delays.download_s
        self._go("Downloading", WORDS["Downloading"])
        instance.download()
        limits = self._held_limits()
        self._pause(until_utc, limits)
        self._go("Training", WORDS["Training"])
        self._running = True
        instance.start()
        breakdown_s = self._world.dice.breakdown_s()
        if breakdown_s is not None:
            limits.append((self._now_utc() + breakdown_s, Why.INTERNAL))
        self._pause(math.inf, limits, done=lambda: self._over(instance))
        self._finish(instance, limits)

    def _over(self, instance: Instance) -> bool:
        """Whether the program has ended. Cut where somebody has ordered an interruption."""
        if instance.exit_code() is not None:
            return True
        self._order = self._orders.of(self.record.name)
        if self._order is not None:
            raise Cut(Why.INTERRUPTED)
        return False

    def _held_limits(self) -> Limits:
        """All limits of running, worked out once: the run's own, the wait's, and the next loss of Spot capacity."""
        record, limits = self.record, self._wait_limit()
        since_utc = self._now_utc() if record.ran_since_utc is None else record.ran_since_utc
        limits.append((since_utc + max_run_s(record.request) - record.ran_s, Why.MAX_RUNTIME))
        if market_of(record.request) is Market.SPOT:
            trace = self._trace(record.selected_type or "")
            # It may have gone in the very moment in which we got it.
            lost_utc = trace.next_flip(since_utc) if trace.up(since_utc) else since_utc
            limits.append((lost_utc, Why.INTERRUPTED))
        return limits

    def _finish(self, instance: Instance, limits: Limits) -> None:
        """The program has ended by itself."""
        interruption = [limit for limit in limits if limit[1] is Why.INTERRUPTED]
        failed = instance.exit_code() != 0
        reason = f"AlgorithmError: {instance.failure()}" if failed else None
        self._upload(instance, interruption)
        self._end("Failed" if failed else "Completed", reason=reason)

    def _upload(self, instance: Instance, limits: Limits) -> None:
        until_utc = self._now_utc() + self._world.settings.delays.upload_s
        with self._world.lock:
            self.record.stop_running(self._now_utc())
            self._enter("Uploading", WORDS["Uploading"])
        self._sealed = True
        instance.close()
        metrics = instance.metrics()
        uri = instance.upload()
        self._pause(until_utc, limits, stoppable=False)
        with self._world.lock:
            self.record.model_uri = uri
            self.record.metrics = [{**one, "Timestamp": self._now_utc()} for one in metrics]

    # Endings

    def _after(self, why: Why) -> None:
        if why is Why.INTERRUPTED:
            self._interrupt()
        elif why is Why.INTERNAL:
            self._break_down()
        else:
            self._stop_for(ENDS_IN[why])

    def _interrupt(self) -> None:
        signals = not self._world.settings.faults.no_signal if self._order is None else self._order.signals
        if signals:
            self._grace()
        self._lose()
        self._carried_out()
        with self._world.lock:
            if self.record.stopped_by is None:
                self._enter("Interrupted", WORDS["Interrupted"])

    def _carried_out(self) -> None:
        """Once for each order: for a notice that is when its signal has been sent."""
        order, self._order = self._order, None
        if order is not None:
            order.done()

    def _break_down(self) -> None:
        self._lose()
        with self._world.lock:
            allowed = self.record.request.get("RetryStrategy", {}).get("MaximumRetryAttempts", 0)
            if self.record.retries < allowed and self.record.stopped_by is None:
                self.record.retries += 1
                self._enter("Restarting", WORDS["Restarting"])
                return
        self._end("Failed", reason=INTERNAL)

    def _stop_for(self, final: str) -> None:
        """SIGTERM, 120 s, and then what there is is uploaded."""
        with self._world.lock:
            self._begin_stopping(final)
        instance = self._instance
        if instance is None or not self._running:
            self._pause(self._now_utc() + self._world.settings.delays.stop_s, [], stoppable=False)
        elif not self._sealed:
            self._grace()
            self._upload(instance, [])
        self._end(final)

    def _grace(self) -> None:
        """SIGTERM to a program that runs, and as long as it is given."""
        instance = self._instance
        if instance is None or not self._running or instance.exit_code() is not None:
            return
        instance.terminate()
        self._carried_out()
        clock = self._world.clock
        grace_s = max(GRACE_S, clock.market_s(SHORTEST_GRACE_REAL_S))
        self._pause(clock.now_utc() + grace_s, [], done=lambda: instance.exit_code() is not None, stoppable=False)

    def _lose(self) -> None:
        """The instance is gone, with all that was not synced."""
        if self._instance is not None and not self._sealed:
            self._instance.kill()
        self._sealed = True
        with self._world.lock:
            self.record.let_go(self._now_utc())
            self._world.book.save(self.record)

    def _end(self, final: str, reason: str | None = None) -> None:
        """The job is over; one that was told to stop is Stopped, whatever its program made of it."""
        now_utc = self._now_utc()
        with self._world.lock:
            final = self.record.stopped_by or final
            self.record.let_go(now_utc)
            self.record.training_end_utc = now_utc
            status = final if final in ("Completed", "Failed") else "Stopped"
            if status == "Failed":
                self.record.failure_reason = (reason or INTERNAL)[:LONGEST_REASON]
            self._enter(final, WORDS[final], status, now_utc)

    # Statuses and time

    def _begin_stopping(self, final: str) -> None:
        if self.record.stopped_by is None:
            self.record.stopped_by = final
            self._enter("Stopping", WORDS["Stopping"], status="Stopping")

    def _go(self, secondary: str, message: str) -> None:
        """Into the next phase, unless it was told to stop."""
        with self._world.lock:
            self._refuse_if_stopped()
            waits = secondary in ("Starting", "Pending")
            if not waits:
                self.record.waited_since_utc = None
            elif self.record.waited_since_utc is None:
                self.record.waited_since_utc = self._now_utc()
            self._enter(secondary, message)

    def _refuse_if_stopped(self) -> None:
        if self.record.stopped_by is not None:
            raise Cut(Why.STOP)

    def _enter(self, secondary: str, message: str, status: str | None = None, now_utc: float | None = None) -> None:
        self.record.enter(secondary, message, self._now_utc() if now_utc is None else now_utc, status)
        self._world.book.save(self.record)

    def _now_utc(self) -> float:
        return self._world.clock.now_utc()

    def _pause(
        self, until_utc: float, limits: Limits, done: Callable[[], bool] | None = None, *, stoppable: bool = True
    ) -> None:
        self._patience.pause(until_utc, limits, done, self._refuse_if_stopped if stoppable else None)
