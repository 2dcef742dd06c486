"""The last word: `judge`."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from gridsearch.app.cli import terminal
from gridsearch.app.cli.app import ResultsFolder, app
from gridsearch.app.cli.stored import write_what_there_is
from gridsearch.base.errors import BadInput, Busy


@app.command(epilog="Example: gridsearch judge results/toy --pairs 20")
def judge(
    folder: ResultsFolder,
    pairs: Annotated[int, typer.Option(min=1, max=1000, help="How many pairs to show.")] = 20,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to listen; 0 is any free port.")] = 0,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only print the address; open nothing.")
    ] = False,
    trials: Annotated[
        list[int] | None,
        typer.Option(min=0, help="Only these trials (give it again). Default: the tied leaders."),
    ] = None,
) -> None:
    """Show blind pairs of the tied leaders in the browser: your choice decides among them.

    Two pictures of the same prompt and seed, without a word on which is which. Left or right arrow: that one
    is better; down: equal; backspace takes the last one back. Only this machine can open the page. Each
    answer is kept at once, so that Ctrl-C loses nothing.
    """
    import secrets
    import webbrowser

    from gridsearch.app.web.judge.pairs import choose_pairs, contest
    from gridsearch.app.web.judge.result import result
    from gridsearch.app.web.judge.routes import Site, judge_page
    from gridsearch.app.web.judge.session import Session
    from gridsearch.app.web.server import open_server, serve
    from gridsearch.results.analysis.analyse import analyse
    from gridsearch.results.tables import load_results

    results = load_results(folder)
    compared = contest(results, analyse(results), trials or ())
    number = secrets.randbits(32)
    chosen = choose_pairs(results, compared.trials, pairs, number)
    if not chosen:
        raise BadInput(
            "There is no pair to look at.",
            where=folder,
            why="the trials have no two different pictures in full of the same prompt and seed",
        )
    page = (folder / "report.html").resolve()
    session = Session(folder, chosen, number)
    site = Site(secrets.token_urlsafe(24), session, lambda: result(analyse(load_results(folder)), str(page)))
    server = open_server(lambda _: judge_page(site), port)
    if compared.note:
        terminal.show_note(compared.note)
    if len(chosen) < pairs:
        terminal.show_note(f"There are {len(chosen)} different pairs.")
    terminal.say(f"{len(chosen)} pairs of {len(compared.trials)} trials: {server.address}")
    terminal.say("Only this machine can open it. Ctrl-C ends it; every answer is kept.")
    serve(server, lambda: no_browser or webbrowser.open(server.address), site.ended)
    if not session.answered:
        terminal.say("Nothing was judged.")
        return
    if _report_again(folder) and site.ended.is_set() and not no_browser:
        webbrowser.open(page.as_uri())


def _report_again(folder: Path) -> bool:
    """Make the report again, unless a run is at work here, which does so after its next trial."""
    from gridsearch.results.store import locked

    with ExitStack() as held:
        try:
            held.enter_context(locked(folder))
        except Busy:
            terminal.show_note(
                "A run is at work here: its report will hold what you said after its next trial."
            )
            return False
        write_what_there_is(folder)
        return True
