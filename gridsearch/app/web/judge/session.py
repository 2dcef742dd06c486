"""A session of a judge: the pairs in their order, and the answers so far."""

import secrets
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from gridsearch.app.web.judge.pairs import Pair
from gridsearch.results.store.judgements import Choice, Judgement, save_judgement


class Session:
    """The pairs and the answers. Several threads answer requests; an answer is stored before it counts.

    Attributes:
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
        self._answered = 0
        self._lock = threading.Lock()

    @property
    def answered(self) -> int:
        return self._answered

    def state(self) -> dict:
        """Return what the page may know: the progress, the pair to judge, and the next one."""
        at = self._answered
        coming = range(at, min(at + 2, len(self.pairs)))
        return {"done": at, "total": len(self.pairs), "pairs": [self._shown(place) for place in coming]}

    def _shown(self, place: int) -> dict:
        left, right = self._ids[place]
        return {"left": left, "right": right, "prompt": self.pairs[place].prompt}

    def answer(self, place: int, choice: Choice) -> bool:
        """Store the answer for the pair at `place`; False where another pair is to be judged now."""
        with self._lock:
            if place != self._answered or place >= len(self.pairs):
                return False
            save_judgement(self.folder, place, self.number, self._judgement(self.pairs[place], choice))
            self._answered += 1
            return True

    def undo(self, place: int) -> bool:
        """Undo the answer before the pair at `place`; False where another pair is to be judged now."""
        with self._lock:
            if place != self._answered or place == 0:
                return False
            save_judgement(self.folder, place - 1, self.number, None)
            self._answered -= 1
            return True

    def _judgement(self, pair: Pair, choice: Choice) -> Judgement:
        now = datetime.now().astimezone().isoformat(timespec="milliseconds")
        return Judgement(pair.first, pair.second, pair.prompt_id, pair.seed, choice, now, self.number)
