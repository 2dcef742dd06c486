"""Optuna's dashboard: `dashboard`."""

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
    import threading
    import webbrowser

    from gridsearch.app.web.dashboard.page import dashboard_page
    from gridsearch.app.web.server import open_server, serve

    token = secrets.token_urlsafe(24)
    server = open_server(lambda port: dashboard_page(folder, token, port), port)
    terminal.say(f"Optuna's dashboard on {folder}: {server.address}")
    terminal.say("Only this machine can open it. Ctrl-C ends it.")
    serve(server, lambda: no_browser or webbrowser.open(server.address), ended=threading.Event())
