"""The SageMaker backend: an Attempt is a training job, its name is the token. See docs/sagemaker.md.

All it must remember stands in HOME/sagemaker/TOKEN/; all else AWS knows. What AWS did not answer is Unsure, and never guessed.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

from nightspot.backends.aws import billing, bundle, output, said, standing
from nightspot.backends.aws.abilities import abilities
from nightspot.backends.aws.calls import Aws, Rejected, Trouble, require_boto3
from nightspot.backends.aws.ending import Ending
from nightspot.backends.aws.jobs import Answer, TrainingJobs, of_run, run_key
from nightspot.backends.aws.notes import ABSENT, Line, Note, run_keys
from nightspot.backends.aws.request import checkpoint_uri, control_uri, is_job_name, training_job
from nightspot.backends.aws.sagemakercheck import check
from nightspot.backends.aws.store import Store
from nightspot.backends.aws.watch import Watch
from nightspot.backends.registry import BackendContext
from nightspot.errors import BackendError, Unsure
from nightspot.model.capacity import Abilities, Offer, Pool, Sight
from nightspot.model.events import RefusalReason
from nightspot.model.job import Job
from nightspot.night.ports import Bill, Ended, EndKind, Finding, Handle, LaunchSpec, Quote, Refused, Report

WORDS = ("stop", "go", "checkpoint")
# A source archive is fetched, repacked and put back, the first time (real seconds).
PACKING_S = 60.0
REASONS = {Trouble.QUOTA: RefusalReason.QUOTA, Trouble.CAPACITY: RefusalReason.NO_CAPACITY}
UNREACHED = Refused(RefusalReason.INVALID, "its token is no name of a training job")


class SageMakerBackend:
    """See Backend. boto3's own chain finds endpoint, region and credentials."""

    def __init__(self, context: BackendContext, /) -> None:
        require_boto3()
        self._context, self._home = context, context.home.resolve()
        self._aws = Aws()
        self._notes: dict[str, Note] = {}
        self._watches: dict[str, Watch] = {}
        self._billed: dict[str, Bill] = {}

    def abilities(self, pool: Pool, /) -> Abilities:
        """See Backend."""
        return abilities(pool, self._context.time_scale)

    def offers(self, pools: Sequence[Pool], now_utc: float, /) -> Sequence[Offer]:
        """See Backend. Nobody can see SageMaker's capacity: the queued request is the probe."""
        since_utc = min(self._context.start_utc, now_utc)
        return [Offer(pool.id, Sight.UNKNOWN, since_utc) for pool in pools]

    def launch(self, spec: LaunchSpec, now_utc: float, /) -> Handle | Refused:
        """See Backend. The intent is on the disk before the first call; the name makes a second call find the first one's job."""
        if not is_job_name(spec.token):
            return UNREACHED
        note = self._note(spec.token)
        with _sure(f"{spec.token} could not be launched, or not certainly"), note.locked():
            if not note.known and (refused := note.refused) is not None:
                return refused
            again = note.intent is not None
            note.intend(spec, now_utc)
            return (
                Handle(spec.token, spec.pool.id, spec.token)
                if note.known
                else self._create(note, spec, now_utc, again=again)
            )

    def find(self, token: str, /) -> Handle | None:
        """See Backend. What is not there is given up: this home never launches it any more."""
        if not is_job_name(token):
            return None
        note = self._note(token)
        with _sure(f"{token} cannot be looked for"), note.locked():
            if note.known or self._found(note):
                return Handle(token, self._pool_id(note), token)
            note.give_up(ABSENT)
        return None

    def live(self, run_id: str, /) -> Sequence[Handle]:
        """See Backend. Of the nights that this home launched: a colleague's, of the same name and deadline, is not ours to stop."""
        with _sure(f"what runs of {run_id} cannot be listed"):
            ours = {key for key in run_keys(self._home) if of_run(f"{key}-000", run_id)}
            regions = {self._region(self._note(token)) for token in self._tokens(ours)}
            names = {name for region in regions for name in self._jobs(region).live(run_id)}
            notes = [self._note(name) for name in sorted(names) if run_key(name) in ours]
            return [Handle(n.token, self._pool_id(n), n.token) for n in notes if n.known or self._found(n)]

    def poll(self, handle: Handle, cursor: int, now_utc: float, /) -> Report:
        """See Backend. What is seen is noted before it is told: told again, it is the same."""
        note = self._note(handle.token)
        with _sure(f"{handle.token} cannot be seen"):
            if note.exit is None:
                with note.locked():
                    self._look(note, now_utc)
            lines, end = note.log.lines(), note.exit
            units_done = self._units(note, lines, end)
        news = [one for line in lines[cursor:] if (one := said.news_of(line)) is not None]
        return Report(max(cursor, len(lines)), units_done, news, said.ended_of(end) if end is not None else None)

    def tell(self, handle: Handle, word: str, now_utc: float, /) -> None:
        """See Backend. ValueError for a word that is none."""
        if word not in WORDS:
            raise ValueError(f"{word!r} is no word: {', '.join(WORDS)}")
        note = self._note(handle.token)
        with _sure(f"{handle.token} cannot be told to {word}"):
            if note.exit is not None:
                return
            watch = self._watch(note)
            if watch is not None and watch.control is not None:
                if word == "go":
                    note.go(now_utc)
                self._write_word(watch, word, now_utc)
            if word == "stop" and not self._jobs_of(note).stop(handle.token) and self._young(note, now_utc):
                raise Unsure("it is not to be seen yet")

    def bill(self, handle: Handle, now_utc: float, /) -> Bill | None:
        """See Backend. While it runs an estimate; on Spot the final bill may be lower, for only AWS knows the discount."""
        note = self._note(handle.token)
        with _sure(f"the bill of {handle.token} cannot be seen"):
            if note.intent is None:
                return None
            if not note.known and note.refused is not None:
                return Bill(0.0, 0.0)
            end = note.exit
            if end is not None and end.get("billable_s") is not None:
                return self._final(note.intent.spec, float(end["billable_s"]), str(end.get("instance_type", "")))
            return self._bill_so_far(note, note.intent.spec, now_utc)

    def fetch_output(self, handle: Handle, to: Path, /) -> None:
        """See Backend. From CloudWatch Logs."""
        with _sure(f"what {handle.token} printed cannot be fetched"):
            output.fetch(self._aws, self._region(self._note(handle.token)), handle.token, to)

    def check(self, job: Job, /) -> Sequence[Finding]:
        """See Backend."""
        from nightspot.backends.aws import doctor  # it needs boto3, whose absence has a sentence of its own

        own = check(job, lambda region: self._aws.loopback("sagemaker", region))
        found = [*own, *doctor.findings(job, self._aws.plain_client, self._home)]
        return sorted(found, key=lambda finding: not finding.fatal)

    def quote(self, pool: Pool, job: Job, /) -> Quote | None:
        """See Backend."""
        from nightspot.backends.aws import prices

        return prices.quote(pool, job, self._aws.plain_client, self._home)

    def _create(self, note: Note, spec: LaunchSpec, now_utc: float, *, again: bool) -> Handle | Refused:
        try:
            note.acknowledge(self._jobs_of(note).create(self._request(spec, now_utc)))
        except Rejected as error:
            return self._rejected(note, spec, error, lost=error.after_lost or (again and self._young(note, now_utc)))
        except Unsure:
            raise
        except (ValueError, BackendError) as error:
            return note.give_up(Refused(RefusalReason.INVALID, str(error)))
        return Handle(spec.token, spec.pool.id, spec.token)

    def _request(self, spec: LaunchSpec, now_utc: float) -> dict[str, Any]:
        """With the wrapper, if it travels: its code is in the bucket before it is named."""
        request = training_job(spec, now_utc)
        checkpoints = checkpoint_uri(spec.pool, spec.run_id)
        control, known = control_uri(spec.pool, spec.run_id, spec.token), self._context
        if not spec.pool.options.get("wrapper") or checkpoints is None or control is None:
            return request

        def packed() -> dict[str, Any]:
            s3 = self._aws.client("s3", str(spec.pool.options.get("region") or ""))
            told: dict[str, Any] = {"checkpoints_uri": checkpoints, "control_uri": control}
            told |= {"time_scale": known.time_scale, "not_after_real_utc": known.real_utc(spec.not_after_utc)}
            return bundle.travelling(request, spec, s3, **told)

        return {**request, **self._aws.within(packed, "packing the wrapper", PACKING_S)}

    def _rejected(self, note: Note, spec: LaunchSpec, error: Rejected, *, lost: bool) -> Handle | Refused:
        """A no to a second try does not say that the first, whose answer was `lost`, was not carried out: look before believing it.

        A job may not be seen for a while after it began. Then the intent stays open, and `find` settles it.
        """
        seen = self._seen(note)
        if seen is not None and self._ours(note, seen):
            return Handle(spec.token, spec.pool.id, spec.token)
        words = str(error)
        if error.trouble is Trouble.IN_USE:
            words = f"a training job called {spec.token} exists, and is not of run {spec.run_id}"
        if seen is None and (lost or error.trouble is Trouble.IN_USE):
            raise Unsure(f"{spec.token} may have been launched, and is not to be seen: {error}") from error
        return note.give_up(Refused(REASONS.get(error.trouble, RefusalReason.INVALID), words))

    def _found(self, note: Note) -> bool:
        """Whether AWS has it, and it is ours."""
        seen = self._seen(note)
        return seen is not None and self._ours(note, seen)

    def _seen(self, note: Note) -> Answer | None:
        """The job of that name, whosoever it is."""
        seen = self._jobs_of(note).describe(note.token)
        if seen is None and note.intent is not None and self._jobs_of(note).listed(note.token):
            raise Unsure(f"{note.token} is listed, and cannot be described")
        return seen

    def _ours(self, note: Note, seen: Answer) -> bool:
        """Noted if it is."""
        intent = note.intent
        if intent is not None:
            uri = checkpoint_uri(intent.spec.pool, intent.spec.run_id)
            if not self._jobs_of(note).is_of_run(seen, intent.spec.run_id, uri):
                return False
        note.acknowledge(str(seen["TrainingJobArn"]))
        return True

    def _young(self, note: Note, now_utc: float) -> bool:
        """Whether what is not to be seen may just not be seen yet. Nobody knows of what this home never launched."""
        intent = note.intent
        return intent is None or now_utc - intent.asked_utc < self.abilities(intent.spec.pool).visibility_lag_s

    def _look(self, note: Note, now_utc: float) -> None:
        seen = self._jobs_of(note).describe(note.token)
        if seen is None:
            self._gone(note, now_utc)
            return
        lines, watch, end = note.log.lines(), self._watch(note), standing.end(seen)
        if watch is None:
            note.log.append(said.new_stands(lines, standing.stands(seen), 0.0, now_utc))
        else:
            self._listen(note, watch, seen, now_utc)
            note.log.append(watch.look(note.log.lines(), now_utc, last=end is not None, end=end))
            self._count(note, watch, seen)
        if end is not None:
            self._end(note, seen, end, now_utc)

    def _listen(self, note: Note, watch: Watch, seen: Mapping[str, Any], now_utc: float) -> None:
        lines, stands, ended = note.log.lines(), standing.stands(seen), standing.end(seen) is not None
        watch.listen(last=ended)
        if not ended or watch.waits:
            stands = watch.stands(lines, stands, now_utc)
        durable_units = said.durable_units(lines, watch.spec.units_start)
        note.log.append(said.new_stands(lines, stands, durable_units, now_utc, watch.progress.incarnation))

    def _end(self, note: Note, seen: Mapping[str, Any], end: standing.End, now_utc: float) -> None:
        watch, intent = self._watch(note), note.intent
        store = watch.store if watch is not None else Store(self._aws, self._region(note))
        ending = Ending(
            seen, end, store, intent.spec if intent is not None else None, *([watch.progress] if watch else [])
        )
        told = said.exit_line(ending.told())
        told["at_utc"] = said.clamped(note.log.lines(), told["at_utc"], now_utc)
        note.end({**told, "billable_s": standing.billable_s(seen), "instance_type": standing.instance_type(seen)})

    def _gone(self, note: Note, now_utc: float) -> None:
        """Deleted: AWS allows that only for what has ended. What is young, or was never seen, may just not be seen yet."""
        if not note.known or self._young(note, now_utc) or self._jobs_of(note).listed(note.token):
            raise Unsure(f"{note.token} is not to be seen")
        words = "the training job was deleted: how it ended cannot be told"
        note.end(said.exit_line(Ended(EndKind.LOST, said.clamped(note.log.lines(), now_utc, now_utc), detail=words)))

    def _count(self, note: Note, watch: Watch, seen: Mapping[str, Any]) -> None:
        """What is not durable counts for those who watch; it never goes back."""
        spec = watch.spec
        metric = standing.metrics(seen).get(str(spec.pool.options.get("progress_metric") or ""))
        told = [
            units for units in (watch.progress.units_done, metric) if units is not None and units <= spec.job.work.units
        ]
        if max(told, default=0.0) > note.units:
            note.remember_units(max(told))

    def _units(self, note: Note, lines: Sequence[Line], end: Line | None) -> float:
        spec = note.intent.spec if note.intent is not None else None
        if spec is not None and end is not None and end["kind"] == EndKind.SUCCEEDED.value:
            return spec.job.work.units
        return max(note.units, said.durable_units(lines, spec.units_start if spec is not None else 0.0))

    def _write_word(self, watch: Watch, word: str, now_utc: float) -> None:
        """A stop does not depend on it: StopTrainingJob comes next."""
        try:
            watch.store.write_json(f"{watch.control}{word}", {"word": word, "at_utc": now_utc})
        except (Unsure, Rejected) as error:
            if word != "stop":
                raise Unsure(str(error)) from error

    def _bill_so_far(self, note: Note, spec: LaunchSpec, now_utc: float) -> Bill | None:
        seen = self._jobs_of(note).describe(note.token)
        if seen is None:
            return None
        told_s, chosen = standing.billable_s(seen), standing.instance_type(seen)
        if told_s is not None and standing.end(seen) is not None:
            return self._final(spec, told_s, chosen)
        full = billing.full_price(spec, chosen, self.quote)
        bill = billing.so_far(spec, standing.held_s(seen, now_utc), full)
        if bill is not None:
            before = self._billed.get(note.token, bill)
            self._billed[note.token] = bill = max(before, bill, key=lambda one: one.billable_s)
        return bill

    def _final(self, spec: LaunchSpec, billable_s: float, chosen: str) -> Bill | None:
        full = billing.full_price(spec, chosen, self.quote) if billable_s > 0 else None
        return billing.final(billable_s, full)

    def _note(self, token: str) -> Note:
        return self._notes.setdefault(token, Note(self._home, token))

    def _tokens(self, keys: set[str]) -> list[str]:
        return (
            [folder.name for folder in (self._home / "sagemaker").iterdir() if run_key(folder.name) in keys]
            if keys
            else []
        )

    def _watch(self, note: Note) -> Watch | None:
        """None for what this home never launched: then only its phases can be followed."""
        if note.token not in self._watches and note.intent is not None:
            store = Store(self._aws, self._region(note))
            self._watches[note.token] = Watch(note.intent.spec, store, self._context.time_scale)
        watch = self._watches.get(note.token)
        if watch is not None and watch.waits:
            watch.gone_utc = note.gone_utc
        return watch

    def _region(self, note: Note) -> str:
        return str(note.intent.spec.pool.options.get("region") or "") if note.intent is not None else ""

    def _pool_id(self, note: Note) -> str:
        return note.intent.spec.pool.id if note.intent is not None else ""

    def _jobs(self, region: str) -> TrainingJobs:
        return TrainingJobs(self._aws, region)

    def _jobs_of(self, note: Note) -> TrainingJobs:
        return self._jobs(self._region(note))


@contextmanager
def _sure(what: str) -> Iterator[None]:
    """A disk that fails, and a no that was not expected, say nothing of the Attempt."""
    try:
        yield
    except (OSError, Rejected) as error:
        raise Unsure(f"{what}: {error}") from error
