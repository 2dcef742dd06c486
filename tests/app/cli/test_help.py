"""Help: every command has it, with an example; the commands stand in the order of a night."""

import re

import typer

from gridsearch.app.cli.app import app
from tests.helpers.program import gridsearch

COMMANDS = typer.main.get_command(app).commands
ORDER = ["init", "plan", "inspect", "sensitivity", "run", "worker", "status", "report", "score", "compare"]
ORDER += ["judge", "dashboard", "merge", "export", "extract", "rebasin", "explain", "schema"]


def test_every_command_has_help_with_an_example_of_itself(tmp_path):
    for name in COMMANDS:
        done = gridsearch(name, "--help", cwd=tmp_path)
        assert done.returncode == 0, name
        example = " ".join(done.stdout.partition("Example")[2].split())
        assert f"gridsearch {name} " in example, name


def test_every_option_says_what_it_is():
    for name, command in COMMANDS.items():
        for option in command.params:
            said = getattr(option, "help", None)
            assert said or name == "inspect" or option.param_type_name == "argument", (name, option.name)


def test_commands_are_listed_as_a_night_goes(tmp_path):
    listed = re.findall(r"^│ ([a-z]+) ", gridsearch("--help", cwd=tmp_path).stdout, re.MULTILINE)
    assert listed == ORDER
    assert set(listed) == set(COMMANDS)
