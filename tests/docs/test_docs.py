"""What the documentation says: every command in it is run, every TOML is read, every link leads somewhere."""

import contextlib
import io
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer

from gridsearch.app import cli
from tests.docs.mistakes import PROVOKED
from tests.docs.pages import REPOSITORY, Block, Command, anchors, blocks, commands, inline, pages, targets
from tests.docs.stage import NIGHT, WHOLE, check_part, made_small, prepare, put_experiment, put_results

# What no test can do, by how it begins, and why.
NOT_RUN = {
    "git clone": "there is no network",
    "python3 -m venv": "it would make the environment that the tests run in",
    ".venv/bin/pip install": "it would change the environment that the tests run in",
    ". .venv/bin/activate": "the tests run in it",
    "make": "each is longer than all tests, and `make test` runs them",
    "gridsearch judge": "it waits for a person; tests/app/web/judge/test_page.py has one",
    "gridsearch dashboard": "it waits for a browser; tests/app/web/test_dashboard.py has one",
    "CUDA_VISIBLE_DEVICES=1": "it is the line before on a second GPU, and there may be none",
    "gridsearch run my.toml --workers": "it starts processes that each load for themselves",
    "gridsearch run my.toml --storage": "it needs a database",
    "gridsearch worker": "it needs a run that leads it, and a database",
    "sudo -u postgres": "it would change the machine's database",
}
SHELL = {"cp", "mkdir"}  # what is run beside the program itself
RESULTS = r"results/[\w.-]+"
LANGUAGES = {"console", "toml", "python", "text"}
NIGHTS = {REPOSITORY / "README.md", REPOSITORY / "docs" / "first-sweep.md"}  # each tells of a whole night
# and these have many commands
NIGHTS |= {REPOSITORY / "docs" / name for name in ("notebook.md", "prediction-types.md", "scorers.md")}
each_page = pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """The folder of a finished run, for the pages that begin with one."""
    folder = tmp_path_factory.mktemp("docs")
    put_experiment(NIGHT, folder / "night.toml")
    with contextlib.chdir(folder):
        code, said = typed(("gridsearch", "run", "night.toml"))
    assert code == 0, said
    return folder / "results" / "night"


def typed(words: tuple[str, ...]) -> tuple[int, str]:
    """The exit code of the program, and all that it said."""
    said = io.StringIO()
    before, sys.argv = sys.argv, list(words)
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            cli.main()
    except SystemExit as end:
        return int(end.code or 0), said.getvalue()
    finally:
        sys.argv = before
    return 0, said.getvalue()


def plain(text: str) -> str:
    """With single spaces: a table is as wide as the window it is shown in."""
    return " ".join(text.split())


def assert_printed(command: Command, said: str) -> None:
    """The lines that the page shows were printed, in order; `...` stands for what differs."""
    rest = plain(said)
    for line in map(plain, command.printed):
        if line.strip(".") == "":
            continue
        found = re.search(".*?".join(map(re.escape, line.split("..."))), rest)
        assert found, f"line {command.line}: `{command}` does not print: {line}\n{said}"
        rest = rest[found.end() :]


def do(command: Command, finished: Path, monkeypatch) -> None:
    words = command.words
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        name, _, value = words[0].partition("=")
        monkeypatch.setenv(name, value)
        words = words[1:]
    if Path(words[0]).name != "gridsearch":
        assert words[0] in SHELL, f"line {command.line}: run it, or say in NOT_RUN why not: {command}"
        subprocess.run(words, check=True)
        return
    wrong = bool(command.printed) and command.printed[0].startswith("error:")
    if words[1] != "run" or wrong:
        for word in words[2:]:
            if re.fullmatch(r"results/[\w.-]+", word):
                put_results(Path(word), finished)
    code, said = typed(words)
    assert (code != 0) == wrong, f"line {command.line}: `{command}` ended with {code}:\n{said}"
    if words[1] == "init":
        made_small(Path(re.findall(r"gridsearch run (\S+)", said)[-1]))
    assert_printed(command, said)


def is_run(command: Command) -> bool:
    return not any(str(command).startswith(shlex.join(shlex.split(begin))) for begin in NOT_RUN)


def lay_down(block: Block, finished: Path, names: dict) -> None:
    """A block of TOML or Python as what it is: a file, a part of one, or lines that are run.

    `names` are those of the page's earlier lines.
    """
    file = block.file()
    if block.language == "python":
        for folder in re.findall(RESULTS, block.text):
            put_results(Path(folder), finished)
        exec(compile(block.text, file or "the page", "exec"), names)
    elif file == "pyproject.toml":
        Path(file).write_text(block.text)
    elif file:
        assert set(tomllib.loads(block.text)) >= WHOLE, (
            f"line {block.line}: {file} is a whole file by its name"
        )
        put_experiment(block.text, Path(file))
    else:
        check_part(block.text, Path())


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=[pytest.mark.night] if page in NIGHTS else []) for page in pages()],
    ids=lambda page: page.name,
)
def test_what_a_page_says_can_be_done(page, finished, tmp_path, monkeypatch):
    prepare(tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("plotly.graph_objects.Figure.show", lambda figure: None)  # it would open a browser
    names = {"__name__": "page"}
    for block in blocks(page):
        if block.language == "console":
            for command in commands(block):
                if is_run(command):
                    do(command, finished, monkeypatch)
        elif block.language in ("toml", "python"):
            lay_down(block, finished, names)


def test_what_is_run_elsewhere_is_run_there():
    named = [path for why in NOT_RUN.values() for path in re.findall(r"tests/[\w./]+", why)]
    assert named
    assert [path for path in named if not (REPOSITORY / path).is_file()] == []


@each_page
def test_every_block_says_what_it_is(page):
    unknown = {block.line: block.language for block in blocks(page) if block.language not in LANGUAGES}
    assert not unknown


def test_the_scorer_of_the_page_is_offered_as_the_page_says(tmp_path, monkeypatch):
    """`[project.entry-points]` names the module and the function that stand above it."""
    by_file = {block.file(): block for block in blocks(REPOSITORY / "docs" / "scorers.md")}
    (tmp_path / "my_scorers.py").write_text(by_file["my_scorers.py"].text)
    offered = tomllib.loads(by_file["pyproject.toml"].text)["project"]["entry-points"]["gridsearch.scorers"]
    names = runpy.run_path(str(tmp_path / "my_scorers.py"))
    assert {place.partition(":")[2] for place in offered.values()} <= set(names)


@each_page
def test_errors_that_are_quoted_are_what_the_program_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for block in blocks(page):
        first = block.text.partition("\n")[0]
        if block.language == "text" and first.startswith(("error:", "note:")):
            assert first in PROVOKED, f"line {block.line}: provoke it in tests/docs/mistakes.py: {first}"
            said = PROVOKED[first](tmp_path, monkeypatch)
            assert_printed(Command(("provoked",), tuple(block.text.splitlines()), block.line), said)


# -- commands in words


def options_of(words: list[str]) -> set[str] | None:
    """The options of the command that the words begin with; None where there is no such command."""
    known = typer.main.get_command(cli.app)
    if not words or words[0].startswith("-"):
        return {"--help", *(name for option in known.params for name in option.opts)}
    command = known.commands.get(words[0])
    return command and {"--help", *(name for option in command.params for name in option.opts)}


@each_page
def test_every_command_and_option_that_is_named_exists(page):
    named = [
        token.content for token in inline(page, "code_inline") if token.content.startswith("gridsearch ")
    ]
    shown = [block for block in blocks(page) if block.language == "console"]
    named += [str(c) for block in shown for c in commands(block) if Path(c.words[0]).name == "gridsearch"]
    for text in named:
        words = text.split()[1:]
        options = options_of(words)
        assert options is not None, f"there is no such command: {text}"
        said = {word.partition("=")[0].strip("[]") for word in words if word.lstrip("[").startswith("--")}
        assert said <= options, text


def test_the_readme_lists_every_command():
    named = " ".join(token.content for token in inline(REPOSITORY / "README.md", "code_inline"))
    missing = [
        name for name in typer.main.get_command(cli.app).commands if f"gridsearch {name} " not in named
    ]
    assert not missing


# -- links


@pytest.mark.parametrize(
    "page",
    [
        *pages(),
        *(
            REPOSITORY / f / "README.md"
            for f in ("results", "benchmarks", "benchmarks/search", "benchmarks/workers", "experiments/toy")
        ),
    ],
    ids=lambda page: str(page.relative_to(REPOSITORY)),
)
def test_links_lead_somewhere(page):
    for target in targets(page):
        address, _, anchor = target.partition("#")
        if address.startswith(("https:", "http:")):
            continue
        to = page.parent / address if address else page
        assert to.exists(), target
        assert not anchor or anchor in anchors(to), target


def test_the_index_links_to_every_page():
    index = REPOSITORY / "docs" / "README.md"
    assert {page.name for page in pages()[1:]} - {"README.md"} <= {*targets(index)}


def test_a_page_is_read_in_ten_minutes():
    """At 220 words a minute. The map of the code is looked up."""
    for page in pages():
        if page.name != "code.md":
            assert len(page.read_text("utf-8").split()) <= 2_200, page.name


def test_pictures_are_small():
    files = list((REPOSITORY / "docs" / "pictures").iterdir())
    assert files
    assert not [file.name for file in files if file.stat().st_size > 200_000]


def test_the_map_of_the_code_is_that_of_its_docstrings():
    found = runpy.run_path(str(REPOSITORY / "docs" / "code_map.py"))
    assert (REPOSITORY / "docs" / "code.md").read_text("utf-8") == found["code_map"](), "make docs-map"


def test_the_tables_of_columns_and_metrics_are_made_from_the_code():
    found = runpy.run_path(str(REPOSITORY / "docs" / "column_tables.py"))
    for page, text in found["pages"]():
        assert page.read_text("utf-8") == text, "make docs-tables"
