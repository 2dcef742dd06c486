"""Bytes changed, cut, repeated and put in: what a broken disk does, and what a patient stranger does."""

import random

INTERESTING = (0, 1, 0x7F, 0x80, 0xFF)


def mutated(content: bytes, chance: random.Random, others: tuple[bytes, ...] = ()) -> bytes:
    """A few changes; `others` are pieces that may be put in."""
    found = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 3, 8, 30))):
        at = chance.randrange(len(found) + 1)
        match chance.randrange(6 if others else 5):
            case 0 if at < len(found):
                found[at] = chance.choice((*INTERESTING, chance.randrange(256)))
            case 1 if at < len(found):
                found[at] ^= 1 << chance.randrange(8)
            case 2:
                del found[at : at + chance.choice((1, 2, 4, 50, 5000))]
            case 3:
                piece = found[at : at + chance.choice((1, 4, 40))]
                found[at:at] = piece * chance.choice((1, 2, 100))
            case 4:
                found[at : at + 4] = chance.randbytes(4)
            case 5:
                found[at:at] = chance.choice(others)
    return bytes(found)
