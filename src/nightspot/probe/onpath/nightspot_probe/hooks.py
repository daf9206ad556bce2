"""What is wrapped in which module of torch. Each wrapper calls the original with the same arguments and returns what that returned."""

from __future__ import annotations

import functools
import os
import random
from typing import Any, Callable, Optional

from nightspot_probe.watch import Watch

Before = Callable[..., None]


def wrap(holder: Any, name: str, before: Optional[Before] = None, after: Optional[Before] = None) -> None:
    """Put a wrapper in the place of `holder.name`. `before` gets the arguments, `after` the result and then the arguments."""
    original = getattr(holder, name)

    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if before is not None:
            before(*args, **kwargs)
        result = original(*args, **kwargs)
        if after is not None:
            after(result, *args, **kwargs)
        return result

    setattr(holder, name, wrapper)


def torch_itself(watch: Watch, torch: Any) -> None:
    """Losses, seeds and files."""
    wrap(torch.autograd, "backward", lambda tensors=None, *_a, **_k: watch.see(watch.backward, tensors))
    wrap(torch, "manual_seed", lambda seed=None, *_a, **_k: watch.see(watch.touch, "seed", None, f"torch: {seed}"))
    wrap(torch, "set_rng_state", lambda *_a, **_k: watch.see(watch.touch, "random", None, "torch"))
    wrap(random, "seed", lambda *a, **_k: watch.see(watch.touch, "seed", None, f"random: {a[0] if a else None}"))
    wrap(random, "setstate", lambda *_a, **_k: watch.see(watch.touch, "random", None, "python"))
    _saving(watch, torch)
    _loading(watch, torch)
    modules(watch, torch.nn.Module)


def numpy_random(watch: Watch, module: Any) -> None:
    """Seeds and states of numpy's global stream."""
    wrap(module, "seed", lambda *a, **_k: watch.see(watch.touch, "seed", None, f"numpy: {a[0] if a else None}"))
    wrap(module, "set_state", lambda *_a, **_k: watch.see(watch.touch, "random", None, "numpy"))


def _saving(watch: Watch, torch: Any) -> None:
    def before(_obj: Any = None, f: Any = None, *_a: Any, **_k: Any) -> None:
        watch.see(watch.touch, "save", f)

    def after(_result: Any, _obj: Any = None, f: Any = None, *_a: Any, **_k: Any) -> None:
        watch.see(watch.touch, "saved", f)

    wrap(torch, "save", before, after)
    torch.serialization.save = torch.save


def _loading(watch: Watch, torch: Any) -> None:
    original = torch.load

    @functools.wraps(original)
    def load(f: Any = None, *args: Any, **kwargs: Any) -> Any:
        try:
            result = original(f, *args, **kwargs)
        except Exception as error:
            watch.see(watch.touch, "load", f, f"failed: {type(error).__name__}: {error}"[:300])
            raise
        watch.see(watch.touch, "load", f)
        return result

    torch.load = torch.serialization.load = load


def modules(watch: Watch, module: Any) -> None:
    """States loaded into modules; and, for scripts without a loader, what goes into the outermost one."""
    _state_loading(watch, module, "module")
    original, inside, torch = module.__call__, [False], watch.torch

    @functools.wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if inside[0] or torch.compiler.is_compiling() or not torch.is_grad_enabled():
            return original(self, *args, **kwargs)
        inside[0] = True
        try:
            watch.see(watch.went_in, (args, kwargs))
            return original(self, *args, **kwargs)
        finally:
            inside[0] = False

    module.__call__ = call

    def first_step(loaders: bool) -> None:  # noqa: FBT001
        if loaders and module.__call__ is call:
            module.__call__ = original
        watch.touch("flags", None, flags(torch))

    watch.on_first_step = first_step


def flags(torch: Any) -> str:
    """What decides whether the same input gives the same bits."""
    cuda = torch.cuda.is_available() and torch.cuda.is_initialized()
    said = {
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "threads": torch.get_num_threads(),
        "cuda": cuda,
        "benchmark": bool(torch.backends.cudnn.benchmark),
        "cublas": os.environ.get("CUBLAS_WORKSPACE_CONFIG", "-"),
        "hashseed": os.environ.get("PYTHONHASHSEED", "-"),
    }
    return " ".join(f"{name}={value}" for name, value in said.items())


def _state_loading(watch: Watch, holder: Any, kind: str) -> None:
    def before(self: Any, *_a: Any, **_k: Any) -> None:
        watch.see(watch.touch, "load_state_dict", None, f"{kind}: {type(self).__name__}")

    wrap(holder, "load_state_dict", before)


def optimizers(watch: Watch, module: Any) -> None:
    """Every optimizer's steps, by torch's own global hooks."""
    _state_loading(watch, module.Optimizer, "optimizer")

    def after(optimizer: Any, _args: Any, _kwargs: Any) -> None:
        watch.see(watch.after_step, optimizer)
        watch.wait_if_due()

    def before(optimizer: Any, _args: Any, _kwargs: Any) -> None:
        watch.see(watch.before_step, optimizer)

    module.register_optimizer_step_pre_hook(before)
    module.register_optimizer_step_post_hook(after)


def schedulers(watch: Watch, module: Any) -> None:
    """Made, and states loaded. Several classes have a `load_state_dict` of their own."""
    base = module.LRScheduler

    def made(self: Any, *_a: Any, **_k: Any) -> None:
        watch.see(watch.touch, "scheduler", None, type(self).__name__)

    wrap(base, "__init__", made)
    for one in {base, *(value for value in vars(module).values() if isinstance(value, type))}:
        if issubclass(one, base) and "load_state_dict" in vars(one):
            _state_loading(watch, one, "scheduler")


def loaders(watch: Watch, module: Any) -> None:
    """What iterators of torch.utils.data hand out, and where loaders are made."""
    iterator = module._BaseDataLoaderIter  # noqa: SLF001 - no public name is shared by all loaders
    _handing_out(watch, iterator)
    _made(watch, module.DataLoader)


def stateful_loaders(watch: Watch, module: Any) -> None:
    """torchdata's, which shares the iterators' base with torch's, but not the loader's."""
    for one in vars(module).values():
        if isinstance(one, type) and one.__module__ == module.__name__ and "__next__" in vars(one):
            _handing_out(watch, one)
    loader = module.StatefulDataLoader
    _made(watch, loader)
    _state_loading(watch, loader, "loader")


def snapshots(watch: Watch, module: Any) -> None:
    """The moment at which nightspot.checkpoint takes what it then saves in the background."""
    wrap(module, "capture", lambda *_a, **_k: watch.see(watch.touch, "snapshot"))


def _handing_out(watch: Watch, iterator: Any) -> None:
    """One batch counts once, also where a class calls its base's."""
    original = iterator.__next__

    @functools.wraps(original)
    def following(self: Any) -> Any:
        if watch.handing_out:
            return original(self)
        watch.handing_out = True
        try:
            batch = original(self)
        finally:
            watch.handing_out = False
        watch.see(watch.handed_out, batch)
        return batch

    iterator.__next__ = following


def scalers(watch: Watch, module: Any) -> None:
    """Losses before they are scaled."""
    wrap(module.GradScaler, "scale", lambda _self, outputs=None, *_a, **_k: watch.see(watch.scaled, outputs))


def _made(watch: Watch, loader: Any) -> None:
    def after(_none: Any, self: Any, *_a: Any, **_k: Any) -> None:
        shuffles = type(getattr(self, "sampler", None)).__name__ == "RandomSampler"
        seeded = getattr(self, "generator", None) is not None
        said = f"shuffle={shuffles} workers={self.num_workers} generator={seeded}"
        watch.see(watch.touch, "loader", None, f"{type(self).__name__}: {said}")

    wrap(loader, "__init__", after=after)


BY_MODULE: dict[str, Callable[[Watch, Any], None]] = {
    "torch": torch_itself,
    "torch.optim.optimizer": optimizers,
    "torch.optim.lr_scheduler": schedulers,
    "torch.utils.data.dataloader": loaders,
    "torchdata.stateful_dataloader.stateful_dataloader": stateful_loaders,
    "torch.amp.grad_scaler": scalers,
    "numpy.random": numpy_random,
    "nightspot.checkpoint.capture": snapshots,
}
