"""Who is told of bytes read and written, and says nothing."""

from collections.abc import Callable


class Quiet:
    """Hears and is silent: what is measured is the work."""

    def hashing(self, name: str, total: int) -> Callable[[int], None]:
        return lambda _: None

    reading = writing = hashing
