"""Where a study that many share lies: its URL, checked, and shown without its password."""

import importlib.util
import re
from collections.abc import Mapping
from urllib.parse import quote, quote_plus

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from gridsearch.base.errors import BadInput

ENVIRONMENT = "GRIDSEARCH_STORAGE"
HIDDEN = "***"
PROXY_PORT = 13000  # Optuna's

_POSTGRES, _MYSQL, _PROXY = "postgresql+psycopg", "mysql+pymysql", "grpc"
_SHORT = {"postgresql": _POSTGRES, "mysql": _MYSQL}  # SQLAlchemy would choose other drivers
_DRIVERS = {_POSTGRES: ("psycopg", "postgres"), _MYSQL: ("pymysql", "mysql"), _PROXY: ("grpc", "grpc")}
_KNOWN = "Use postgresql+psycopg://, mysql+pymysql:// or grpc://."
# Keys of a URL's query that hold a secret: libpq's, and PyMySQL's other name for a password.
_SECRET_KEYS = ("password", "passwd", "sslpassword", "ssl_key_password", "oauth_client_secret")


def check_url(url: str) -> None:
    """Raises:
    BadInput: no study can be kept there. The message holds no password.
    """
    parsed = parse_url(url)
    module, extra = _DRIVERS[parsed.drivername]
    if importlib.util.find_spec(module) is None:
        raise BadInput(
            f"The package that speaks to {parsed.drivername} is not installed.",
            where=redacted(url),
            why=f"{module} is missing.",
            fix=f"Run `pip install 'gridsearch[{extra}]'`.",
        )


def parse_url(url: str) -> URL:
    """The parts of the URL, with its driver named.

    Raises:
        BadInput: it is no URL, or of no place where a shared study can lie.
    """
    parsed = _split(url)
    scheme = _SHORT.get(parsed.drivername, parsed.drivername)
    if scheme.split("+")[0] == "sqlite":
        raise BadInput(
            "SQLite is for one machine.",
            where=redacted(url),
            fix="Leave --storage out: the study then lies in the results folder.",
        )
    if scheme not in _DRIVERS:
        raise BadInput("No study can be kept there.", where=redacted(url), why="Unknown scheme.", fix=_KNOWN)
    if scheme == _PROXY:
        _check_proxy(url, parsed)
    elif not parsed.database:
        raise BadInput(
            "The URL names no database.", where=redacted(url), fix="Put its name behind the host: /NAME."
        )
    return parsed.set(drivername=scheme)


def _split(url: str) -> URL:
    try:
        return _made(url)
    except (ArgumentError, ValueError) as error:
        # The error quotes what it could not read, which may be the password.
        raise BadInput(
            "This is not a URL of a storage.", where=redacted(url), fix=f"{_KNOWN} {_ESCAPING}"
        ) from (None if "://" in url else error)


def _made(url: str) -> URL:
    """SQLAlchemy ends a password at its first @, and would take what follows for host and database."""
    if url.count("@") > 1:
        raise ArgumentError("There is more than one @ in it.")
    return make_url(url)


_ESCAPING = "In a password, write @ as %40, / as %2F, : as %3A and % as %25."


def _check_proxy(url: str, parsed: URL) -> None:
    if not parsed.host:
        raise BadInput("The URL names no host.", where=redacted(url), fix="Write grpc://host:port.")
    if parsed.username or parsed.password or parsed.database or parsed.query:
        raise BadInput(
            "A proxy has only a host and a port.",
            where=redacted(url),
            why="It asks nobody for a name or a password.",
            fix="Write grpc://host:port.",
        )


def is_proxy(url: str) -> bool:
    """Whether workers reach the study through Optuna's gRPC proxy there."""
    return parse_url(url).drivername == _PROXY


def secret_of(url: str) -> tuple[str, ...]:
    """What nobody may read, in each form in which it may be quoted; the longest first."""
    try:
        parsed = _made(url)
    except (ArgumentError, ValueError):
        return (url,)
    secrets = [parsed.password, *(parsed.query.get(key) for key in _SECRET_KEYS)]
    flat = [one for secret in secrets for one in (secret if isinstance(secret, tuple) else (secret,)) if one]
    forms = {form for one in flat for form in (one, quote(one, safe=""), quote_plus(one), quote(one))}
    forms |= {form for one in flat for form in _as_written(url, one)}
    return tuple(sorted(forms, key=len, reverse=True))


def _as_written(url: str, secret: str) -> list[str]:
    """The user's own percent-encoding of a secret, which may be less or more than needed."""
    pattern = "".join(f"(?:{re.escape(c)}|{_percent(c)}{'|[+]' if c == ' ' else ''})" for c in secret)
    return [found[0] for found in re.finditer(pattern, url)]


def _percent(character: str) -> str:
    return "".join(
        f"%{''.join(f'[{h.lower()}{h.upper()}]' if h.isalpha() else h for h in f'{byte:02x}')}"
        for byte in character.encode("utf-8", "surrogatepass")
    )


def cleaned(text: str, url: str) -> str:
    """The text, where the URL's secrets are hidden: for what a driver says."""
    for secret in secret_of(url):
        text = text.replace(secret, HIDDEN)
    return text


def redacted(url: str) -> str:
    """The URL to be shown: without its passwords. The user stays."""
    try:
        parsed = _made(url)
    except (ArgumentError, ValueError):
        scheme, sign, _ = url.partition("://")
        return f"{scheme}://{HIDDEN}" if sign and re.fullmatch(r"[\w+.-]{1,40}", scheme) else HIDDEN
    hidden = {key: HIDDEN for key in parsed.query if key in _SECRET_KEYS}
    shown = parsed.set(query=dict(parsed.query) | hidden).render_as_string(hide_password=True)
    return shown.replace(quote_plus(HIDDEN), HIDDEN)


def without_password(url: str) -> str:
    """The URL to be kept in a file: its place and its user."""
    parsed = parse_url(url)
    query = {key: value for key, value in parsed.query.items() if key not in _SECRET_KEYS}
    return URL.create(
        parsed.drivername,
        username=parsed.username,
        host=parsed.host,
        port=parsed.port,
        database=parsed.database,
        query=query,
    ).render_as_string(hide_password=False)


def with_password(url: str, environ: Mapping[str, str]) -> str | None:
    """A URL that was kept, as `GRIDSEARCH_STORAGE` names it, with its password; None where that names no
    place, or another one: libpq finds `PGPASSWORD` and `~/.pgpass` by itself."""
    given = environ.get(ENVIRONMENT)
    if not given:
        return None
    try:
        same = _place(parse_url(given)) == _place(parse_url(url))
    except BadInput:
        return None
    return given if same else None


def _place(url: URL) -> tuple:
    return url.drivername, url.username, url.host, url.port, url.database
