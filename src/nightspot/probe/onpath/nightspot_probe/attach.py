"""Hooks into torch the moment a training has imported it: an import hook, and what to wrap in which module."""

from __future__ import annotations

import importlib.util
import sys
from importlib.abc import MetaPathFinder
from typing import Any, Callable, Mapping, Optional

from nightspot_probe import files, hooks
from nightspot_probe.lines import Lines
from nightspot_probe.watch import Watch

Attach = Callable[[Any], None]


class WhenImported(MetaPathFinder):
    """Calls back once a module of some name has been executed."""

    def __init__(self) -> None:
        self.wanted: dict[str, Attach] = {}

    def want(self, name: str, attach: Attach) -> None:
        """Now, if it is there already."""
        if name in sys.modules:
            attach(sys.modules[name])
        else:
            self.wanted[name] = attach

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:  # noqa: ARG002
        """Somebody else's spec, with our call behind its execution."""
        attach = self.wanted.pop(name, None)
        if attach is None:
            return None
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            self.wanted[name] = attach
            return None
        _call_after(spec.loader, attach)
        return spec


def _call_after(loader: Any, attach: Attach) -> None:
    execute = loader.exec_module

    def exec_module(module: Any) -> None:
        del loader.exec_module
        execute(module)
        attach(module)

    loader.exec_module = exec_module


def start(environment: Mapping[str, str]) -> None:
    """Wait for torch; watch the folders that the drill named."""
    lines = Lines(environment["NIGHTSPOT_PROBE"], environment)
    imports = WhenImported()
    sys.meta_path.insert(0, imports)
    told = files.Watched(lines, environment.get("NIGHTSPOT_PROBE_PATHS", ""))
    told.listen()
    imports.want("torch", lambda torch: _attach(torch, imports, Watch(torch, lines, environment), told))


def _attach(torch: Any, imports: WhenImported, watch: Watch, told: files.Watched) -> None:
    told.watch = watch
    _say_torch(torch, watch)
    for name, attach in hooks.BY_MODULE.items():
        imports.want(name, _guarded(watch, attach))


def _say_torch(torch: Any, watch: Watch) -> None:
    version: Optional[str] = getattr(torch, "__version__", None)
    watch.lines.say("torch", version=str(version), pid=watch.lines.pid)


def _guarded(watch: Watch, attach: Callable[[Watch, Any], None]) -> Attach:
    def guarded(module: Any) -> None:
        try:
            attach(watch, module)
        except Exception as error:
            watch.lines.say("fault", detail=f"{module.__name__}: {type(error).__name__}: {error}")

    return guarded
