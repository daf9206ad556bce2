"""Where a night is shown: live on a terminal, as plain lines elsewhere, or not at all."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Callable, Iterator, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from nightspot.model.events import Event
from nightspot.report.lines import Narrator
from nightspot.report.live import View, live

REFRESHES_PER_SECOND = 4


class Screen(Protocol):
    """An audience that hears Events, too."""

    def hear(self, event: Event) -> None:
        """One Event, once it is in the Journal."""
        ...

    def recall(self, event: Event) -> None:
        """One Event of long ago: a night that is gone on with is not told again."""
        ...

    def show(self, view: View) -> None:
        """How things stand now."""
        ...

    def say(self, sentence: str) -> None:
        """Something beside the Events."""
        ...

    def ask(self, question: str) -> None:
        """Show a question; its answer comes from elsewhere."""
        ...


@dataclass(slots=True)
class PlainLines:
    """One line for each Event worth hearing. Questions go to `asking`, where somebody sits."""

    console: Console
    asking: Console
    narrator: Narrator = field(default_factory=Narrator)

    def hear(self, event: Event) -> None:
        """See Screen."""
        line = self.narrator.tell(event)
        if line is not None:
            self.say(line)

    def recall(self, event: Event) -> None:
        """See Screen: later sentences need to know."""
        self.narrator.tell(event)

    def show(self, view: View) -> None:
        """See Screen: lines tell only what changes."""

    def say(self, sentence: str) -> None:
        """See Screen."""
        self.console.print(Text(sentence), soft_wrap=True)

    def ask(self, question: str) -> None:
        """See Screen."""
        self.asking.print(Text(question), soft_wrap=True)


@dataclass(slots=True)
class Nobody:
    """Watches nothing."""

    def hear(self, event: Event) -> None:
        """See Screen."""

    def recall(self, event: Event) -> None:
        """See Screen."""

    def show(self, view: View) -> None:
        """See Screen."""

    def say(self, sentence: str) -> None:
        """See Screen."""

    def ask(self, question: str) -> None:
        """See Screen."""


@dataclass(slots=True)
class LiveScreen:
    """The live view, drawn again a few times each second, its countdown by `now_utc`."""

    console: Console
    now_utc: Callable[[], float] = lambda: 0.0
    view: View | None = None
    said: list[str] = field(default_factory=list)

    def hear(self, event: Event) -> None:
        """See Screen: the view shows it."""

    def recall(self, event: Event) -> None:
        """See Screen."""

    def show(self, view: View) -> None:
        """See Screen."""
        self.view = view

    def say(self, sentence: str) -> None:
        """See Screen: kept below the view, the latest few."""
        self.said = [*self.said, sentence][-3:]

    def ask(self, question: str) -> None:
        """See Screen: the view shows it for as long as it waits for an answer."""

    def picture(self) -> Group:
        """What is drawn now."""
        said = [Text(sentence, "yellow") for sentence in self.said]
        if self.view is None:
            return Group(Text("looking ..."), *said)
        return Group(live(self.view, max(self.now_utc(), self.view.at_utc), self.console.width), *said)

    @contextmanager
    def drawn(self) -> Iterator[None]:
        """Draw until the end of the block."""
        with Live(
            get_renderable=self.picture,
            console=self.console,
            refresh_per_second=REFRESHES_PER_SECOND,
            transient=True,
        ):
            yield
