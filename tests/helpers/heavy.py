"""What a warm process has imported before it is copied: see tests/helpers/warm.py.

Nothing here starts a thread, and nothing reads what a terminal is like: that is the copy's own.
"""

import gridsearch.report.build
import gridsearch.search.run  # noqa: F401
