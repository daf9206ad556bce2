"""What this job's past nights teach, put into tonight's Job before it is opened."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Callable, Iterable, Mapping, Sequence

from nightspot.cli.home import Home
from nightspot.errors import JobFileError
from nightspot.market.knowledge import NOTHING_KNOWN, REMEDY, Knowledge, flips_of, from_text, pool_key
from nightspot.model.capacity import Bounds, Market
from nightspot.model.events import Record, RunOpened
from nightspot.model.job import Job
from nightspot.night.journal import Journal
from nightspot.policy.overheads import learned_bounds, learned_interruptions, learned_work, look_back
from nightspot.policy.sights import sights

# Older nights than that say little about tonight.
NIGHTS = 90
NOTHING: Knowledge = MappingProxyType({})


def taught(job: Job, journal: Journal, knowledge: Knowledge = NOTHING) -> Job:
    """The Job with the Bounds, the unit time and the rate of interruptions that its past nights showed, where they showed enough.

    Its Spot Pools get the rates at which their capacity flips: from those nights, and from what `nightspot market fit` keeps.
    """
    nights = nights_of(job, journal)
    past = look_back(job, nights)
    known = with_nights(job, nights, knowledge)
    bounds = learned_bounds(job, past)
    every_s = learned_interruptions(job, past)
    pools = [
        replace(
            one,
            bounds=bounds.get(one.id),
            interruption_every_s=every_s.get(one.id),
            flips=flips_of(pool_key(one), known) if known and one.market is Market.SPOT else None,
        )
        for one in job.pools
    ]
    return replace(job, pools=tuple(pools), work=learned_work(job, past))


def nights_of(job: Job, journal: Journal) -> list[Sequence[Record]]:
    """The Job's latest nights, oldest first."""
    runs = [run_id for run_id in journal.runs() if run_id.startswith(f"{job.name}-")]
    return [journal.read(run_id) for run_id in runs[-NIGHTS:]]


def knowledge_of(home: Home) -> Knowledge:
    """What `nightspot market fit` has kept; nothing where it has kept nothing. JobFileError where the file is damaged."""
    try:
        text = home.market_file.read_text()
    except FileNotFoundError:
        return NOTHING
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise JobFileError(
            str(home.market_file), "", home.market_file.name, f"it cannot be read ({reason})", REMEDY
        ) from None
    return from_text(text, str(home.market_file))


def knowledge_if_any(home: Home, say: Callable[[str], None]) -> Knowledge:
    """The same for tonight: a damaged file is said, and stands in no deadline's way."""
    try:
        return knowledge_of(home)
    except JobFileError as error:
        say(f"{error} Tonight's plan goes on without it")
        return NOTHING


def with_nights(job: Job, nights: Iterable[Sequence[Record]], knowledge: Knowledge) -> Knowledge:
    """What is known of Pools, and what this Job's nights saw of them. Nights at another `time_scale` saw another market."""
    known = dict(knowledge)
    for records in nights:
        opened = records[0].event if records else None
        if isinstance(opened, RunOpened) and opened.job.name == job.name and opened.job.time_scale == job.time_scale:
            for pool_id, seen in sights(records).items():
                key = pool_key(opened.job.pool(pool_id))
                known[key] = known.get(key, NOTHING_KNOWN) + seen
    return known


def bounds_of(job: Job) -> Mapping[str, Bounds]:
    """What the guard plans with, by Pool id."""
    return {pool.id: pool.bounds for pool in job.pools if pool.bounds is not None}
