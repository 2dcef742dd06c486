"""The commands that serve a page for the browser: `judge` and `dashboard`."""

import secrets
import threading
import webbrowser
from typing import Annotated

import typer

from gridsearch.app import terminal
from gridsearch.app.cli.app import NoBrowser, Port, ResultsFolder, command, write_and_show_results
from gridsearch.base.errors import BadInput, Busy


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
) -> None:
    """Compare the tied leaders in blind pairs in the browser: your choice decides among them.

    The two images of a pair have the same prompt and seed, and nothing says which trial is which. Left or
    right arrow: that one is better; down arrow: equal; Backspace undoes the last answer. Only this machine
    can open the page. Every answer is saved at once, so Ctrl-C loses nothing.
    """
    from gridsearch.app.web.judge.pairs import choose_pairs, choose_trials
    from gridsearch.app.web.judge.routes import Session, judge_page
    from gridsearch.app.web.server import open_server, serve
    from gridsearch.results.analysis.analyse import analyse
    from gridsearch.results.results import load_results
    from gridsearch.results.store import locked

    results = load_results(folder)
    compared, note = choose_trials(results, analyse(results), trials or ())
    number = secrets.randbits(32)
    chosen = choose_pairs(results, compared, pairs, number)
    if not chosen:
        why = "the trials have no two different images of the same prompt and seed"
        raise BadInput("There is no pair to compare.", where=folder, why=why)
    session = Session(folder, chosen, number)
    server = open_server(lambda _: judge_page(session, secrets.token_urlsafe(24)), port)
    if note:
        terminal.show_note(note)
    if len(chosen) < pairs:
        terminal.show_note(f"There are {len(chosen)} different pairs.")
    terminal.say(f"{len(chosen)} pairs of {len(compared)} trials: {server.address}")
    terminal.say("Only this machine can open it. Press Ctrl-C to stop; every answer is saved.")
    serve(server, lambda: no_browser or webbrowser.open(server.address), session.ended)
    if not session.answered:
        terminal.say("Nothing was judged.")
        return
    try:
        with locked(folder):
            write_and_show_results(folder)
    except Busy:
        note = "A run is in progress here; its report will include your answers after its next trial."
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
