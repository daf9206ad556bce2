"""How often to save: what a user may ask for, and what "auto" makes of a save's cost and the hazard. Pure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import Enum

from nightspot.checkpoint.durations import parse_duration
from nightspot.checkpoint.errors import ConfigError

LONGEST_S = 900.0
# Below ten seconds (of 15 minutes) nothing is won: an interruption costs minutes of start-up anyway.
SHORTEST_OF_LONGEST = 1 / 90
# Of training time, for saving. 1 % would be too little for saves of seconds on new capacity: there it loses more than it spares.
MOST_SHARE = 0.05
EXPECTED = 'expected "auto", a time ("30min"), steps ("500 steps") or units of work ("1 epoch")'
COUNTED = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]+)\s*", re.IGNORECASE | re.ASCII)
STEP_WORDS, UNIT_WORDS = ("step", "steps"), ("epoch", "epochs", "unit", "units")


class Kind(str, Enum):
    """What an interval counts: TIME in seconds, STEPS in calls of step(), UNITS in the job file's unit."""

    AUTO = "auto"
    TIME = "time"
    STEPS = "steps"
    UNITS = "units"


@dataclass(frozen=True, slots=True)
class Rule:
    """amount: seconds, steps or units; 0 for AUTO. A time of 0 saves at every step."""

    kind: Kind
    amount: float = 0.0

    @property
    def text(self) -> str:
        """As `parse` reads it: "auto", "500 steps", "2 units", "90s"."""
        if self.kind is Kind.AUTO:
            return "auto"
        word = "s" if self.kind is Kind.TIME else f" {self.kind.value}"
        return f"{self.amount:.15g}{word if self.kind is Kind.TIME or self.amount != 1 else word.removesuffix('s')}"


AUTO = Rule(Kind.AUTO)


def parse(value: str | float) -> Rule:
    """A number is seconds. Raises ConfigError, with a sentence, for what is no interval."""
    try:
        return _of_text(value) if isinstance(value, str) else _of_number(value)
    except ValueError as error:
        raise ConfigError(f"checkpoint interval {value!r}: {error}; {EXPECTED}") from None


def _of_number(value: object) -> Rule:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:  # NaN is not, either
        raise ValueError("expected seconds, 0 or more")
    return Rule(Kind.TIME, float(value))


def _of_text(text: str) -> Rule:
    if text.strip().lower() == "auto":
        return AUTO
    counted = COUNTED.fullmatch(text)
    word = counted[2].lower() if counted else ""
    if counted is None or word not in (*STEP_WORDS, *UNIT_WORDS):
        return _of_duration(text)
    amount = float(counted[1])
    if word in STEP_WORDS and (amount < 1 or amount != int(amount)):
        raise ValueError("steps are counted whole, from 1")
    if amount <= 0:
        raise ValueError("must be more than nothing")
    return Rule(Kind.STEPS if word in STEP_WORDS else Kind.UNITS, amount)


def _of_duration(text: str) -> Rule:
    seconds = parse_duration(text)
    if seconds <= 0:
        raise ValueError("must be longer than nothing")
    return Rule(Kind.TIME, seconds)


def young_s(cost_s: float, mean_s: float) -> float:
    """sqrt(2 C M): training time between two saves that cost C, with an interruption every M. First order, for C far below M.

    J. W. Young, A first order approximation to the optimum checkpoint interval, Communications of the ACM 17(9), 1974. Where the
    rate changes with age, the same with the rate of the moment: Y. Ling, J. Mi, X. Lin, A variational calculus approach to
    optimal checkpoint placement, IEEE Transactions on Computers 50(7), 2001.
    """
    return math.sqrt(2.0 * cost_s * mean_s) if cost_s > 0 else 0.0


def daly_s(cost_s: float, mean_s: float) -> float:
    """The same to a higher order, which holds while C < 2 M; from there on M itself.

    J. T. Daly, A higher order estimate of the optimum checkpoint interval for restart dumps, Future Generation Computer
    Systems 22(3), 2006, equation 37. How long a restart takes does not change it.
    """
    if cost_s >= 2.0 * mean_s:
        return mean_s
    ratio = cost_s / (2.0 * mean_s)
    return young_s(cost_s, mean_s) * (1.0 + math.sqrt(ratio) / 3.0 + ratio / 9.0) - cost_s


@dataclass(frozen=True, slots=True)
class Choice:
    """What "auto" takes, and which bound decided, in words ("" where the formula did)."""

    interval_s: float
    bound: str = ""


def choose(cost_s: float, save_s: float, mean_s: float, longest_s: float = LONGEST_S) -> Choice:
    """The interval for saves that cost `cost_s` of training and are durable after `save_s`, with an interruption every `mean_s`.

    Daly's, but not so short that saving takes more than 5 % of training time, and not below a ninetieth of `longest_s`; never
    longer than `longest_s`, which bounds what one interruption may lose, even where 5 % ask for more; and in any case not
    shorter than a save is in flight.
    """
    floors = {
        "": daly_s(cost_s, mean_s),
        "shorter would win nothing": longest_s * SHORTEST_OF_LONGEST,
        f"so that saving takes no more than {MOST_SHARE:.0%} of the time": cost_s / MOST_SHARE,
    }
    bound, interval_s = max(floors.items(), key=lambda one: one[1])
    if interval_s > longest_s:
        bound, interval_s = "longer would put too much work at stake", longest_s
    if save_s > interval_s:
        bound, interval_s = "a save is in flight for so long", save_s
    return Choice(interval_s, bound)
