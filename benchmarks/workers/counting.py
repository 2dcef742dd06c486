"""Transactions of this process, wherever SQLAlchemy begins them."""

from dataclasses import dataclass

from sqlalchemy import Engine, event


@dataclass
class Counted:
    """How many have ended since counting began."""

    transactions: int = 0


def counting() -> Counted:
    """Count from now on. A read is a transaction too."""
    counted = Counted()

    def one_more(_: object) -> None:
        counted.transactions += 1

    event.listen(Engine, "commit", one_more)
    event.listen(Engine, "rollback", one_more)
    return counted
