"""What a warm process has imported before it is copied: see tests/helpers/warm.py.

Nothing here starts a thread, and nothing reads what a terminal is like: that is the copy's own.
"""

from gridsearch.app.processes import modules_loading

with modules_loading():  # nor does a copy look through them for garbage
    import gridsearch.report.build
    import gridsearch.search.run  # noqa: F401
