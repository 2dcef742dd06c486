"""The page's templates, and links from the page to files."""

import os
from functools import cache
from pathlib import Path
from urllib.parse import quote

import jinja2


@cache
def environment() -> jinja2.Environment:
    """Return the environment of the templates, which escapes every text."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("gridsearch.report.page", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def link_to(file: Path, home: Path) -> str:
    """Return a link to `file` from a page in `home`."""
    return quote(Path(os.path.relpath(file, home)).as_posix())
