"""What README and docs show exists and runs: every Python block, every command of ours with its options."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from deploy.cli import deploy
from relay.cli.app import relay
from relay.local.services import ROOT
from tests.deployment.test_monitoring import ALERTS

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
DOCUMENTS += sorted((ROOT / "deploy").rglob("*.md"))
TEXTS = {str(file.relative_to(ROOT)): file.read_text() for file in DOCUMENTS}
TEXTS |= {f"alert {name}": policy["documentation"]["content"] for name, policy in ALERTS.items()}
FENCED = re.compile(r"(?ms)^(?:<!-- not run: (?P<why>[^\n]+) -->\n)?```(?P<language>\w*)\n(?P<code>.*?)^```$")
FILE = re.compile(r"# ((?:handlers|tests)/[\w/]+\.py)\n")
GROUPS: dict[str, click.Group] = {"relay": relay, "python -m relay": relay, "python -m deploy": deploy}
COMMAND = re.compile(r"^(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?(relay|make|python -m (?:relay|deploy)) (\S.*)$")


@dataclass(frozen=True)
class Block:
    code: str
    file: str | None
    """Where the block says that it belongs; None for a few lines that belong nowhere."""


def python_blocks(text: str) -> list[Block]:
    found = [match for match in FENCED.finditer(text) if match["language"] == "python" and not match["why"]]
    named = [(FILE.match(match["code"]), match["code"]) for match in found]
    return [Block(code[first.end() :] if first else code, first[1] if first else None) for first, code in named]


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Give each command of a shell block or between backticks: its program, and its words up to a pipe."""
    text = re.sub(r"\\\n\s*", " ", text)
    shell = [match["code"] for match in FENCED.finditer(text) if match["language"] in {"", "sh", "bash", "shell"}]
    lines = re.findall(r"(?m)^ {4,}(\S.*)$", text) + "\n".join(shell).splitlines()
    for line in [*lines, *re.findall(r"`([^`\n]+)`", FENCED.sub("", text))]:
        command = COMMAND.match(line.strip())
        if command and "..." not in command[2]:
            lexer = shlex.shlex(command[2], posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            words = list(lexer)
            ends = [number for number, word in enumerate(words) if set(word) <= set("|&;<>()")]
            yield command[1], words[: ends[0]] if ends else words


def complaint(program: str, words: list[str]) -> str | None:
    """Return what is wrong with a command of ours; None if it could be typed so."""
    if program == "make":
        targets = set(re.findall(r"(?m)^([\w./-]+):", (ROOT / "Makefile").read_text().replace("$(VENV)", ".venv")))
        unknown = [word for word in words if "=" not in word and word not in targets]
        return f"the Makefile has no {unknown[0]}" if unknown else None
    command: click.Command = GROUPS[program]
    while isinstance(command, click.Group):
        if not words or words[0] not in command.commands:
            return f"{command.name} has no command {words[:1]}"
        command, words = command.commands[words[0]], words[1:]
    context = click.Context(command)
    try:
        given, _, _ = command.make_parser(context).parse_args(list(words))
        for parameter in command.params:
            chosen = given.get(parameter.name or "") if isinstance(parameter.type, click.Choice) else ()
            for value in chosen if isinstance(chosen, list | tuple) else [chosen]:
                if isinstance(value, str):
                    parameter.type.convert(value, parameter, context)
    except click.BadOptionUsage:
        return None  # A text names the option alone: the option exists.
    except click.UsageError as error:
        return error.format_message()
    return None


@pytest.mark.parametrize("name", TEXTS)
def test_every_command_of_ours_exists_with_its_options(name: str) -> None:
    complaints = [(program, words, complaint(program, words)) for program, words in commands(TEXTS[name])]

    assert [found for found in complaints if found[2]] == []


@pytest.mark.parametrize(
    "wrong",
    [
        "    relay leger --since 1d",
        "    relay ledger --from 1d",
        "`relay webhooks`",
        "    make tests",
        "`python -m deploy rollback sender`",
        "    X=1 relay send y \\\n      --not-there",
    ],
)
def test_a_command_that_does_not_exist_is_found(wrong: str) -> None:
    assert [complaint(program, words) for program, words in commands(f"Text.\n\n{wrong}\n")] != [None]


def checkout(folder: Path, blocks: list[Block]) -> list[str]:
    """Write the blocks that name a file, with what their tests need, and return the files' names."""
    for name in ("__init__.py", "conftest.py"):
        (folder / "tests" / "handlers").mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "tests" / "handlers" / name, folder / "tests" / "handlers" / name)
    (folder / "tests" / "__init__.py").touch()
    (folder / "handlers").mkdir()
    (folder / "handlers" / "__init__.py").write_text('"""Ours."""\n')
    (folder / "relay").symlink_to(ROOT / "relay")
    files = {block.file: block.code for block in blocks if block.file}
    for name, code in files.items():
        (folder / name).write_text(code)
    return list(files)


def run(folder: Path, *command: str) -> None:
    environ = {**os.environ, "PYTHONPATH": str(folder)}
    ended = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environ, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("name", [name for name, text in TEXTS.items() if python_blocks(text)])
def test_every_python_block_runs(name: str, tmp_path: Path) -> None:
    blocks = python_blocks(TEXTS[name])
    checkout(tmp_path, blocks)

    run(tmp_path, "-c", "\n\n".join(block.code for block in blocks if not block.file) or "pass")


WITH_FILES = [name for name, text in TEXTS.items() if any(block.file for block in python_blocks(text))]


@pytest.mark.parametrize("name", WITH_FILES)
def test_files_that_are_shown_pass_lint_and_their_tests_as_they_stand(name: str, tmp_path: Path) -> None:
    files = checkout(tmp_path, python_blocks(TEXTS[name]))
    configuration = str(ROOT / "pyproject.toml")

    run(tmp_path, "-m", "ruff", "format", "--check", "--config", configuration, *files)
    run(tmp_path, "-m", "ruff", "check", "--config", configuration, *files)
    run(tmp_path, "-m", "mypy", "--config-file", configuration, *files)
    run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/handlers")


@pytest.mark.parametrize("name", WITH_FILES)
def test_handlers_that_are_shown_load_with_their_services(name: str, tmp_path: Path) -> None:
    checkout(tmp_path, python_blocks(TEXTS[name]))
    collect = (
        "import handlers; from relay.onestock import OneStock; from relay.registry import Registry; "
        "from relay.registry.discovery import services_of; "
        "client = object.__new__(OneStock); "
        "assert Registry.collect(handlers, [*services_of(handlers), client]).handlers"
    )

    run(tmp_path, "-c", collect)


def test_the_tutorial_and_the_readme_show_files() -> None:
    assert {"README.md", "docs/handlers.md"} <= set(WITH_FILES)
