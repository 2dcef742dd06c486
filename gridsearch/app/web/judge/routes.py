"""The judge's page: the session that it works on, and the routes of its pairs, their images and answers."""

import functools
import io
import json
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

from bottle import Bottle, HTTPResponse, request, response, static_file

from gridsearch.app.web.judge.learning import Pupil
from gridsearch.app.web.judge.pairs import Pair
from gridsearch.app.web.server import LocalPage, text_reply
from gridsearch.base.errors import BadInput, GridsearchError
from gridsearch.base.pictures import open_picture
from gridsearch.results import store
from gridsearch.results.analysis.analyse import analyse
from gridsearch.results.results import load_results
from gridsearch.results.store.judgements import Choice, Judgement
from gridsearch.score.taste import taste_text

FILES = Path(__file__).parent / "page"
# Not guessed from the name: a system's own table of types may differ.
FILE_TYPES = {"page.html": "text/html", "page.css": "text/css", "page.js": "text/javascript"}
MAX_BODY = 1000  # bytes; an answer has about forty


class Session:
    """The pairs and the answers. Several threads answer requests; an answer is stored before it counts.

    Answers teach the taste in the pupil's file, where there is one. With `more`, further pairs are chosen
    after each answer, up to `total`; such answers are about the taste alone, and not kept with the run.

    Attributes:
        answered: how many pairs were judged.
        images: id -> file. The ids are random, so that they say nothing about the images.
        ended: set when the person has been sent the result.
    """

    def __init__(
        self,
        folder: Path,
        pairs: Sequence[Pair],
        number: int,
        pupil: Pupil | None = None,
        more: Callable[[Sequence[Pair]], Pair | None] | None = None,
        total: int = 0,
    ) -> None:
        self.folder, self.number, self.pupil = folder, number, pupil
        self.pairs: list[Pair] = []
        self.images: dict[str, Path] = {}
        self._shown: list[dict] = []
        for pair in pairs:
            self._add(pair)
        self._more, self._total = more, max(total, len(pairs))
        if more:
            self._choose(2)  # the page loads the next pair while one is looked at
        self.answered = 0
        self.ended = threading.Event()
        self._lock = threading.Lock()

    def _add(self, pair: Pair) -> None:
        left, right = secrets.token_urlsafe(12), secrets.token_urlsafe(12)
        self.images |= {left: pair.left, right: pair.right}
        self._shown.append({"left": left, "right": right, "prompt": pair.prompt})
        self.pairs.append(pair)

    def _choose(self, wanted: int) -> None:
        """Choose pairs until there are so many; where no more are left, there are as many as that in all."""
        while self._more and len(self.pairs) < min(wanted, self._total):
            pair = self._more(self.pairs)
            if pair is None:
                self._total = len(self.pairs)
            else:
                self._add(pair)

    @property
    def learns(self) -> bool:
        """Whether it is about the taste alone."""
        return self._more is not None

    def state(self) -> dict:
        """Return what the page may know: the progress, the pair to judge, and the next one."""
        at = self.answered
        return {"done": at, "total": self._total, "pairs": self._shown[at : at + 2]}

    def answer(self, place: int, choice: Choice) -> bool:
        """Store the answer for the pair at `place`; False where another pair is to be judged now."""
        with self._lock:
            if place != self.answered or place >= len(self.pairs):
                return False
            pair, now = self.pairs[place], datetime.now().astimezone().isoformat(timespec="milliseconds")
            if not self._more:
                said = Judgement(pair.first, pair.second, pair.prompt_id, pair.seed, choice, now, self.number)
                store.save_judgement(self.folder, place, self.number, said)
            self._teach(place, choice)
            self.answered += 1
            self._choose(self.answered + 2)
            return True

    def _teach(self, place: int, choice: Choice | None) -> None:
        if self.pupil:
            self.pupil.keep(self.pairs[place], choice, f"{self.number:08x} {place:04}")

    def undo(self, place: int) -> bool:
        """Undo the answer before the pair at `place`; False where another pair is to be judged now."""
        with self._lock:
            if place != self.answered or place == 0:
                return False
            if not self._more:
                store.save_judgement(self.folder, place - 1, self.number, None)
            self._teach(place - 1, None)
            self.answered -= 1
            return True

    def result(self) -> dict:
        """Return the result, as the page shows it at the end."""
        if self._more and self.pupil:
            return self._lesson(self.pupil)
        answer = analyse(load_results(self.folder))
        report = str((self.folder / "report.html").resolve())
        human = answer.human
        if human is None:
            return {"headline": "Nothing was judged", "text": "", "trials": [], "report": report}
        if human.winner is None:
            headline = "The choice stays with the metrics"
        else:
            name = human.preference(human.winner).name
            headline = f"You prefer {name} to {human.preference(human.instead_of).name}"
            if human.winner == human.instead_of:
                headline = f"You agree with the metrics: {name}"
        trials = [
            {name: getattr(found, name) for name in ("name", "wins", "ties", "losses")}
            | {"chance": f"{found.chance:.0%}", "winner": found.trial == human.winner}
            for found in human.trials
        ]
        return {"headline": headline, "text": answer.sentence, "trials": trials, "report": report}

    def _lesson(self, pupil: Pupil) -> dict:
        """Return what the taste is worth by now."""
        taste, report = pupil.taste(), str((self.folder / "report.html").resolve())
        headline = "Your taste has a say" if taste.knows else "Your taste is not known yet"
        return {"headline": headline, "text": taste_text(taste), "trials": [], "report": report}


def judge_page(session: Session, token: str) -> LocalPage:
    """Return the page; the token is the first part of its path."""

    def carried(environ: dict[str, Any]) -> list[str]:
        """Read the path as it was sent: an escaped token is none."""
        return [environ["REQUEST_URI"].partition("?")[0].removeprefix("/").partition("/")[0]]

    return LocalPage(_routes(session, f"/{token}"), token, f"{token}/", carried, ("GET", "POST"))


def _routes(session: Session, base: str) -> Bottle:
    app = Bottle()
    app.install(_named_errors)

    @app.get(base)
    def add_slash() -> HTTPResponse:  # the page's own links are relative to the slash
        return HTTPResponse(status=302, headers={"Location": f"{base}/"})

    @app.get(f"{base}/")
    @app.get(f"{base}/<name:re:page\\.(?:css|js)>")
    def file(name: str = "page.html") -> HTTPResponse:
        return static_file(name, FILES, mimetype=FILE_TYPES[name])

    @app.get(f"{base}/state")
    def state() -> dict:
        return session.state()

    @app.get(f"{base}/image/<name>")
    def image(name: str) -> HTTPResponse:
        if name not in session.images:
            return nothing(name)
        try:
            return HTTPResponse(bare_png(session.images[name]), headers={"Content-Type": "image/png"})
        except BadInput:
            return text_reply(404, "The image cannot be read.")

    @app.post(f"{base}/answer")
    def answer() -> dict:
        place = _place(said := _body())
        if said.get("answer") not in get_args(Choice):
            raise text_reply(400, "The request names no answer.")
        return _state_after(session.answer(place, said["answer"]))

    @app.post(f"{base}/undo")
    def undo() -> dict:
        return _state_after(session.undo(_place(_body())))

    def _state_after(done: bool) -> dict:
        response.status = 200 if done else 409
        return session.state()

    @app.post(f"{base}/finish")
    def finish() -> Iterator[bytes]:
        _body()
        result = json.dumps(session.result()).encode()
        response.content_type = "application/json"

        def sent() -> Iterator[bytes]:
            yield result
            session.ended.set()  # it has been sent: the server asks for more

        return sent()

    @app.route("/<_:path>", method="ANY")
    def nothing(_: str) -> HTTPResponse:
        return text_reply(404, "There is no such page.")

    @app.error(500)
    def bug(_: object) -> str:
        response.content_type = "text/plain; charset=utf-8"
        return "This is a bug; the terminal shows the details."

    return app


def _named_errors(route: Callable) -> Callable:
    """A bottle plugin: send a named error as text."""

    @functools.wraps(route)
    def answer(*args: Any, **named: Any) -> Any:
        try:
            return route(*args, **named)
        except GridsearchError as error:
            return text_reply(503, str(error))

    return answer


def _body() -> dict:
    """Return the JSON object that was sent.

    Raises:
        HTTPResponse: it is no JSON object, or its length is unknown or too large.
    """
    environ = request.environ
    if environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() != "application/json":
        raise text_reply(415, "The body must be JSON.")
    length = environ.get("CONTENT_LENGTH", "")
    if not (length.isascii() and length.isdigit()):
        raise text_reply(411, "The length of the body is missing.")
    if len(length) > 9 or int(length) > MAX_BODY:
        raise text_reply(413, "The body is too long.")
    try:
        # not by request.body, which follows `Transfer-Encoding: chunked` to any length
        said = json.loads(environ["wsgi.input"].read(int(length)))
    except (ValueError, RecursionError):
        said = None
    except OSError:
        raise text_reply(408, "The body did not arrive.") from None
    if not isinstance(said, dict):
        raise text_reply(400, "The body is not a JSON object.")
    return said


def _place(said: dict) -> int:
    if type(said.get("place")) is not int:
        raise text_reply(400, "The request names no pair.")
    return said["place"]


def bare_png(path: Path) -> bytes:
    """Return an image as a PNG of nothing but its pixels: the file's texts say how it was made.

    Raises:
        BadInput: there is no such image, or it cannot be read.
    """
    buffer = io.BytesIO()
    with open_picture(path) as image:
        pixels = image.convert("RGB")
        pixels.info = {}
        pixels.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
