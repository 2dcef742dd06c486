"""Some of many places along a ratio, so that what is shown stays readable."""


def evenly(count: int, most: int, kept: int | None) -> list[int]:
    """At most `most` of so many places, ascending: both ends, `kept`, and evenly spaced ones between."""
    last = count - 1
    if count <= most:
        return list(range(count))
    chosen = {round(i * last / (most - 1)) for i in range(most)}
    if kept is not None and kept not in chosen:  # in the place of its neighbour
        chosen = chosen - {min(chosen - {0, last}, key=lambda i: abs(i - kept))} | {kept}
    return sorted(chosen)
