"""What was seen of a drill's trainings, and what follows from it. Frozen nouns; no I/O.

A Training is played once uninterrupted (a baseline), and once for each case; each start of the script within it is a Life.
Digests are hex texts: equal texts mean equal bits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Mapping, Optional


class Case(str, Enum):
    """Ways to be interrupted."""

    NOTICE = "notice"  # SIGTERM and the notice file, time to save, then SIGKILL
    KILL = "kill"  # SIGKILL, no word before
    DURING_SAVE = "during-save"
    AFTER_SAVE = "after-save"
    TRUNCATED = "truncated"  # killed, and the newest checkpoint then lost its end
    FLIPPED = "flipped"  # killed, and one bit of the newest checkpoint then changed
    TWICE = "twice"
    BEFORE_FIRST = "before-first"  # killed before there was any checkpoint
    CLEAN_MACHINE = "clean-machine"  # only the checkpoint folder, or the store, survives


class Verdict(str, Enum):
    """From best to worst."""

    EXACT = "EXACT"
    WITHIN_NOISE = "WITHIN_NOISE"
    DIVERGED = "DIVERGED"
    RESTARTED = "RESTARTED"  # began anew though there was a checkpoint to go on from
    FAILED = "FAILED"  # did not come to its end, or could not be played


class Cause(str, Enum):
    """Why a case is not exact."""

    RESTARTED = "restarted from scratch"
    WRONG_EPOCH = "wrong epoch"
    OPTIMIZER = "optimizer state not restored"
    RANDOM = "random state or shuffle order not restored"
    DATA_ORDER = "data order replayed from epoch 0"
    SCHEDULER = "scheduler reset"
    TORN = "torn file loaded"
    CORRUPT = "corrupt file loaded silently"
    NONDETERMINISTIC = "nondeterministic by itself"
    ONLY_ONE = "a single checkpoint is kept, and all work lost when it is damaged"
    IGNORED_NOTICE = "notice ignored, and the work since the last checkpoint lost"
    UNDISTURBED = "an undisturbed training does not come to its end"
    CRASHED = "the script failed when it was started again"
    ISOLATION = "cannot isolate"
    NOT_CAUGHT = "the moment could not be caught"
    UNKNOWN = "differs, and nothing that was seen explains it"


@dataclass(frozen=True, slots=True)
class Step:
    """One optimizer step as the probe saw it. `index` counts from 0 in its Life. None: could not be seen.

    loss: what `backward` was called on, repr of the float; batch: digests, parted by commas, of what loaders handed out since the step
    before (at most the last 16); lrs: learning rates of all groups; before / after: digests of the optimizer's parameters; optimizer /
    random: digests of the states *before* the step, the latter by stream ('python=... numpy=... torch=...').
    """

    index: int
    loss: Optional[str] = None
    batch: Optional[str] = None
    lrs: tuple[float, ...] = ()
    before: Optional[str] = None
    after: Optional[str] = None
    optimizer: Optional[str] = None
    random: Optional[str] = None


@dataclass(frozen=True, slots=True)
class Logged:
    """A loss that the script itself told: a JSON line, or a match in its output. step: as told, else None."""

    step: Optional[float]
    loss: str


@dataclass(frozen=True, slots=True)
class Touch:
    """The script did something to a file or a state; one that began before a kill may have no end.

    what: 'load' (torch.load is done, or failed: see detail), 'save' and 'saved' (torch.save begins, is done), 'read', 'write', 'rename' (in
    a watched folder; path: the new name, detail: the old), 'load_state_dict' (detail 'module: Net', 'optimizer: Adam', 'scheduler: ...',
    'loader: ...'), 'loader' (made; 'DataLoader: shuffle=True workers=0 generator=False'), 'scheduler' (made; its class), 'seed'
    ('torch: 0', 'random: 0', 'numpy: 0'), 'random' (a state was set: 'torch', 'python', 'numpy'), 'snapshot' (nightspot.checkpoint takes
    what it then saves), 'flags' (once, before the first step: 'deterministic=False threads=1 cuda=False ...').

    at_index: steps done in this Life until then; path: where there is one; where: file:line of the user's code.
    """

    what: str
    at_index: int
    path: Optional[str] = None
    where: Optional[str] = None
    detail: Optional[str] = None


@dataclass(frozen=True, slots=True)
class Blow:
    """What was done to a Life, and to its files afterwards. at_step: steps done over the whole Training, as far as known.

    damaged: the file whose bytes were changed after the kill, as seen from the folder of checkpoints; torn: a save was under way; left:
    names of the whole checkpoints that the next Life finds, None where nobody looked.
    """

    how: str  # 'notice' or 'kill'
    at_index: int
    event: str = ""
    torn: bool = False
    damaged: Optional[str] = None
    detail: str = ""
    left: Optional[tuple[str, ...]] = None


@dataclass(frozen=True, slots=True)
class Durable:
    """A whole checkpoint, a file or a folder. digest: of its bytes; at_index: steps done by the Life that wrote it."""

    name: str
    digest: str
    life: int
    at_index: int
    units: Optional[float] = None


@dataclass(frozen=True, slots=True)
class Life:
    """One start of the script. exit_code: as a shell has it (128 + N for signal N)."""

    number: int
    steps: tuple[Step, ...]
    logged: tuple[Logged, ...]
    touches: tuple[Touch, ...]
    durables: tuple[Durable, ...]  # those that this Life wrote
    exit_code: int
    blow: Optional[Blow]
    probed: bool  # False: the probe saw no torch in there
    seconds: float
    tail: str  # the last lines of its output


@dataclass(frozen=True, slots=True)
class Artefact:
    """The finished model. digest: over sorted tensor names, dtypes, shapes and bytes; of the whole file where no tensors can be read.

    tensors: digest of each by name, in sorted order; empty where unreadable.
    """

    path: str
    digest: str
    tensors: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Training:
    """From the beginning to the artefact. case: None for a baseline. fault: why it could not be played to its end."""

    case: Optional[Case]
    lives: tuple[Life, ...]
    artefact: Optional[Artefact]
    fault: Optional[str] = None
    cause: Optional[Cause] = None  # of the fault


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """In words for a trainer. where: file:line or the call to change; mend: what to write there instead."""

    cause: Cause
    evidence: str
    mend: str
    where: Optional[str] = None


@dataclass(frozen=True, slots=True)
class CaseResult:
    """A case, judged. Steps count over the whole training, from 0. None: not known. also: faults seen beside the one of the diagnosis."""

    case: Case
    verdict: Verdict
    killed_at_step: Optional[int]
    resumed_at_step: Optional[int]
    redone_steps: Optional[int]
    loss_match: Optional[bool]
    weights_match: Optional[bool]
    diagnosis: Optional[Diagnosis]
    notes: tuple[str, ...] = ()
    also: tuple[Diagnosis, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """The whole drill. trajectories: per name ('baseline', case) the points (step, loss) of each Life, for the picture."""

    job: str
    verdict: Verdict
    seed: int
    cases: tuple[CaseResult, ...]
    baselines: int
    deterministic: bool
    notes: tuple[str, ...]
    trajectories: Mapping[str, tuple[tuple[tuple[float, float], ...], ...]]
    fingerprint: Optional[str]
    versions: Mapping[str, str]
    finished_utc: float
    seconds: float
