"""The template's own settings, the clock, and the prices."""

from __future__ import annotations

import posixpath
from email.utils import parsedate_to_datetime
from typing import Iterator

from nightspot.backends.aws.asked import Asked
from nightspot.backends.aws.look import Case, fine, on_this_machine, unchecked
from nightspot.backends.aws.prices import PRICE_REGION, quote
from nightspot.backends.aws.trouble import ERRORS, headers_of, reason
from nightspot.jobfile import format_duration
from nightspot.jobfile.durations import about
from nightspot.night.ports import Finding

MODEL_DIR = "/opt/ml/model"
SKEW_MAX_S = 60.0
STOPPING = {"MaxRuntimeInSeconds": "max_run", "MaxWaitTimeInSeconds": "max_wait"}


def checkpoint_path(case: Case) -> Iterator[Finding]:
    """Checkpoints in SM_MODEL_DIR would all be packed into the model."""
    for path in dict.fromkeys(one.checkpoint_path for one in case.asked):
        plain = posixpath.normpath(path)
        if plain == MODEL_DIR or plain.startswith(f"{MODEL_DIR}/") or MODEL_DIR.startswith(f"{plain.rstrip('/')}/"):
            yield Finding(
                f"checkpoints lie in {path}, and the model in {MODEL_DIR}: each would be packed into the model",
                "Set CheckpointConfig.LocalPath to /opt/ml/checkpoints.",
                fatal=True,
            )
        else:
            yield fine(f"checkpoints lie in {path}, apart from the model")


def limits(case: Case) -> Iterator[Finding]:
    """Whether the template's own limits leave time for the work. They may only shorten what the deadline leaves."""
    for asked in case.asked:
        short = list(_short(case, asked))
        yield from short
        if not short:
            yield fine(f"the limits of the template leave pool {asked.pool.id} time for all the work")


def _short(case: Case, asked: Asked) -> Iterator[Finding]:
    needed_s = case.job.work.total_s / asked.pool.speed
    stopping = asked.request.get("StoppingCondition") or {}
    for field, name in STOPPING.items():
        given_s = stopping.get(field)
        if given_s is not None and float(given_s) < needed_s and (asked.spot or name == "max_run"):
            yield Finding(
                f"{name} ({field}) is {about(float(given_s))}, and the work takes {about(needed_s)} on pool {asked.pool.id}",
                f"Set it to {format_duration(needed_s)} at least, better to the whole window: nightspot ends an attempt in time by itself.",
            )


def clock(case: Case) -> Iterator[Finding]:
    """Ours against AWS's: deadlines are worked out from ours, and AWS refuses what is signed five minutes off."""
    before_utc = case.now_utc()
    try:
        answer = case.clients("sts", case.regions[0]).get_caller_identity()
    except ERRORS as error:
        if "date" not in headers_of(error):
            yield unchecked(f"this machine's clock cannot be compared with AWS's: {reason(error)}")
            return
        answer = error
    said = headers_of(answer).get("date")
    if said is None:
        yield unchecked("this machine's clock cannot be compared: the answer carries no date")
        return
    theirs_utc = parsedate_to_datetime(said).timestamp()
    skew_s = min((at_utc - theirs_utc for at_utc in (before_utc, case.now_utc())), key=abs)
    if abs(skew_s) > SKEW_MAX_S:
        which = "fast" if skew_s > 0 else "slow"
        remedy = "Set it, by NTP for example: the deadline is worked out from it, and AWS refuses what is signed 5 minutes off."
        yield Finding(f"this machine's clock is {about(abs(skew_s))} {which}, by AWS's", remedy)
    else:
        yield fine("this machine's clock agrees with AWS's within a minute")


def prices(case: Case) -> Iterator[Finding]:
    """Who says what each Pool costs, and since when."""
    unknown = []
    for asked in case.asked:
        pool, now_utc = asked.pool, case.now_utc()
        if pool.options.get("price_known", True):
            yield fine(f"pool {pool.id} costs {pool.price_usd_per_hour:g} USD an hour, by the job file")
            continue
        found = quote(pool, case.job, case.clients, case.home, now_utc)
        if found is None:
            unknown.append(pool.id)
        else:
            age = "" if found.as_of_utc is None else f", {about(max(0.0, now_utc - found.as_of_utc))} old"
            yield fine(f"pool {pool.id} costs about {found.usd_per_hour:.4g} USD an hour ({found.source}{age})")
    if unknown:
        yield _no_price(case, unknown)


def _no_price(case: Case, pools: list[str]) -> Finding:
    which = f"pool {pools[0]} costs" if len(pools) == 1 else f"the pools {', '.join(pools)} cost"
    said = f"what {which} is not known: the bill cannot be told"
    if on_this_machine(case.clients("pricing", PRICE_REGION)):
        said += ". An emulator has no price list"
    return unchecked(said, "Give `price` in [[pools]].")
