"""A session of the judge: which pairs it shows of a run, and where its answers go."""

import secrets
from collections.abc import Sequence
from pathlib import Path

from gridsearch.app.web.judge.learning import TellingPairs, pupil_of
from gridsearch.app.web.judge.pairs import choose_pairs, choose_trials
from gridsearch.app.web.judge.routes import Session
from gridsearch.base.errors import BadInput
from gridsearch.experiment.experiment import Experiment
from gridsearch.results import store
from gridsearch.results.analysis.analyse import analyse
from gridsearch.results.results import load_results
from gridsearch.search.taste import pairs_file


def session_of(
    folder: Path, wanted: int, trials: Sequence[int], leaders: bool, teaches: bool, file: Path | None
) -> tuple[Session, list[str]]:
    """Return a session of up to `wanted` pairs, and notes for the person.

    Args:
        trials: the trials to compare; empty for the tied leaders.
        leaders: whether to show leaders also where the run asks for a taste.
        teaches: whether the answers are kept for a taste.
        file: where they are kept; None for the run's own file, or else the user's.
    Raises:
        BadInput: there are no two different images to compare.
    """
    results, number = load_results(folder), secrets.randbits(32)
    scoring = Experiment.model_validate(results.settings).score
    stored = store.read_study(folder)
    pupil = None
    if teaches:
        pupil = pupil_of(stored, file or pairs_file(scoring))
    if pupil and scoring.taste and not trials and not leaders:
        telling = TellingPairs(folder, stored, pupil, number)
        session, compared = Session(folder, (), number, pupil, telling, wanted), "the images drawn so far"
        notes = [f"Any two healthy images of a case are compared, and teach your taste in {pupil.file}."]
    else:
        chosen, note = choose_trials(results, analyse(results), trials)
        session, compared = (
            Session(folder, choose_pairs(results, chosen, wanted, number), number, pupil),
            "the trials",
        )
        notes = [note] if note else []
        if pupil:
            notes.append(f"Your answers also teach your taste, in {pupil.file}; --no-taste keeps them out.")
    if not session.pairs:
        why = f"{compared} have no two different images of the same prompt and seed left to compare"
        raise BadInput("There is no pair to compare.", where=folder, why=why)
    if session.state()["total"] < wanted:
        notes.append(f"There are {session.state()['total']} different pairs.")
    return session, notes
