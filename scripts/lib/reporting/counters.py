"""Counters of a process, as its samples have them."""

import re

# A rate is over so many samples, because when within its scrape a process counted is not known.
RATE_SAMPLES = 3
LINE = re.compile(r"^(\w+)(?:\{([^}]*(?:\{\w+\}[^}]*)*)\})? (\S+)$", re.MULTILINE)


def series(text):
    """(name, labels, value) of each line of a page of metrics."""
    return [(name, labels, float(value)) for name, labels, value in LINE.findall(text)]


def used(rows, counter):
    """By how much a counter went up. One that went down began anew at 0."""
    values = [row[counter] for row in rows if row[counter] is not None]
    return sum(
        after - before if after >= before else after for before, after in zip(values, values[1:])
    )


def rates(rows, counter, samples=RATE_SAMPLES):
    """The rate of a counter at each of its samples; None where it cannot be told."""
    found = []
    for i, row in enumerate(rows):
        earlier = (r for r in rows[max(0, i - samples) : i] if r.get(counter) is not None)
        before = next(earlier, None)
        if (
            before is None
            or row[counter] is None
            or row[counter] < before[counter]
            or row["scraped"] - before["scraped"] < 0.2
        ):
            found.append(None)
        else:
            found.append((row[counter] - before[counter]) / (row["scraped"] - before["scraped"]))
    return found
