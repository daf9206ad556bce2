"""The user's program, run as the training toolkit would have run it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Sequence


def command(script: str, arguments: Sequence[str], code: Path) -> list[str]:
    """The toolkit's own rules: a shell script; else a module, where there is a setup.py; else a Python script; else a command.

    script: relative to `code`, the folder of the user's source, which is also the working directory.
    """
    if script.endswith(".sh"):
        return _shell(script, arguments, code)
    if (code / "setup.py").exists():
        return [sys.executable, "-m", script.removesuffix(".py"), *arguments]
    if script.endswith(".py"):
        return [sys.executable, script, *arguments]
    return _shell(script, arguments, code)


def _shell(script: str, arguments: Sequence[str], code: Path) -> list[str]:
    program = code / script
    if program.is_file():
        program.chmod(0o777)  # the toolkit does, and to our entry only
    return ["/bin/sh", "-c", " ".join([f"./{shlex.quote(script)}", *map(shlex.quote, arguments)])]
