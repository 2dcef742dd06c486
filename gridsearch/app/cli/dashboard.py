"""The command `dashboard`."""

from gridsearch.app import terminal
from gridsearch.app.cli.app import NoBrowser, Port, ResultsFolder, command


@command("dashboard", "gridsearch dashboard results/toy")
def dashboard_command(folder: ResultsFolder, port: Port = 0, no_browser: NoBrowser = False) -> None:
    """Open Optuna's dashboard on a run, with every image beside its trial.

    It follows a run in progress and changes nothing. Only this machine can open the page.
    """
    import secrets
    import threading
    import webbrowser

    from gridsearch.app.web.dashboard.page import dashboard_page
    from gridsearch.app.web.server import open_server, serve

    token = secrets.token_urlsafe(24)
    server = open_server(lambda port: dashboard_page(folder, token, port), port)
    terminal.say(f"Optuna's dashboard for {folder}: {server.address}")
    terminal.say("Only this machine can open it. Press Ctrl-C to stop.")
    serve(server, lambda: no_browser or webbrowser.open(server.address), ended=threading.Event())
