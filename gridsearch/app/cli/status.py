"""The command `status`: how a run is doing, from anywhere that sees its folder, without opening its study."""

import typer

from gridsearch.app import terminal
from gridsearch.app.cli.app import AsJson, ResultsFolder, command
from gridsearch.app.cli.documents import status_dict
from gridsearch.app.run_state import is_alive, read_state, state_lines


@command("status", "gridsearch status results/toy", "watch gridsearch status results/toy")
def status_command(folder: ResultsFolder, as_json: AsJson = False) -> None:
    """Show whether the run of a folder is alive, how far it is, and its workers.

    It reads nothing but the state that the run writes every few seconds, and so answers at once. The exit
    code is 1 where the run died or failed.
    """
    state, age = read_state(folder)
    if as_json:
        terminal.show_json(status_dict(state, age))
    else:
        for line in state_lines(state, age):
            terminal.say(line)
    if state.ended == "failed" or not (state.ended or is_alive(state, age)):
        raise typer.Exit(1)
