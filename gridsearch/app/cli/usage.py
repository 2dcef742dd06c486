"""Mistakes on the command line itself, told as those in files are."""

from typing import Any

from typer.exceptions import TyperException

from gridsearch.base.errors import BadInput, nearest_text


def usage_error(error: TyperException) -> BadInput:
    """Return what Typer or its validator says of the command line, in our words and with the mend.

    Args:
        error: one of Click's usage errors, which Typer keeps private: they have the command's context.
    """
    context = getattr(error, "ctx", None)
    command = context.command_path if context else ""
    fix = f"`{command} --help` shows what it takes." if command else None
    if name := getattr(error, "option_name", None):
        options = [option for option in _options(context) if option.startswith("--")]
        fix = nearest_text(name, options) if options else fix
        return BadInput(f"{error.message}.", where=command or None, fix=fix)  # without Click's own guess
    if problems := getattr(error.__cause__, "errors", None):  # pydantic's
        from gridsearch.experiment.wording import in_words

        problem = problems(include_url=False)[0]
        hint = error.param.get_error_hint().strip("'")  # type: ignore[attr-defined]
        what = f"{hint} cannot be used: {in_words(problem)}, not {problem['input']!r:.60}."
        return BadInput(what, where=command or None, fix=fix)
    said = " ".join(error.format_message().split())
    return BadInput(said if said.endswith((".", "?")) else f"{said}.", where=command or None, fix=fix)


def _options(context: Any) -> list[str]:
    """Return the names of a command's options."""
    return [name for one in context.command.params for name in one.opts] if context else []
