"""One Attempt on the local backend, sixty times as fast, looked at as the loop would."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterable

from nightspot.backends.local import LocalBackend
from nightspot.backends.registry import BackendContext
from nightspot.model.attempt import Role
from nightspot.model.capacity import Bounds, Market, Pool
from nightspot.model.job import Checkpointing, Job, PolicyChoice, Training, Work
from nightspot.night.ports import Ended, Handle, LaunchSpec, News, Report, WarningSeen
from nightspot.process.folder import AttemptFolder
from tests.process.trainers import command, program

START_UTC = 1_000_000.0
RUN_ID = "stage-20261125T0700Z"
PATIENCE_S = 20.0


@dataclass
class Stage:
    """`folder` holds the program, its artefact and the home. Settings may be changed until something is launched."""

    folder: Path
    scale: float = 60.0
    training: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    units: float = 5.0
    lead_s: float = 600.0
    pattern: str | None = None
    role: Role = Role.TRAIN
    anchor_real_utc: float = field(default_factory=time.time)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def now_utc(self) -> float:
        return START_UTC + (time.time() - self.anchor_real_utc) * self.scale

    def backend(self) -> LocalBackend:
        return LocalBackend(BackendContext(self.home, START_UTC, START_UTC, self.anchor_real_utc, self.scale))

    def pool(self) -> Pool:
        bounds = Bounds(self.lead_s, 600.0)
        return Pool("pool", "local", Market.SPOT, 3.6, bounds=bounds, options={"capacity": "always", **self.options})

    def job(self, words: Iterable[str]) -> Job:
        return Job(
            name="stage",
            training=Training(tuple(words), **{"directory": str(self.folder), **self.training}),
            work=Work(self.units, "unit", 6.0),
            pools=(self.pool(),),
            policy=PolicyChoice("greedy"),
            checkpoint=Checkpointing(str(self.checkpoints), 900.0, self.pattern),
            time_scale=self.scale,
        )

    def spec(self, words: Iterable[str], number: int = 1, for_s: float = 1e9, units_start: float = 0.0) -> LaunchSpec:
        token, until_utc = f"{RUN_ID}-nonce-{number:03d}", self.now_utc() + for_s
        return LaunchSpec(RUN_ID, number, token, self.pool(), self.role, until_utc, self.job(words), units_start)

    def launch(
        self, source: str, *arguments: object, number: int = 1, for_s: float = 1e9, units_start: float = 0.0
    ) -> Show:
        words = command(program(self.folder, source), *arguments)
        return self.launch_command(words, number=number, for_s=for_s, units_start=units_start)

    def launch_command(
        self, words: Iterable[str], number: int = 1, for_s: float = 1e9, units_start: float = 0.0
    ) -> Show:
        asked, backend = self.spec(words, number, for_s, units_start), self.backend()
        handle = backend.launch(asked, self.now_utc())
        assert isinstance(handle, Handle), handle
        return Show(self, backend, handle)

    def lose_capacity_after(self, market_s: float, notice_s: float) -> None:
        """From now on, counted in market seconds."""
        trace = self.folder / "trace.json"
        up_s = self.now_utc() - START_UTC + market_s
        trace.write_text(json.dumps({"metadata": {"gap_seconds": up_s}, "data": [1] + [0] * 100}))
        self.options |= {"capacity": {"trace": str(trace)}, "notice_s": notice_s}


@dataclass
class Show:
    """What is seen of one Attempt."""

    stage: Stage
    backend: LocalBackend
    handle: Handle
    cursor: int = 0
    news: list[News] = field(default_factory=list)

    @property
    def folder(self) -> AttemptFolder:
        return AttemptFolder(self.stage.home / "attempts" / self.handle.token)

    def look(self) -> Report:
        report = self.backend.poll(self.handle, self.cursor, self.stage.now_utc())
        self.cursor = report.cursor
        self.news.extend(report.news)
        return report

    def until(self, wanted: Callable[[Report], bool]) -> Report:
        end_s = time.monotonic() + PATIENCE_S
        while not wanted(report := self.look()):
            assert report.ended is None and time.monotonic() < end_s, (report, self.news, self.output)
            time.sleep(0.02)
        return report

    def to_the_end(self) -> Ended:
        ended = self.until(lambda report: report.ended is not None).ended
        assert ended is not None
        return ended

    def tell(self, word: str) -> None:
        self.backend.tell(self.handle, word, self.stage.now_utc())

    def of(self, kind: type) -> list[Any]:
        return [news for news in self.news if isinstance(news, kind)]

    @property
    def warnings(self) -> list[str]:
        return [news.message for news in self.of(WarningSeen)]

    @property
    def output(self) -> str:
        return self.folder.output.read_text() if self.folder.output.exists() else ""


def wait_for(wanted: Callable[[], Any], seconds: float = PATIENCE_S) -> Any:
    """Until it gives something; what it gave."""
    end_s = time.monotonic() + seconds
    while not (found := wanted()):
        assert time.monotonic() < end_s, "it never came"
        time.sleep(0.02)
    return found
