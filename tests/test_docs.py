"""The documentation says what there is, and nothing else."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Iterator

import pytest
import typer

from nightspot.cli.app import app
from nightspot.cli.checkpointfacts import Listed, Pruned, Shown, Tensor, Verified
from nightspot.errors import ExitCode
from nightspot.model.facts import AttemptFacts, DecisionFacts, Remark, RunFacts
from nightspot.report.market import MarketRow
from nightspot.report.tables import Standing
from nightspot.report.why import BeliefRow, ChoiceRow, Why

ROOT = Path(__file__).parent.parent
CLI = (ROOT / "docs/reference/cli.md").read_text()
CODES = (ROOT / "docs/reference/exit-codes.md").read_text()
PAGES = sorted([*ROOT.glob("docs/**/*.md"), *ROOT.glob("*.md"), *ROOT.glob("examples/**/*.md")])
GROUP = typer.main.get_command(app)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE_BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def commands() -> dict[str, typer.core.TyperCommand]:
    """By the words that one types: those of a group have two."""
    found: dict[str, typer.core.TyperCommand] = {}
    for name, command in GROUP.commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", {})
        found |= {f"{name} {word}": one for word, one in inner.items()} if inner else {name: command}
    return found


def options_of(command: object) -> set[str]:
    """All spellings of its options."""
    found: set[str] = set()
    for parameter in command.params:  # type: ignore[attr-defined]
        if parameter.param_type_name == "option":
            found |= {*parameter.opts, *parameter.secondary_opts}
    return found


def section(name: str) -> str:
    """What cli.md says of one command."""
    found = re.search(rf"^## `nightspot {name}\b.*?(?=^## |\Z)", CLI, re.MULTILINE | re.DOTALL)
    assert found, f"cli.md has no section on {name}"
    return found[0]


@pytest.mark.parametrize("name", sorted(commands()))
def test_each_command_and_all_its_options_are_documented_and_no_other(name: str) -> None:
    documented = set(
        re.findall(r"`(--?[a-z][a-z-]*)", "".join(re.findall(r"^\| (.*?) \|", section(name), re.MULTILINE)))
    )
    assert documented == options_of(commands()[name]) - {"--help"}


def test_the_global_options_are_documented() -> None:
    table = CLI.partition("## Options of nightspot itself")[2].partition("\n## ")[0]
    assert set(re.findall(r"`(--[a-z]+)", "".join(re.findall(r"^\| (.*?) \|", table, re.MULTILINE)))) == {
        *options_of(GROUP),
        "--help",
    }


def test_no_command_is_documented_that_does_not_exist() -> None:
    assert set(re.findall(r"^## `nightspot ([a-z]+(?: [a-z]+)*)", CLI, re.MULTILINE)) == set(commands())


@pytest.mark.parametrize("name", sorted(commands()))
def test_each_commands_help_explains_why_and_shows_an_example(name: str) -> None:
    text = commands()[name].help or ""
    assert len(text.split("\n\n")) >= 3
    assert f"Example: nightspot {name}" in text


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_page_shows_a_command_or_an_option_that_does_not_exist(path: Path) -> None:
    for name, rest in shown_commands(path.read_text()):
        assert name in commands(), f"{path.name}: nightspot {name}"
        unknown = set(re.findall(r"(?<!\S)(--[a-z-]+)", rest)) - options_of(commands()[name]) - options_of(GROUP)
        assert not unknown - {"--help"}, f"{path.name}: nightspot {name} {unknown}"


def shown_commands(text: str) -> Iterator[tuple[str, str]]:
    """(command, what follows) wherever a page shows one, in a block or in a line."""
    spans = [line for block in CODE_BLOCK.findall(text) for line in block.splitlines()]
    spans += re.findall(r"`([^`\n]+)`", CODE_BLOCK.sub("", text))
    for span in spans:
        found = re.match(r"(?:\$ |\S*/)?nightspot (?!itself)([a-z]+)(.*)", span.strip())
        inner = re.match(r" ([a-z]+)\b(.*)", found[2]) if found else None
        if found and inner and f"{found[1]} {inner[1]}" in commands():
            yield f"{found[1]} {inner[1]}", inner[2]
        elif found and not any(name.startswith(f"{found[1]} ") for name in commands()):
            yield found[1], found[2]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_between_pages_leads_somewhere(path: Path) -> None:
    for target in LINK.findall(CODE_BLOCK.sub("", path.read_text())):
        if "://" not in target and not target.startswith("#"):
            assert (path.parent / target.partition("#")[0]).exists(), f"{path}: {target}"


def test_the_exit_codes_are_documented_each_with_its_name() -> None:
    rows = re.findall(r"^\| (\d+) \| `([A-Z_]+)` \|", CODES, re.MULTILINE)
    assert {int(code): name for code, name in rows} == {code.value: code.name for code in ExitCode}
    assert len(rows) == len(ExitCode)


@pytest.mark.parametrize(
    "kind",
    [
        RunFacts,
        AttemptFacts,
        DecisionFacts,
        Remark,
        Standing,
        Listed,
        Shown,
        Tensor,
        Verified,
        Pruned,
        MarketRow,
        Why,
        ChoiceRow,
        BeliefRow,
    ],
)
def test_every_key_of_the_json_is_documented(kind: type) -> None:
    words = set(re.findall(r"[a-z][a-z0-9_]*", " ".join(re.findall(r"`([^`\n]+)`", CODE_BLOCK.sub("", CLI)))))
    assert {field.name for field in dataclasses.fields(kind)} <= words


def test_no_page_names_a_path_of_the_machine_it_was_written_on() -> None:
    for path in PAGES:
        assert not re.search(r"/(work|home/[a-z]|root|tmp)/", path.read_text()), path
