"""The local backend: Attempts are processes of this machine, on capacity that comes and goes as the job file says.

All it knows stands in the folders of the Attempts: another controller, now or after a reboot, sees the same. See docs/backends.md.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

from nightspot.backends.localcheck import check
from nightspot.backends.localnews import ended_of, news_of
from nightspot.backends.localspec import attempt_spec
from nightspot.backends.registry import BackendContext
from nightspot.errors import Unsure
from nightspot.market.capacity import capacity_trace
from nightspot.market.trace import Trace
from nightspot.model.capacity import Abilities, Offer, Pool, Sight
from nightspot.model.events import RefusalReason
from nightspot.model.job import Job
from nightspot.night.ports import Bill, Finding, Handle, LaunchSpec, Quote, Refused, Report
from nightspot.process.files import read_json, write_first
from nightspot.process.folder import TOKEN, AttemptFolder
from nightspot.process.loss import StillAliveError, identity_in, lost, settle
from nightspot.process.news import NewsReader
from nightspot.process.spawn import Begun, begin, begun, give_up
from nightspot.process.spec import AttemptSpec
from nightspot.process.surroundings import sandbox_works

WORDS = ("stop", "go", "checkpoint")
# From `go` to the first unit of work: a process starts, imports and restores (real seconds, assumed).
HANDOVER_REAL_S = 10.0
# A supervisor shows every two real seconds that it is well.
SILENT_S = 60.0
ABSENT = Refused(RefusalReason.ABSENT, "it had not begun when it was looked for, and was given up")


class LocalBackend:
    """See Backend. Everything lies under `context.home`."""

    def __init__(self, context: BackendContext, /) -> None:
        self._context = context
        self._attempts = context.home.resolve() / "attempts"
        self._traces: dict[str, Trace] = {}
        self._readers: dict[str, NewsReader] = {}
        self._specs: dict[str, AttemptSpec] = {}

    def abilities(self, _pool: Pool, /) -> Abilities:
        """See Backend. The folder's lock decides at once whether a token has begun: nothing lags. A supervisor waits for `go`."""
        return Abilities(beside=True, handover=True, handover_s=HANDOVER_REAL_S * self._context.time_scale)

    def offers(self, pools: Sequence[Pool], now_utc: float, /) -> Sequence[Offer]:
        """See Backend. A Pool whose trace cannot be read is UNKNOWN."""
        return [self._offer(pool, now_utc) for pool in pools]

    def launch(self, spec: LaunchSpec, now_utc: float, /) -> Handle | Refused:
        """See Backend. Returns once the supervisor has the Attempt: the command may start later."""
        folder = self._folder(spec.token)
        with _sure(f"{spec.token} could not be launched, or not wholly"):
            came = begun(folder)
            if came is Begun.UNSURE:
                refused = self._refusal(spec, folder, now_utc)
                if refused is not None:
                    return refused
                came = self._begin(spec, folder, now_utc)
        if came is Begun.UNSURE:
            raise Unsure(f"the supervisor of {spec.token} has not begun yet; see {folder.log}")
        return Handle(spec.token, spec.pool.id, spec.token) if came is Begun.YES else _given_up(folder)

    def find(self, token: str, /) -> Handle | None:
        """See Backend. What has not begun is given up on the spot: after None it never will."""
        folder = self._folder(token)
        with _sure(f"{token} cannot be looked for"):
            if give_up(folder, _as_json(ABSENT)):
                return None
            spec = self._spec(folder)
        return Handle(token, spec.pool_id if spec is not None else "", token)

    def live(self, run_id: str, /) -> Sequence[Handle]:
        """See Backend. Begun and not ended: exit.json is written when nothing of an Attempt runs any more."""
        with _sure("the attempts cannot be listed"):
            found = [(folder, self._spec(folder)) for folder in self._open_folders(run_id)]
        return [Handle(f.token, s.pool_id, f.token) for f, s in found if s is not None and s.run_id == run_id]

    def poll(self, handle: Handle, cursor: int, now_utc: float, /) -> Report:
        """See Backend. Where the supervisor is gone without a word, all that is left is killed first: then it is LOST."""
        folder = self._folder(handle.token)
        reader = self._readers.setdefault(handle.token, NewsReader(folder.news))
        with _sure(f"{handle.token} cannot be seen"):
            state, end = (
                read_json(folder.state),
                read_json(folder.exit),
            )  # before the news: they are whole when it is there
            if end is None:
                end = self._without_end(folder, state, now_utc)
            cursor, lines = reader.since(cursor)
            units_done = self._units(folder, state, end)
        news = [one for line in lines if (one := news_of(line)) is not None]
        return Report(cursor, units_done, news, ended_of(end) if end is not None else None)

    def tell(self, handle: Handle, word: str, _now_utc: float, /) -> None:
        """See Backend. ValueError for a word that is none."""
        if word not in WORDS:
            raise ValueError(f"{word!r} is no word: {', '.join(WORDS)}")
        folder = self._folder(handle.token)
        with _sure(f"{handle.token} cannot be told to {word}"):
            if not folder.spec.exists() or folder.exit.exists():
                return
            if word == "checkpoint":
                folder.save_request.touch()
            else:
                write_first(folder.word(word), {})

    def bill(self, handle: Handle, now_utc: float, /) -> Bill | None:
        """See Backend. From the launch to the end; what never began costs nothing."""
        folder = self._folder(handle.token)
        with _sure(f"the bill of {handle.token} cannot be seen"):
            spec, end = self._spec(folder), read_json(folder.exit)
        if spec is None or not folder.supervisor.exists():
            return Bill(0.0, 0.0)
        until_utc = now_utc if end is None else float(end["at_utc"])
        billable_s = max(0.0, until_utc - spec.launched_utc)
        return Bill(billable_s, billable_s / 3600.0 * spec.price_usd_per_hour)

    def fetch_output(self, _handle: Handle, _to: Path, /) -> None:
        """See Backend. The supervisor writes it where it is read."""

    def check(self, job: Job, /) -> Sequence[Finding]:
        """See Backend."""
        return check(job, self._context.home, sandbox=not job.training.sagemaker or self._sandbox)

    def quote(self, _pool: Pool, _job: Job, /) -> Quote | None:
        """See Backend. Only the job file knows."""
        return None

    @cached_property
    def _sandbox(self) -> bool:
        return sandbox_works()

    def _folder(self, token: str) -> AttemptFolder:
        return AttemptFolder(self._attempts / token)

    def _open_folders(self, run_id: str) -> list[AttemptFolder]:
        try:
            paths = [p for p in self._attempts.iterdir() if p.name.startswith(f"{run_id}-")]
        except FileNotFoundError:
            return []
        folders = [AttemptFolder(path) for path in sorted(paths) if TOKEN.fullmatch(path.name)]
        return [folder for folder in folders if folder.supervisor.exists() and not folder.exit.exists()]

    def _trace(self, pool: Pool) -> Trace:
        """The same for every controller of this Run: it is anchored at the window's start."""
        if pool.id not in self._traces:
            setting = pool.options.get("capacity", "always")
            recorded = setting.get("trace") if isinstance(setting, Mapping) else None
            text = Path(recorded).read_text("utf-8") if recorded is not None else None
            self._traces[pool.id] = capacity_trace(setting, self._context.start_utc, text)
        return self._traces[pool.id]

    def _offer(self, pool: Pool, now_utc: float) -> Offer:
        try:
            trace = self._trace(pool)
        except (OSError, ValueError):
            return Offer(pool.id, Sight.UNKNOWN, now_utc)
        return Offer(pool.id, Sight.UP if trace.up(now_utc) else Sight.DOWN, trace.since(now_utc))

    def _refusal(self, spec: LaunchSpec, folder: AttemptFolder, now_utc: float) -> Refused | None:
        """Why it is not launched, and never will be under this token. None where it may, or has been meanwhile."""
        try:
            if self._trace(spec.pool).up(now_utc):
                return None
            refused = Refused(RefusalReason.NO_CAPACITY, f"{spec.pool.id} has no capacity")
        except (OSError, ValueError) as error:
            refused = Refused(RefusalReason.INVALID, f"the capacity of {spec.pool.id} cannot be told: {error}")
        return refused if give_up(folder, _as_json(refused)) else None

    def _begin(self, spec: LaunchSpec, folder: AttemptFolder, now_utc: float) -> Begun:
        folder.make()
        trace = self._trace(spec.pool)
        sandbox = spec.job.training.sagemaker and self._sandbox
        told = attempt_spec(
            spec,
            self._context,
            folder,
            now_utc,
            trace.next_flip(now_utc),
            sandbox=sandbox,
            seen_every_s=trace.mean_up_s,
        )
        return begin(folder, told)

    def _spec(self, folder: AttemptFolder) -> AttemptSpec | None:
        """It never changes once it is there."""
        document = read_json(folder.spec) if folder.token not in self._specs else None
        if document is not None:
            try:
                self._specs[folder.token] = AttemptSpec.from_json(document)
            except (KeyError, TypeError, ValueError) as error:
                raise Unsure(f"{folder.spec} makes no sense to this version: {error!r}") from error
        return self._specs.get(folder.token)

    def _without_end(self, folder: AttemptFolder, state: Any, now_utc: float) -> Any:
        """None where its supervisor is well; how it ended, where it just has, or where the supervisor is gone."""
        supervisor = identity_in(read_json(folder.supervisor))
        if supervisor is not None and supervisor.alive():
            _expect_a_sign(folder, state)
            return None
        try:
            if folder.path.exists():
                return read_json(folder.exit) if settle(folder, now_utc) else None
            return lost(folder, now_utc)
        except StillAliveError as error:
            raise Unsure(f"{folder.token}: its supervisor is gone, and {error}") from error

    def _units(self, folder: AttemptFolder, state: Any, end: Any) -> float:
        """Never less than it started with."""
        spec = self._spec(folder)
        told = [document.get("units_done") for document in (state, end) if isinstance(document, dict)]
        return max([spec.units_start if spec is not None else 0.0, *[float(u) for u in told if u is not None]])


@contextmanager
def _sure(what: str) -> Iterator[None]:
    """A disk that fails says nothing of the Attempt."""
    try:
        yield
    except OSError as error:
        raise Unsure(f"{what}: {error}") from error


def _expect_a_sign(folder: AttemptFolder, state: Any) -> None:
    """A supervisor that is stopped, or hangs, is neither alive nor dead. While the machine sleeps this clock stands still."""
    beat_s = state.get("beat_s") if isinstance(state, dict) else None
    if beat_s is not None and time.monotonic() - beat_s > SILENT_S:
        raise Unsure(f"the supervisor of {folder.token} has given no sign for {time.monotonic() - beat_s:.0f} s")


def _as_json(refused: Refused) -> dict[str, str]:
    return {"reason": refused.reason.value, "message": refused.message}


def _given_up(folder: AttemptFolder) -> Refused:
    """As it was refused before."""
    noted = read_json(folder.given_up)
    try:
        return Refused(RefusalReason(noted["reason"]), str(noted["message"]))
    except (KeyError, TypeError, ValueError):
        return ABSENT
