"""The last drill of a job, as it is remembered: what came of it, and of which files and packages that is true.

HOME/drills/JOB.json: format, job, verdict, passed, hash, files {path: sha256}, dependencies {name: version}, command (sha256), request
(sha256), seed, cases {case: verdict}, finished_utc. The last one through the emulator stands by itself, in JOB.emulated.json.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Iterator, Mapping, Optional, Sequence

from nightspot.drill.record import Report, Verdict
from nightspot.drill.seen.artefacts import python_of
from nightspot.jobfile import JobFile
from nightspot.jobfile.fingerprint import code_files, of_result
from nightspot.jobfile.placeholders import expand
from nightspot.process.files import read_json, write_whole

FORMAT = 1
DRILLS = "drills"
MOST_FILES = 10_000
BLOCK_BYTES = 1 << 20
ASK_S = 30.0
LOCKS = ("requirements*.txt", "pyproject.toml", "setup.py", "uv.lock", "poetry.lock", "environment.y*ml")
NOT_CODE = ("__pycache__", "node_modules", "site-packages")
LIST_PACKAGES = "import json, importlib.metadata as m; print(json.dumps({d.metadata['Name']: d.version for d in m.distributions()}))"


@dataclass(frozen=True, slots=True)
class Standing:
    """The training files, by their path from where the command runs, and the packages of its Python, as they are now.

    command: digest of what the job and its drill run; of several programs in one folder it says which. request: the same of a training
    job's image, hyperparameters, channels and variables.
    """

    files: Mapping[str, str]
    dependencies: Mapping[str, str]
    command: str = ""
    request: str = ""

    @property
    def hash(self) -> str:
        """Hex SHA-256 of all that."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Proof:
    """A drill that was. passed: whether its exit code was 0, and it played what the job file asks for; emulated: as training jobs."""

    job: str
    verdict: str
    passed: bool
    standing: Standing
    seed: int
    cases: Mapping[str, str]
    finished_utc: float
    emulated: bool = False


def file_of(home: Path, job: str, *, emulated: bool = False) -> Path:
    """Where it is remembered."""
    return home / DRILLS / (f"{job}.emulated.json" if emulated else f"{job}.json")


def read(home: Path, job: str, *, emulated: bool = False) -> Optional[Proof]:
    """None where there was none, or nothing sensible is written there."""
    try:
        found = read_json(file_of(home, job, emulated=emulated))
        if not isinstance(found, dict) or found["format"] != FORMAT:
            return None
        words = str(found["command"]), str(found.get("request", ""))
        standing = Standing(dict(found["files"]), dict(found["dependencies"]), *words)
        rest = {key: found[key] for key in ("job", "verdict", "passed", "seed", "cases", "finished_utc")}
        return Proof(standing=standing, emulated=emulated, **rest)
    except (OSError, KeyError, TypeError, ValueError):
        return None


def write(home: Path, report: Report, standing: Standing, *, passed: bool, emulated: bool = False) -> None:
    """Remember it, in one step. OSError where that cannot be done.

    What passed adds to what an earlier drill proved of the very same training: a few cases, played once more, take nothing from it.
    """
    path, before = file_of(home, report.job, emulated=emulated), read(home, report.job, emulated=emulated)
    adds = passed and before is not None and before.passed and before.standing == standing
    earlier = before.cases if adds and before is not None else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "format": FORMAT,
        "job": report.job,
        "verdict": report.verdict.value,
        "passed": passed,
        "hash": standing.hash,
        **asdict(standing),
        "seed": report.seed,
        "cases": {**earlier, **{result.case.value: result.verdict.value for result in report.cases}},
        "finished_utc": report.finished_utc,
    }
    write_whole(path, document)


def passes(report: Report, *, allow_noise: bool) -> bool:
    """Whether resume is proven by it."""
    return report.verdict is Verdict.EXACT or (allow_noise and report.verdict is Verdict.WITHIN_NOISE)


def standing_of(job_file: JobFile, *, emulated: bool = False) -> Standing:
    """As it is now. JobFileError where a file of the code cannot be read. emulated: of what trains in the emulator, on our own Python."""
    digests = {name: _digest(path) for name, path in sorted(_files(job_file).items())}
    dependencies = _installed() if emulated else _dependencies(job_file)
    return Standing(digests, dependencies, _command(job_file, emulated=emulated), _request(job_file))


def _command(job_file: JobFile, *, emulated: bool) -> str:
    """As the file has them: no night changes them. Without the drill's own arguments, which make it shorter and no other program."""
    drilled = () if emulated else job_file.document.drill.command or ()
    return _hash([list(job_file.document.words), list(drilled)])


def _request(job_file: JobFile) -> str:
    """Of the jobs on SageMaker: what says there what the command says elsewhere."""
    return "" if job_file.template is None else _hash(of_result(job_file.template.request))


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def changed(before: Standing, now: Standing) -> list[str]:
    """What is another since then, in words; empty where nothing is."""
    files = sorted(set(before.files) | set(now.files))
    said = [_file_word(name, before, now) for name in files if before.files.get(name) != now.files.get(name)]
    if before.command != now.command:
        said.insert(0, "the command changed")
    if before.request != now.request:
        said.insert(0, "the request changed")
    names = sorted(set(before.dependencies) | set(now.dependencies))
    for name in names:
        old, new = before.dependencies.get(name), now.dependencies.get(name)
        if old != new:
            said.append(f"{name} was {old or 'not installed'} and is {new or 'gone'}")
    return said


def _file_word(name: str, before: Standing, now: Standing) -> str:
    if name not in now.files:
        return f"{name} is gone"
    return f"{name} changed" if name in before.files else f"{name} is new"


def _files(job_file: JobFile) -> dict[str, Path]:
    """What the job file names; else what the command names, and all of Python below its folder, and in what is trained on SageMaker. And
    what pins packages. By the names that they are remembered by."""
    document, directory = job_file.document, job_file.directory
    words = [*document.words, *(document.drill.command or ())]
    found = {path.relative_to(directory).as_posix(): path for path in _of_directory(job_file, words)}
    if document.training.code is None and document.emulator is not None and document.emulator.source is not None:
        source = (job_file.base / Path(document.emulator.source).expanduser()).resolve()
        if source.is_file():  # an archive
            found[f"source/{source.name}"] = source
        elif source != directory.resolve():
            inside = [*_python_below(source), *_locks(source)]
            found |= {f"source/{path.relative_to(source).as_posix()}": path for path in inside}
    return dict(sorted(found.items())[:MOST_FILES])


def _of_directory(job_file: JobFile, words: Sequence[str]) -> set[Path]:
    code, directory = job_file.document.training.code, job_file.directory
    found = set(code_files(words, code, directory, job_file.file))
    if code is None:
        found |= set(_python_below(directory))
    return found | _locks(directory)


def _locks(folder: Path) -> set[Path]:
    return {path for pattern in LOCKS for path in folder.glob(pattern) if path.is_file()}


def _python_below(folder: Path) -> Iterator[Path]:
    """Not in what is installed or hidden, nor where we may not look: a night is not refused for that."""
    for path in _inside(folder):
        if path.is_dir() and not path.is_symlink():
            if path.name[0] != "." and path.name not in NOT_CODE and not (path / "pyvenv.cfg").exists():
                yield from _python_below(path)
        elif path.suffix == ".py" and path.is_file():
            yield path


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            for block in iter(lambda: stream.read(BLOCK_BYTES), b""):
                digest.update(block)
    except OSError as error:
        return f"unreadable: {error.strerror}"
    return digest.hexdigest()


def _dependencies(job_file: JobFile) -> dict[str, str]:
    """Of the Python that trains."""
    document = job_file.document
    words = [word for word in document.drill.command or document.words if word]
    first = expand(words[0], {"python": sys.executable}, job_file.file, "command") if words[:1] == ["{python}"] else ""
    python = python_of([first or (words[0] if words else "")])
    if python == sys.executable:
        return _installed()
    try:
        done = subprocess.run([python, "-c", LIST_PACKAGES], capture_output=True, timeout=ASK_S, check=True)
        return {str(name): str(version) for name, version in json.loads(done.stdout).items()}
    except (OSError, ValueError, subprocess.SubprocessError):
        return {}


def _installed() -> dict[str, str]:
    """In our own Python."""
    return {str(one.metadata["Name"]): str(one.version) for one in metadata.distributions()}
