"""A save in the training's own process, which waits for it: file by file, with the memory of one file."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from nightspot.checkpoint import retention
from nightspot.checkpoint.arena import Arena
from nightspot.checkpoint.commit import commit
from nightspot.checkpoint.hand import Answer, Committed, Failed, Trouble
from nightspot.checkpoint.many import commit as many
from nightspot.checkpoint.order import Order
from nightspot.checkpoint.pieces import Filled, Part, Piece, rows
from nightspot.checkpoint.snapshot import ENTRIES, Plan, clear_gaps, texts_behind


class Inline:
    """A `Hand` that is done when `begin` returns."""

    def __init__(self) -> None:
        self._answers: deque[Callable[[], Answer | None]] = deque()
        self._bounce: Arena | None = None

    def prepare(self, pieces: Sequence[Piece], texts: Mapping[str, bytes]) -> None:
        """Nothing is needed."""

    def begin(self, order: Order, pieces: Sequence[Piece], texts: Mapping[str, bytes]) -> None:
        """The whole save. An error of the disk is an answer."""
        plan = Plan(pieces, order.rank)
        everything = {**texts, ENTRIES: plan.entries}
        parts = texts_behind(plan.end_bytes, everything)
        order = replace(order, parts=(*plan.parts(), *parts[:-1]), entries=parts[-1])
        try:
            act = commit if order.size == 1 else many.commit
            made = act(order, _Source(plan, pieces, everything, self._memory))
        except OSError as error:
            self._answers.append(partial(Failed, str(error)))
            return
        self._answers.append(partial(Committed, made.name, made.digest, made.size_bytes))
        self._answers.append(partial(_retain, order))

    def answer(self, patience_s: float) -> Answer | None:  # noqa: ARG002 - there is nothing to wait for
        """What became of it; then older checkpoints go."""
        while self._answers:
            if (said := self._answers.popleft()()) is not None:
                return said
        return None

    def silent_s(self) -> float:
        """Nothing is ever in flight."""
        return 0.0

    def give_up(self) -> None:
        """Nothing is ever in flight."""

    def hurry(self) -> None:
        """Nothing is ever in flight."""

    def close(self) -> None:
        """Let go of the memory."""
        self._bounce = None

    def _memory(self, size_bytes: int) -> Arena:
        if self._bounce is None or self._bounce.size_bytes < size_bytes:
            self._bounce = Arena.private(size_bytes)
        return self._bounce


class _Source:
    """The bytes of a part, made when they are asked for: training stands still meanwhile."""

    def __init__(
        self, plan: Plan, pieces: Sequence[Piece], texts: Mapping[str, bytes], memory: Callable[[int], Arena]
    ) -> None:
        self._texts, self._memory = texts, memory
        self._files = {filled.part.name: filled for filled in plan.files}
        self._rows = iter([row for piece in pieces for row in rows(piece)])  # files are asked for in their order

    def __call__(self, part: Part) -> memoryview:
        if part.name in self._texts:
            return memoryview(self._texts[part.name])
        from nightspot.checkpoint import _torch_memory

        memory = self._memory(part.size_bytes).memory
        places = self._files[part.name].places
        alone = Filled(Part(part.name, 0, part.size_bytes), places)
        clear_gaps(memory, [alone])
        _torch_memory.Copying(memory, [alone]).copy([next(self._rows) for _ in places])
        return memoryview(memory)[: part.size_bytes]


def _retain(order: Order) -> Trouble | None:
    try:
        retention.apply(order)
    except OSError as error:
        return Trouble(f"an old checkpoint could not be removed: {error}")
    return None
