"""What is known of Pools' capacity, as a file keeps it: what was watched of each, versioned, readable by people.

    {"format": "nightspot-market", "version": 1, "pools": {"sagemaker:us-east-1:ml.p4d.24xlarge": {"down_h": [...], ...}}}

From it come tonight's rates (`flips_of`): what was watched of that very Pool, drawn towards what was watched of all the others together,
which is drawn towards the prior. A Pool of which nothing is known gets what all others taught.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Iterable, Mapping

from nightspot.errors import JobFileError
from nightspot.market.day import HOURS, NO_DAY, Day
from nightspot.market.flips import BUCKETS, NOTHING_WATCHED, PRIOR_FLIPS, Exposure, fitted, prior
from nightspot.model.capacity import Flips, Pool

FORMAT, VERSION = "nightspot-market", 1
# What all other Pools together weigh in one's own rates, in flips for each bucket of age: zones of one type differ by a factor of two.
POOLED_FLIPS = 2.0
FIELDS = ("down_h", "down_flips", "up_h", "up_flips")
REMEDY = "`nightspot market fit` writes this file; nobody needs to by hand. Move it away to begin anew."


@dataclass(frozen=True, slots=True)
class Known:
    """Of one Pool: what was watched, how that lay over the day, and where it came from ("3 traces", "12 nights")."""

    exposure: Exposure = NOTHING_WATCHED
    day: Day = NO_DAY
    sources: tuple[str, ...] = ()

    def __add__(self, other: Known) -> Known:
        """Both together."""
        more = tuple([source for source in other.sources if source not in self.sources])
        return Known(self.exposure + other.exposure, self.day + other.day, self.sources + more)


NOTHING_KNOWN = Known()
Knowledge = Mapping[str, Known]


def pool_key(pool: Pool) -> str:
    """How a Pool is called in the file: by what it is, and not by what a job file calls it; by that where it says nothing else."""
    what = [word for word in (pool.place, pool.instance_type) if word]
    return ":".join([pool.backend, *(what or [pool.id])])


def pooled(knowledge: Iterable[Known]) -> Exposure:
    """What was watched of all of them together."""
    total = NOTHING_WATCHED
    for known in knowledge:
        total += known.exposure
    return total


def flips_of(key: str, knowledge: Knowledge) -> Flips:
    """Tonight's rates of that Pool, and in words what they rest on."""
    own = knowledge.get(key, NOTHING_KNOWN)
    others = pooled(known for name, known in knowledge.items() if name != key)
    if own.exposure.hours + others.hours <= 0.0:
        return prior()
    usual = fitted(others, "") if others.hours > 0.0 else prior()
    weight = POOLED_FLIPS if others.hours > 0.0 else PRIOR_FLIPS
    return fitted(own.exposure, _source(own, others), usual, weight)


def _source(own: Known, others: Exposure) -> str:
    parts = []
    if own.exposure.hours > 0.0:
        parts.append(
            f"{own.exposure.hours:.0f} h of this pool, {own.exposure.flips:.0f} flips ({', '.join(own.sources)})"
        )
    if others.hours > 0.0:
        parts.append(f"{others.hours:.0f} h of other pools, {others.flips:.0f} flips")
    return " and ".join(parts)


def to_text(knowledge: Knowledge) -> str:
    """The file."""
    pools = {key: _plain(known) for key, known in sorted(knowledge.items())}
    return json.dumps({"format": FORMAT, "version": VERSION, "pools": pools}, indent=1) + "\n"


def _plain(known: Known) -> dict[str, Any]:
    exposure = {name: [round(x, 6) for x in getattr(known.exposure, name)] for name in FIELDS}
    day = {"day_up_h": [round(x, 6) for x in known.day.up_h], "day_h": [round(x, 6) for x in known.day.watched_h]}
    return {**exposure, **day, "sources": list(known.sources)}


def from_text(text: str, name: str) -> Knowledge:
    """What the file says. JobFileError, naming the file and the field, where it is none of ours, or of a newer version."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise JobFileError(name, "", text[:40], f"this is not JSON ({error})", REMEDY) from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        given = document.get("format") if isinstance(document, dict) else None
        raise JobFileError(name, "format", given, f"expected {FORMAT!r}", REMEDY)
    if document.get("version") != VERSION:
        remedy = "A newer nightspot wrote it: upgrade, or move the file away."
        raise JobFileError(name, "version", document.get("version"), f"expected {VERSION}", remedy)
    pools = document.get("pools")
    if not isinstance(pools, dict):
        raise JobFileError(name, "pools", repr(pools)[:40], "expected an object", REMEDY)
    return {str(key): _known(value, f"pools.{key}", name) for key, value in pools.items()}


def _known(value: Any, field: str, name: str) -> Known:
    if not isinstance(value, dict):
        raise JobFileError(name, field, repr(value)[:40], "expected an object", REMEDY)
    exposure = Exposure(*[_numbers(value, key, BUCKETS, field, name) for key in FIELDS])
    day = Day(_numbers(value, "day_up_h", HOURS, field, name), _numbers(value, "day_h", HOURS, field, name))
    sources = value.get("sources")
    if not isinstance(sources, list) or not all(isinstance(source, str) for source in sources):
        raise JobFileError(name, f"{field}.sources", repr(sources)[:40], "expected a list of words", REMEDY)
    return Known(exposure, day, tuple(sources))


def _numbers(value: Mapping[str, Any], key: str, count: int, field: str, name: str) -> tuple[float, ...]:
    given = value.get(key)
    numbers = given if isinstance(given, list) else []
    fine = [isinstance(x, (int, float)) and not isinstance(x, bool) and 0.0 <= x < 1e9 for x in numbers]
    if len(numbers) != count or not all(fine):
        raise JobFileError(
            name, f"{field}.{key}", repr(given)[:40], f"expected {count} numbers of zero or more", REMEDY
        )
    return tuple([float(x) for x in numbers])
