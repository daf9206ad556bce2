"""The texts of the emulator's options, made into settings. EmulatorOptionError, in one sentence, for one that makes no sense."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Iterable

from nightspot.emulator.errors import EmulatorOptionError
from nightspot.emulator.settings import Faults, Weather
from nightspot.errors import JobFileError
from nightspot.jobfile.durations import parse_duration
from nightspot.market import parse_trace
from nightspot.model.capacity import Market

SPECS = "always, never, generator:SEED, or the path of a trace"
INSTANCE_TYPE = re.compile(r"ml\.[a-z0-9-]+\.[a-z0-9]+")
RATES = ("throttle", "internal", "lost", "slow", "internal-error")
FAULTS = "throttle=RATE, internal=RATE, lost=RATE, slow=RATE, internal-error=RATE, no-signal, no-sync=N, seed=N"
Pool = tuple[str, Market]


def weather(spec: str) -> Weather:
    """A SPEC of capacity. A trace is read, and checked, here."""
    if spec in ("always", "never"):
        return Weather(spec)
    kind, _, seed = spec.partition(":")
    if kind == "generator":
        return Weather("generator", seed=_whole("--market", spec, seed))
    try:
        text = Path(spec).read_text()
        parse_trace(text, spec)
    except (OSError, UnicodeDecodeError):
        raise EmulatorOptionError(f"--market {spec}: there is no such trace to read. A capacity is {SPECS}") from None
    except JobFileError as error:
        raise EmulatorOptionError(f"--market {spec}: {error}") from None
    return Weather("trace", name=spec, trace_text=text)


def markets(texts: Iterable[str]) -> tuple[Weather, dict[Pool, Weather]]:
    """`SPEC`, for all Spot pools, and `TYPE[:spot|:on-demand]=SPEC`, for one."""
    everywhere, single = Weather("always"), {}
    for text in texts:
        name, _, spec = text.partition("=")
        if name.startswith("ml.") and spec:
            single[pool("--market", text, name)] = weather(spec)
        else:
            everywhere = weather(text)
    return everywhere, single


def pool(option: str, text: str, name: str) -> Pool:
    """`ml.g5.xlarge`, meaning Spot, or `ml.g5.xlarge:on-demand`."""
    instance_type, _, market = name.partition(":")
    if not INSTANCE_TYPE.fullmatch(instance_type) or market not in ("", "spot", "on-demand"):
        raise EmulatorOptionError(
            f"{option} {text}: expected an instance type such as ml.g5.xlarge, with :spot or :on-demand"
        )
    _refuse_unknown(option, text, instance_type)
    return instance_type, Market(market or "spot")


def _refuse_unknown(option: str, text: str, instance_type: str) -> None:
    """A type that boto3 does not know can be asked of no emulator: its requests are held against the same model."""
    try:
        from nightspot.backends.aws.instancetypes import did_you_mean, known_types
    except ImportError:
        return  # without boto3 there will be no emulator, which is said in a moment
    if instance_type not in known_types():
        hint = did_you_mean(instance_type).strip()
        said = f"{option} {text}: this boto3 knows no training instance type {instance_type}"
        raise EmulatorOptionError(f"{said}. {hint}" if hint else said)


def quotas(texts: Iterable[str]) -> dict[Pool, int]:
    """`TYPE:MARKET=N`."""
    found = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not value or ":" not in name:
            raise EmulatorOptionError(f"--quota {text}: expected TYPE:spot=N or TYPE:on-demand=N")
        found[pool("--quota", text, name)] = _whole("--quota", text, value)
    return found


def factors(texts: Iterable[str]) -> tuple[float | None, dict[str, float]]:
    """`F`, for all Spot pools (None: not given), and `TYPE=F`, for one."""
    everywhere: float | None = None
    single: dict[str, float] = {}
    for text in texts:
        name, _, value = text.rpartition("=")
        if name:
            single[pool("--spot-factor", text, name)[0]] = _rate("--spot-factor", text, value)
        else:
            everywhere = _rate("--spot-factor", text, value)
    return everywhere, single


def faults(text: str) -> Faults:
    """A comma list. What stands twice counts as it stands last."""
    found: dict[str, float | int | bool] = {}
    for word in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = word.partition("=")
        if name in RATES and equals:
            found[name] = _rate("--faults", word, value)
        elif name in ("no-sync", "seed") and equals:
            found[name] = _whole("--faults", word, value)
        elif word == "no-signal":
            found[word] = True
        else:
            raise EmulatorOptionError(f"--faults {word}: {_no_fault(name)}")
    return Faults(**{name.replace("-", "_"): value for name, value in found.items()})  # type: ignore[arg-type]


def _no_fault(name: str) -> str:
    if name in RATES:
        return f"it needs a rate, a number from 0 to 1: {name}=0.05"
    if name in ("no-sync", "seed"):
        return f"it needs a whole number from 0: {name}=3"
    if name == "no-signal":
        return "it takes no value"
    return f"there is no such fault. Known are: {FAULTS}"


def interval(option: str, text: str) -> float:
    """Seconds, and more than none."""
    found_s = duration(option, text)
    if found_s <= 0:
        raise EmulatorOptionError(f"{option} {text}: expected a duration above 0, such as 60s")
    return found_s


def duration(option: str, text: str) -> float:
    """Seconds."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise EmulatorOptionError(f"{option} {text}: {error}. A duration is 90s, 5min, 1h30min") from None


def _whole(option: str, text: str, value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise EmulatorOptionError(f"{option} {text}: expected a whole number from 0, not {value!r}")
    return int(value)


def _rate(option: str, text: str, value: str) -> float:
    try:
        rate = float(value)
    except ValueError:
        rate = -1.0
    if not 0.0 <= rate <= 1.0:
        raise EmulatorOptionError(f"{option} {text}: expected a number from 0 to 1, not {value!r}")
    return rate
