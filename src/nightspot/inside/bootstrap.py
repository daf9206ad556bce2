"""The entry that the training toolkit runs in the place of the user's program. It travels as `nightspot_entry.py`, beside our wheel.

It stands alone: nothing of nightspot can be imported before it has put the wheel where imports find it. It prints nothing.
"""

from __future__ import annotations

import os
import sys

# The user's own modules may have any name, `subprocess` too. They are for the user's script: nothing here may import them by mistake.
# (os and sys are loaded before any of them could be.)
CODE = os.path.dirname(os.path.realpath(__file__))  # noqa: PTH120
sys.path[:] = [entry for entry in sys.path if entry and os.path.realpath(entry) != CODE]

import signal  # noqa: E402
import subprocess  # noqa: E402
from pathlib import Path  # noqa: E402

HERE = Path(CODE)

PIP_PATIENCE_S = 120.0
EXIT_CONFIG = 78


def main() -> int:
    """Run the user's program inside the wrapper; its exit code."""
    heard = []  # a SIGTERM in these first moments shall not kill us: that would look like a failure
    signal.signal(signal.SIGTERM, lambda number, _frame: heard.append(number))
    if sys.version_info < (3, 10):  # noqa: UP036 - this file alone is read by whatever Python the image has
        found = ".".join(map(str, sys.version_info[:2]))
        return _refuse("nightspot's wrapper needs Python 3.10, this image has " + found + ": set wrapper = false")
    try:
        where = _installed()
        sys.path.insert(0, where)
        from nightspot.inside.wrapper import run
    except Exception as error:  # whatever it is: nothing has been trained, and it must be said
        return _refuse("nightspot's wrapper cannot be set up: " + repr(error))
    return run(sys.argv[1:], code=HERE, packages=where, heard=heard)


def _base() -> Path:
    return Path(os.environ.get("SAGEMAKER_BASE_DIR") or "/opt/ml")


def _installed() -> str:
    """The folder, or the wheel itself, from which nightspot can be imported.

    A folder of its own: the image's packages stay as they are, and a read-only image will do.
    """
    wheel = next(HERE.glob("nightspot-*+inside-py3-none-any.whl"))
    site = _base() / ".nightspot" / "packages"
    command = [sys.executable, "-I", "-m", "pip", "--isolated", "--quiet", "--disable-pip-version-check"]
    # Compiled is what is imported, when it is: an instance is paid for by the second.
    command += ["install", "--no-compile", "--no-deps", "--no-index", "--upgrade", "--target", str(site), str(wheel)]
    quiet = subprocess.DEVNULL
    try:
        done = subprocess.run(
            command, check=False, stdin=quiet, stdout=quiet, stderr=quiet, cwd="/", timeout=PIP_PATIENCE_S
        )
    except (OSError, subprocess.SubprocessError):
        return str(wheel)
    return str(site) if done.returncode == 0 and (site / "nightspot").is_dir() else str(wheel)


def _refuse(why: str) -> int:
    failure = _base() / "output" / "failure"
    try:
        failure.parent.mkdir(parents=True, exist_ok=True)
        failure.write_text(why)
    except OSError:
        pass
    return EXIT_CONFIG


if __name__ == "__main__":
    sys.exit(main())
