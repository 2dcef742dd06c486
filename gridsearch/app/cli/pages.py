"""The commands that serve a page for the browser: `judge` and `dashboard`."""

import secrets
import threading
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from gridsearch.app import terminal
from gridsearch.app.cli.app import NoBrowser, Port, ResultsFolder, command, write_and_show_results
from gridsearch.base.errors import Busy


@command("judge", "gridsearch judge results/toy --pairs 20")
def judge_command(
    folder: ResultsFolder,
    pairs: Annotated[int, typer.Option(min=1, max=1000, help="How many pairs to show.")] = 20,
    port: Port = 0,
    no_browser: NoBrowser = False,
    trials: Annotated[
        list[int] | None,
        typer.Option(min=0, help="Compare only this trial (repeatable). Default: the tied leaders."),
    ] = None,
    leaders: Annotated[
        bool, typer.Option("--leaders", help="Compare the tied leaders even if the run uses your taste.")
    ] = False,
    taste: Annotated[
        Path | None,
        typer.Option(
            help="The file of answers that your taste is learned from. Default: one file for all your runs."
        ),
    ] = None,
    no_taste: Annotated[
        bool,
        typer.Option("--no-taste", help="Keep the answers with this run only, and learn no taste from them."),
    ] = False,
) -> None:
    """Compare images in blind pairs in the browser: your choice decides, and your taste is learned.

    The two images of a pair have the same prompt and seed, and nothing says which trial is which. They are
    those of the tied leaders; if the experiment uses your taste, any two healthy ones, the pair that
    tells most next. Left or right arrow: that one is better; down arrow: equal; Backspace undoes the last
    answer. Only this machine can open the page. Every answer is saved at once, so Ctrl-C loses nothing, and a
    run may go on meanwhile.
    """
    from gridsearch.app.web.judge.routes import judge_page
    from gridsearch.app.web.judge.sessions import session_of
    from gridsearch.app.web.server import open_server, serve
    from gridsearch.results.store import locked
    from gridsearch.search.taste import renew_taste

    session, notes = session_of(folder, pairs, tuple(trials or ()), leaders, not no_taste, taste)
    server = open_server(lambda _: judge_page(session, secrets.token_urlsafe(24)), port)
    for note in notes:
        terminal.show_note(note)
    terminal.say(f"{session.state()['total']} pairs: {server.address}")
    terminal.say("Only this machine can open it. Press Ctrl-C to stop; every answer is saved.")
    serve(server, lambda: no_browser or webbrowser.open(server.address), session.ended)
    if not session.answered:
        terminal.say("Nothing was judged.")
        return
    try:
        with locked(folder):
            for note in renew_taste(folder):
                terminal.show_note(note)
            write_and_show_results(folder)
    except Busy:
        note = "A run is in progress here; its report will include your answers after its next trial."
        if session.learns:
            note = "A run is in progress here; your taste is learned when it ends, or goes on."
        terminal.show_note(note)
    else:
        if session.ended.is_set() and not no_browser:
            webbrowser.open((folder / "report.html").resolve().as_uri())


@command("dashboard", "gridsearch dashboard results/toy")
def dashboard_command(folder: ResultsFolder, port: Port = 0, no_browser: NoBrowser = False) -> None:
    """Open Optuna's dashboard on a run, with every image beside its trial.

    It follows a run in progress and changes nothing. Only this machine can open the page.
    """
    from gridsearch.app.web.dashboard import dashboard_page
    from gridsearch.app.web.server import open_server, serve

    token = secrets.token_urlsafe(24)
    server = open_server(lambda port: dashboard_page(folder, token, port), port)
    terminal.say(f"Optuna's dashboard for {folder}: {server.address}")
    terminal.say("Only this machine can open it. Press Ctrl-C to stop.")
    serve(server, lambda: no_browser or webbrowser.open(server.address), ended=threading.Event())
