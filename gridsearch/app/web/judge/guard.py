"""Which requests are answered: those of the page itself, in the browser of who was told its address.

Another site in the same browser does not know the token; should it learn it, its origin or its host gives it
away. What another user of this machine can learn of it: see `gridsearch.app.web.guard`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gridsearch.app.web.guard import hosts, is_token, origins

MOST_BYTES = 1000  # of a body; an answer has about forty


@dataclass(frozen=True)
class Request:
    """What came in, but for its body. `headers` has lower-case names, and all values of each."""

    method: str
    path: str
    headers: Mapping[str, Sequence[str]]

    def header(self, name: str) -> str | None:
        """Its one value; None where there is none, or more than one."""
        values = self.headers.get(name, ())
        return values[0] if len(values) == 1 else None

    @property
    def parts(self) -> tuple[str, str | None]:
        """The token in the path, and what is asked for; None where no slash ends the token.

        Escapes stay as they are: no name here has any.
        """
        token, slash, name = self.path.partition("?")[0].removeprefix("/").partition("/")
        return token, name if slash else None


def refusal(request: Request, token: str, port: int) -> tuple[int, str] | None:
    """The status and the reason with which a request is refused; None where it may be answered."""
    if request.header("host") not in hosts(port):
        return 403, "another host"
    if "origin" in request.headers and request.header("origin") not in origins(port):
        return 403, "another origin"
    if not is_token(request.parts[0], token):
        return 403, "a wrong token"
    return _refused_post(request, token) if request.method == "POST" else None


def _refused_post(request: Request, token: str) -> tuple[int, str] | None:
    if not is_token(request.header("x-token") or "", token):
        return 403, "a wrong token"
    if (request.header("content-type") or "").partition(";")[0].strip().lower() != "application/json":
        return 415, "a body that is not JSON"
    length = request.header("content-length") or ""
    if not (length.isascii() and length.isdigit()):
        return 411, "a body of unknown length"
    return (413, "a body too long") if len(length) > 9 or int(length) > MOST_BYTES else None
