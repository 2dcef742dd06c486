"""gridsearch: find, overnight, the ratio at which SDXL checkpoints should be merged.

In a notebook: `from gridsearch import load, run`.
"""

__version__ = "0.1.0"
__all__ = ["Run", "load", "run"]


def __getattr__(name: str) -> object:
    """Return a name of the notebook interface, imported only when it is asked for (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from gridsearch.app import notebook

    return getattr(notebook, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
