"""The URL of a database that holds a shared study: checked, compared, and shown without its password."""

import importlib.util
import re
from urllib.parse import quote, quote_plus

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from gridsearch.base.errors import BadInput

HIDDEN = "***"

_DRIVER = "postgresql+psycopg"
_SUPPORTED = f"Use {_DRIVER}://USER@HOST/NAME: a shared study needs PostgreSQL."
_ESCAPING = "In a password, write @ as %40, / as %2F, : as %3A and % as %25."
# Keys of a URL's query that hold a secret: libpq's, and other drivers' names for a password.
_SECRET_KEYS = ("password", "passwd", "sslpassword", "ssl_key_password", "oauth_client_secret")


def check_url(url: str) -> URL:
    """Return the parts of the URL, having checked that a study can be kept there with what is installed."""
    parsed = parse_url(url)
    if importlib.util.find_spec("psycopg") is None:
        raise BadInput(
            "The package that speaks to PostgreSQL is not installed.",
            where=redacted(url),
            why="psycopg is missing.",
            fix="Run `pip install 'gridsearch[postgres]'`.",
        )
    return parsed


def parse_url(url: str) -> URL:
    """Return the parts of the URL of a PostgreSQL database, with its driver named.

    Raises:
        BadInput: it is another, or no URL at all. The message holds no password.
    """
    try:
        parsed = _parts(url)
    except (ArgumentError, ValueError) as error:
        # The error quotes the part that it could not read, which may be the password.
        raise BadInput(
            "This is not a URL of a storage.", where=redacted(url), fix=f"{_SUPPORTED} {_ESCAPING}"
        ) from (None if "://" in url else error)
    if parsed.drivername.split("+")[0] == "sqlite":
        raise BadInput(
            "SQLite is for one machine.",
            where=redacted(url),
            fix="Leave --storage out: the study then lies in the results folder.",
        )
    if parsed.drivername not in ("postgresql", _DRIVER):
        raise BadInput(
            "No study can be kept there.",
            where=redacted(url),
            why="Unknown scheme.",
            fix=f"{_SUPPORTED} Without --storage the study lies in the results folder.",
        )
    if not parsed.database:
        fix = "Put its name after the host: /NAME."
        raise BadInput("The URL names no database.", where=redacted(url), fix=fix)
    return parsed.set(drivername=_DRIVER)  # for the short scheme SQLAlchemy would choose another driver


def _parts(url: str) -> URL:
    """Split a URL. SQLAlchemy ends a password at its first @, and takes the rest for host and database."""
    if url.count("@") > 1:
        raise ArgumentError("There is more than one @ in it.")
    return make_url(url)


def same_database(url: str, other: str) -> bool:
    """Whether two URLs name the same database. User and password do not count."""

    def place(parts: URL) -> tuple:
        """Return host, port (5432 is PostgreSQL's own) and name. libpq prefers those of the query."""
        host, port = parts.query.get("host", parts.host), parts.query.get("port", parts.port)
        return host, str(port or 5432), parts.query.get("dbname", parts.database)

    return place(parse_url(url)) == place(parse_url(other))


def secret_of(url: str) -> tuple[str, ...]:
    """Return the URL's secrets in each form in which they may be quoted, the longest first."""
    try:
        parsed = _parts(url)
    except (ArgumentError, ValueError):
        return (url,)
    secrets = [parsed.password, *(parsed.query.get(key) for key in _SECRET_KEYS)]
    flat = [one for secret in secrets for one in (secret if isinstance(secret, tuple) else (secret,)) if one]
    forms = {form for one in flat for form in (one, quote(one, safe=""), quote_plus(one), quote(one))}
    forms |= {form for one in flat for form in _as_written(url, one)}
    return tuple(sorted(forms, key=len, reverse=True))


def _as_written(url: str, secret: str) -> list[str]:
    """Return the user's own percent-encodings of a secret, which may be less or more than needed."""
    encoded = ["".join(f"%{byte:02x}" for byte in c.encode("utf-8", "surrogatepass")) for c in secret]
    ways = zip(secret, encoded, strict=True)
    pattern = "".join(f"(?:{re.escape(c)}|(?i:{code}){'|[+]' if c == ' ' else ''})" for c, code in ways)
    return [found[0] for found in re.finditer(pattern, url)]


def cleaned(text: str, url: str) -> str:
    """Return a driver's text with the URL's secrets hidden."""
    for secret in secret_of(url):
        text = text.replace(secret, HIDDEN)
    return text


def redacted(url: str) -> str:
    """Return the URL to be shown: its passwords are hidden, its user is not."""
    try:
        parsed = _parts(url)
    except (ArgumentError, ValueError):
        scheme, sign, _ = url.partition("://")
        return f"{scheme}://{HIDDEN}" if sign and re.fullmatch(r"[\w+.-]{1,40}", scheme) else HIDDEN
    hidden = {key: HIDDEN for key in parsed.query if key in _SECRET_KEYS}
    shown = parsed.set(query={**parsed.query, **hidden}).render_as_string(hide_password=True)
    return shown.replace(quote_plus(HIDDEN), HIDDEN)


def without_password(url: str) -> str:
    """Return the URL to be kept in a file, without its secrets."""
    parsed = parse_url(url)
    query = {key: value for key, value in parsed.query.items() if key not in _SECRET_KEYS}
    return parsed.set(query=query)._replace(password=None).render_as_string(hide_password=False)
