"""Optuna's dashboard: `dashboard`."""

from contextlib import suppress
from typing import Annotated

import typer

from gridsearch.app.cli import terminal
from gridsearch.app.cli.app import ResultsFolder, app


@app.command(epilog="Example: gridsearch dashboard results/toy")
def dashboard(
    folder: ResultsFolder,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to listen; 0 is any free port.")] = 0,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only print the address; open nothing.")
    ] = False,
) -> None:
    """Open Optuna's dashboard on a run, with every image beside its trial.

    It shows a run that goes on as it goes on, and changes nothing. Only this machine can open the page.
    """
    import secrets
    import webbrowser

    from gridsearch.app.web.dashboard.server import address, open_server

    token = secrets.token_urlsafe(24)
    server = open_server(folder, token, port)
    terminal.say(f"Optuna's dashboard on {folder}: {address(server, token)}")
    terminal.say("Only this machine can open it. Ctrl-C ends it.")
    if not no_browser:
        webbrowser.open(address(server, token))
    with server, suppress(KeyboardInterrupt):
        server.serve_forever()
