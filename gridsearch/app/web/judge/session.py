"""A session of a judge: the pairs in their order, the answers so far, and the result."""

import secrets
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from gridsearch.app.web.judge.pairs import Pair
from gridsearch.results import store
from gridsearch.results.analysis.answer import Answer
from gridsearch.results.analysis.bradley_terry import Human
from gridsearch.results.store.facts import Choice, Judgement


class Session:
    """The pairs and the answers. Several threads answer requests; an answer is stored before it counts.

    Attributes:
        answered: how many pairs were judged.
        images: id -> file. The ids are random, so that they say nothing about the images.
    """

    def __init__(self, folder: Path, pairs: Sequence[Pair], number: int) -> None:
        self.folder, self.pairs, self.number = folder, tuple(pairs), number
        self._ids = [(secrets.token_urlsafe(12), secrets.token_urlsafe(12)) for _ in pairs]
        self.images = {
            name: file
            for ids, pair in zip(self._ids, pairs, strict=True)
            for name, file in zip(ids, (pair.left, pair.right), strict=True)
        }
        self.answered = 0
        self._lock = threading.Lock()

    def state(self) -> dict:
        """Return what the page may know: the progress, the pair to judge, and the next one."""
        at = self.answered
        coming = range(at, min(at + 2, len(self.pairs)))
        return {"done": at, "total": len(self.pairs), "pairs": [self._shown(place) for place in coming]}

    def _shown(self, place: int) -> dict:
        left, right = self._ids[place]
        return {"left": left, "right": right, "prompt": self.pairs[place].prompt}

    def answer(self, place: int, choice: Choice) -> bool:
        """Store the answer for the pair at `place`; False where another pair is to be judged now."""
        with self._lock:
            if place != self.answered or place >= len(self.pairs):
                return False
            store.save_judgement(self.folder, place, self.number, self._judgement(self.pairs[place], choice))
            self.answered += 1
            return True

    def undo(self, place: int) -> bool:
        """Undo the answer before the pair at `place`; False where another pair is to be judged now."""
        with self._lock:
            if place != self.answered or place == 0:
                return False
            store.save_judgement(self.folder, place - 1, self.number, None)
            self.answered -= 1
            return True

    def _judgement(self, pair: Pair, choice: Choice) -> Judgement:
        now = datetime.now().astimezone().isoformat(timespec="milliseconds")
        return Judgement(pair.first, pair.second, pair.prompt_id, pair.seed, choice, now, self.number)


def result_dict(answer: Answer, report: str) -> dict:
    """Return the result, as the page shows it at the end; `report` is the path of the report."""
    human = answer.human
    if human is None:
        return {"headline": "Nothing was judged", "text": "", "trials": [], "report": report}
    return {
        "headline": _headline(human),
        "text": answer.sentence,
        "trials": [
            {name: getattr(found, name) for name in ("name", "wins", "ties", "losses")}
            | {"chance": f"{found.chance:.0%}", "winner": found.trial == human.winner}
            for found in human.trials
        ],
        "report": report,
    }


def _headline(human: Human) -> str:
    if human.winner is None:
        return "The choice stays with the metrics"
    name = human.preference(human.winner).name
    if human.winner == human.instead_of:
        return f"You agree with the metrics: {name}"
    return f"You prefer {name} to {human.preference(human.instead_of).name}"
