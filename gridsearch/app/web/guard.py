"""Pages for this machine's own browser: the names that reach it, and tokens that other people do not know.

Another site's page is told by its origin, and by its host where a name of its own leads to 127.0.0.1 (DNS
rebinding). Another user of this machine has no token, unless it is read from the command line of the browser
that is opened with it. A file that forwards there would hide it, but many browsers may not read one: those in
a sandbox (snap, Flatpak), and those at the other end of WSL or of a remote editor.
"""

import contextlib
import hmac
from collections.abc import Iterator

from gridsearch.base.errors import BadInput

HOME = "127.0.0.1"
HTTP = 80  # the default port


def hosts(port: int) -> set[str]:
    """What the Host header may say. Browsers leave out the port that http has by default."""
    names = {HOME, "localhost"}
    return {f"{name}:{port}" for name in names} | (names if port == HTTP else set())


def origins(port: int) -> set[str]:
    """What the Origin header may say, where there is one."""
    return {f"http://{host}" for host in hosts(port)}


def is_token(given: str, token: str) -> bool:
    """Compared in a time that tells nothing of where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), token.encode())


@contextlib.contextmanager
def listening(port: int) -> Iterator[None]:
    """For the moment in which a server begins to listen.

    Raises:
        BadInput: the port is taken, or not for everybody.
    """
    try:
        yield
    except OSError as error:
        raise BadInput(
            "The page cannot be served there.",
            where=f"--port {port}",
            why=error.strerror,
            fix="Leave --port out: a free one is found.",
        ) from None
