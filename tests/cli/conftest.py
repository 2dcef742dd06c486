"""Made-up results, as the report's tests have them."""

from tests.report.conftest import modes, sweep  # noqa: F401  fixtures
