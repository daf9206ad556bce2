"""From what was seen of all trainings to a verdict on each case and on the job. Pure.

EXACT: the losses of every Life and the finished model are the baseline's, bit for bit (where only one of the two could be compared, that).
WITHIN_NOISE: baselines differ among themselves; what was resumed is exact, and losses lie in the band of `compare.noise`. RESTARTED: began
anew though a whole checkpoint was there. FAILED: no end. The job's verdict is its worst case's.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Mapping, Optional, Sequence

from nightspot.drill.compare.laid import Compared, compare, trails_of
from nightspot.drill.compare.noise import Band, band, resumed_exactly, within
from nightspot.drill.diagnose import causes
from nightspot.drill.diagnose.itself import by_itself
from nightspot.drill.diagnose.states import only_one
from nightspot.drill.record import Case, CaseResult, Cause, Diagnosis, Report, Training, Verdict

WORST_LAST = tuple(Verdict)
Trajectory = tuple[tuple[tuple[float, float], ...], ...]


def judge(
    baselines: Sequence[Training],
    trainings: Sequence[Training],
    *,
    job: str,
    seed: int = 0,
    notes: Sequence[str] = (),
    fingerprint: Optional[str] = None,
    versions: Optional[Mapping[str, str]] = None,
    finished_utc: float = 0.0,
    seconds: float = 0.0,
) -> Report:
    """Baselines ran uninterrupted, to their end (else everything FAILED); trainings are one for each case.

    notes: what else is to be said of the drill, cases left out, say; finished_utc in seconds since the epoch; seconds: what the drill took.
    Whether WITHIN_NOISE is good enough is for others to say.
    """
    itself = by_itself(baselines)
    sound = bool(baselines) and all(_finished(one) for one in baselines)
    cases = tuple(_case(baselines, one, itself) if sound else _no_baseline(one) for one in trainings)
    return Report(
        job=job,
        verdict=worst([one.verdict for one in cases]) if sound and cases else Verdict.FAILED,
        seed=seed,
        cases=cases,
        baselines=len(baselines),
        deterministic=itself is None and sound,
        notes=(*notes, *_notes(baselines, sound, itself)),
        trajectories=_trajectories(baselines, trainings) if sound else {},
        fingerprint=fingerprint,
        versions=dict(versions or {}),
        finished_utc=finished_utc,
        seconds=seconds,
    )


def agree(baselines: Sequence[Training]) -> bool:
    """Whether uninterrupted trainings came out the same, bit for bit: steps, losses, models. False: more are needed, for a band."""
    return by_itself(baselines) is None


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """The last in the order of `Verdict`."""
    return max(verdicts, key=WORST_LAST.index)


def _finished(training: Training) -> bool:
    return training.fault is None and bool(training.lives) and training.lives[-1].exit_code == 0


def _no_baseline(training: Training) -> CaseResult:
    case = training.case or Case.KILL
    return CaseResult(
        case,
        Verdict.FAILED,
        None,
        None,
        None,
        None,
        None,
        causes.unplayed(training),
        ("no baseline to compare with",),
    )


def _case(baselines: Sequence[Training], training: Training, itself: Optional[Diagnosis]) -> CaseResult:
    compared = compare(baselines, training)
    found = causes.faults(training, compared)
    verdict = _verdict(baselines, training, compared, found, itself)
    number = found[0].life if found and verdict is not Verdict.EXACT else len(training.lives) - 1
    killed = compared.killed(number - 1) if number > 0 else None
    resumed = compared.placed[number].start if number > 0 else None
    redone = _redone(compared)
    diagnosis = _diagnosis(training, compared, found, verdict, itself, redone)
    return CaseResult(
        case=training.case or Case.KILL,
        verdict=verdict,
        killed_at_step=killed,
        resumed_at_step=resumed,
        redone_steps=redone,
        loss_match=compared.loss_match,
        weights_match=compared.weights_match,
        diagnosis=diagnosis,
        notes=_case_notes(compared, verdict, number),
        also=_also(training, compared, found, verdict, diagnosis),
    )


def _redone(compared: Compared) -> Optional[int]:
    """Steps that were made twice, over all interruptions."""
    made = [one for one in compared.placed if one.trail.steps or one.start is not None]
    if len(made) < 2 or any(one.start is None for one in made):
        return None
    return sum(max(0, (one.end or 0) - (other.start or 0)) for one, other in pairwise(made))


def _verdict(
    baselines: Sequence[Training],
    training: Training,
    compared: Compared,
    found: Sequence[causes.Found],
    itself: Optional[Diagnosis],
) -> Verdict:
    missing = baselines[0].artefact is not None and training.artefact is None
    if not _finished(training) or missing:
        return Verdict.FAILED
    if any(one.diagnosis.cause is Cause.RESTARTED for one in found):
        return Verdict.RESTARTED
    matches = (compared.loss_match, compared.weights_match)
    if False not in matches and True in matches:
        return Verdict.EXACT
    if itself is not None and not found and _noise(baselines, compared):
        return Verdict.WITHIN_NOISE
    return Verdict.DIVERGED


def _noise(baselines: Sequence[Training], compared: Compared) -> bool:
    allowed: Optional[Band] = band(trails_of(baselines))
    resumed = all(resumed_exactly(compared, number) for number in range(1, len(compared.placed)))
    return allowed is not None and resumed and within(allowed, compared)


def _diagnosis(
    training: Training,
    compared: Compared,
    found: Sequence[causes.Found],
    verdict: Verdict,
    itself: Optional[Diagnosis],
    redone: Optional[int],
) -> Optional[Diagnosis]:
    if (unplayed := causes.unplayed(training)) is not None and not found:
        return unplayed
    if verdict is Verdict.EXACT:
        return causes.ignored_notice(training, compared, redone) or only_one(training, compared)
    if verdict is Verdict.WITHIN_NOISE:
        return itself
    return found[0].diagnosis if found else causes.unexplained(compared, itself)


def _also(
    training: Training,
    compared: Compared,
    found: Sequence[causes.Found],
    verdict: Verdict,
    chief: Optional[Diagnosis],
) -> tuple[Diagnosis, ...]:
    """What else to mend, each with its mend."""
    others = [] if verdict is Verdict.EXACT else [one.diagnosis for one in found[1:]]
    kept = only_one(training, compared)
    return tuple(one for one in [*others, kept] if one is not None and one != chief)


def _case_notes(compared: Compared, verdict: Verdict, number: int) -> tuple[str, ...]:
    notes = []
    if verdict is not Verdict.EXACT:
        notes += _first_difference(compared)
    kept, start = (compared.kept(number), compared.placed[number].start) if number > 0 else (None, None)
    if number > 0 and kept is None and start == 0:
        notes.append("began anew: no whole checkpoint was left")
    elif kept is not None and start is not None and 0 < start < kept.step:
        notes.append(f"resumed at step {start}, though {kept.name} held {kept.step} steps")
    return tuple(notes)


def _first_difference(compared: Compared) -> list[str]:
    notes = []
    if (first := compared.difference) is not None:
        notes.append(f"losses first differ at step {first.step}: {first.wanted} uninterrupted, {first.seen} here")
    if compared.weights_match is False and compared.tensor is not None:
        notes.append(f"weights first differ in {compared.tensor}")
    return notes


def _notes(baselines: Sequence[Training], sound: bool, itself: Optional[Diagnosis]) -> tuple[str, ...]:  # noqa: FBT001
    if not sound:
        tails = [
            one.fault or (one.lives[-1].tail[-300:] if one.lives else "") for one in baselines if not _finished(one)
        ]
        return ("the uninterrupted training failed: " + (tails[0].strip() if tails else "there was none"),)
    if itself is not None:
        return (f"uninterrupted trainings differ among themselves. {itself.evidence} {itself.mend}",)
    life = baselines[0].lives[-1]
    return (
        ()
        if life.probed
        else ("the probe saw no optimizer of torch: judged by logged losses and the finished model alone",)
    )


def _trajectories(baselines: Sequence[Training], trainings: Sequence[Training]) -> dict[str, Trajectory]:
    first = compare(baselines, baselines[0])
    drawn: dict[str, Trajectory] = {"baseline": _points(first)}
    drawn.update({one.case.value: _points(compare(baselines, one)) for one in trainings if one.case is not None})
    return drawn


def _points(compared: Compared) -> Trajectory:
    lives = [one for one in compared.placed if one.start is not None]
    return tuple(
        tuple(
            (float(one.start or 0) + at, float(step.loss))
            for at, step in enumerate(one.trail.steps)
            if step.loss is not None
        )
        for one in lives
    )
