"""`nightspot run --emulate`: a SageMaker of this machine beside the controller, for one night.

Emulated nights live in a home of their own, HOME/emulated: they must neither be taken for tonight's run nor teach it anything. The emulator
outlives a controller that is killed, so that its training does, too; the next controller of that Run finds it by `endpoint.json`.
One that nobody noted, for its controller was killed too early, has a state folder of its own and no jobs, and is taken down by the next.
"""

from __future__ import annotations

import os
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping

import psutil

from nightspot.cli.home import EMULATED, Home
from nightspot.emulator.clients import REGION, environment
from nightspot.emulator.errors import EmulatorError, EmulatorOptionError
from nightspot.emulator.launch import launch
from nightspot.emulator.options import markets
from nightspot.emulator.seed import furnish
from nightspot.errors import JobFileError
from nightspot.jobfile import JobFile
from nightspot.jobfile.emulatortable import ALL_SPOT, EmulatorTable
from nightspot.jobfile.plan import PlannedNight
from nightspot.model.job import Job
from nightspot.model.state import RunState
from nightspot.process.files import read_json, write_whole
from nightspot.process.identity import identify
from nightspot.process.loss import identity_in

ENDPOINT = "endpoint.json"
# Real seconds from now until market time begins, so that the emulator is there when it does.
AHEAD_REAL_S = 8.0
STOP_REAL_S = 60.0
IDLE_EXIT = "10min"
DEFAULT_MARKET = "generator:7"


@dataclass(frozen=True, slots=True)
class Anchor:
    """Market time was `market_utc` at the real time `real_utc`."""

    market_utc: float
    real_utc: float
    time_scale: float


def emulated_home(home: Home) -> Home:
    """The home of emulated nights."""
    return Home(home.path / EMULATED)


def check_emulated(job_file: JobFile) -> None:
    """JobFileError where there is nothing to emulate, or [emulator] names what is not there."""
    if job_file.document.sagemaker is None:
        remedy = "Leave --emulate out: local pools play on this machine anyway."
        raise JobFileError(
            job_file.file, "sagemaker", None, "--emulate plays a job whose pools are on SageMaker", remedy
        )
    table = job_file.document.emulator or EmulatorTable()
    paths = {f"data.{name}": path for name, path in table.data.items()}
    paths |= {} if table.source is None else {"source": table.source}
    for key, path in paths.items():
        if not (job_file.base / Path(path).expanduser()).exists():
            expected, remedy = "there is no such file or folder", "Write it from the job file's own folder."
            raise JobFileError(job_file.file, f"emulator.{key}", path, expected, remedy)
    _check_channels(job_file, table)
    try:
        markets(words(job_file)[1::2][: len({ALL_SPOT, *table.market})])
    except EmulatorOptionError as error:
        raise JobFileError(job_file.file, "emulator.market", table.market, str(error), "Correct it.") from None


def _check_channels(job_file: JobFile, table: EmulatorTable) -> None:
    request = job_file.template.request if job_file.template is not None else {}
    known = {str(one.get("ChannelName")) for one in request.get("InputDataConfig") or ()}
    for name in table.data:
        if name not in known:
            expected = f"the request has no such channel; it has: {', '.join(sorted(known)) or 'none'}"
            raise JobFileError(job_file.file, f"emulator.data.{name}", table.data[name], expected, "Correct the name.")


def start(home: Home, job_file: JobFile, plan: PlannedNight) -> float:
    """The emulator of a new night, furnished. Returns the real time of its anchor: the night begins then. EmulatorError if it cannot be."""
    scaled = plan.job.time_scale != 1
    real_utc = time.time() + (AHEAD_REAL_S if scaled else 0.0)
    anchor = Anchor(plan.market_now_utc if scaled else real_utc, real_utc, plan.job.time_scale)
    folder = folder_of(home, plan.run_id)
    end(home, plan.run_id)  # a controller that was killed before it opened the Run may have left one
    try:
        url = _launched(folder, secrets.token_hex(4), plan.job, anchor, words(job_file))
        furnish_all(url, job_file, plan.job)
    except BaseException:
        end(home, plan.run_id)
        raise
    time.sleep(max(0.0, real_utc - time.time()))
    return real_utc


def attach(home: Home, state: RunState) -> None:
    """Where that Run was emulated: talk to its emulator, started again where it is gone. Otherwise nothing."""
    folder = folder_of(home, state.run_id)
    if not folder.exists() or taken_down(home, state):
        return
    known = read_json(folder / ENDPOINT)
    if known is not None and _answers(known):
        talk_to(str(known["url"]), state.job)
        return
    if known is None:
        raise EmulatorError(f"{folder} does not say where the emulator of {state.run_id} keeps its state")
    anchor = Anchor(state.opened_utc, state.anchor_real_utc, state.job.time_scale)
    _launched(folder, str(known["state"]), state.job, anchor, list(known["words"]))


def taken_down(home: Home, state: RunState) -> bool:
    """Whether that Run was emulated and is over, and its emulator with it: there is nobody left to ask."""
    folder = folder_of(home, state.run_id)
    return folder.exists() and state.outcome is not None and not _answers(read_json(folder / ENDPOINT))


def _answers(known: object) -> bool:
    identity = identity_in(known)
    return identity is not None and identity.alive()


def end(home: Home, run_id: str) -> None:
    """Take it down, and any that nobody noted. What they kept stays, for whoever wants to look."""
    ours = [process for process in psutil.process_iter() if _emulates(process, folder_of(home, run_id))]
    for process in ours:
        with suppress(psutil.Error):
            process.terminate()
    _, left = psutil.wait_procs(ours, STOP_REAL_S)
    for process in left:
        with suppress(psutil.Error):
            process.kill()


def _emulates(process: psutil.Process, folder: Path) -> bool:
    """Whether it is an emulator whose state lies in that folder."""
    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    return "emulate" in words and any(word.startswith(f"{folder}/") for word in words)


def folder_of(home: Home, run_id: str) -> Path:
    """What is known of it: `endpoint.json`, and the state beside it."""
    return home.path / "runs" / f"{run_id}.emulator"


def words(job_file: JobFile) -> list[str]:
    """The options of `nightspot emulate`, as the job file has them; its traces count from its folder."""
    table = job_file.document.emulator or EmulatorTable()
    market = {ALL_SPOT: DEFAULT_MARKET, **table.market}
    given = [_market(name, spec, job_file.base) for name, spec in market.items()]
    return [word for spec in given for word in ("--market", spec)] + list(table.options)


def _market(name: str, spec: str, base: Path) -> str:
    known = spec in ("always", "never") or spec.startswith("generator:")
    spec = spec if known else str(base / Path(spec).expanduser())
    return spec if name == ALL_SPOT else f"{name}={spec}"


def _launched(folder: Path, state: str, job: Job, anchor: Anchor, options: list[str]) -> str:
    clock = ["--anchor-market-utc", repr(anchor.market_utc), "--anchor-real-utc", repr(anchor.real_utc)]
    clock += ["--time-scale", repr(anchor.time_scale), "--idle-exit", IDLE_EXIT]
    launched = launch(folder / state, [*clock, *options], owned=False)
    identity = identify(launched.pid)
    if identity is None:
        raise EmulatorError(f"the emulator ended at once; see {launched.log}")
    document = {**identity.as_json(), "url": launched.endpoint_url, "state": state, "words": options}
    write_whole(folder / ENDPOINT, document)
    talk_to(launched.endpoint_url, job)
    return launched.endpoint_url


def talk_to(url: str, job: Job) -> None:
    """From here on, every AWS client of this process talks to it, and nobody's own credentials are used."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(environment(url, region_of(job)))


def region_of(job: Job) -> str:
    """The first that a Pool names."""
    named = [str(pool.options.get("region") or "") for pool in job.pools]
    return next((region for region in named if region), REGION)


def furnish_all(url: str, job_file: JobFile, job: Job) -> None:
    """Put into that emulator what the job's request expects in AWS, as [emulator] says. EmulatorError for what cannot be had."""
    table = job_file.document.emulator or EmulatorTable()
    options: Mapping[str, object] = job.pools[0].options
    request = options["request"]
    if not isinstance(request, Mapping):
        raise EmulatorError("the job has no request")
    source = job_file.base / Path(table.source).expanduser() if table.source is not None else None
    data = {name: job_file.base / Path(path).expanduser() for name, path in table.data.items()}
    more = [str(options[key]) for key in ("checkpoints", "output") if str(options.get(key) or "").startswith("s3://")]
    furnish(url, region_of(job), request, more, source, data)
