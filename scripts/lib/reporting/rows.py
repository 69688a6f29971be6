"""The tables of a run, as CSV files."""

import csv


class RecordingError(Exception):
    """The folder is no recording, or not a whole one; its text is the message."""


def read_rows(file, begin):
    with open(file, newline="") as lines:
        rows = list(csv.DictReader(lines))
    if any(None in row.values() for row in rows):
        raise ValueError(f"{file.name} is cut off")
    rows = [{key: typed(value) for key, value in row.items()} for row in rows]
    for row in rows:
        row["time"] -= begin
        if row.get("scraped") is not None:
            row["scraped"] -= begin
    return rows


def typed(value):
    """A number where it is one, None for an empty field."""
    if value == "":
        return None
    try:
        return float(value)
    except ValueError:
        return value


def grouped(rows, key):
    groups = {}
    for row in rows:
        groups.setdefault(row[key], []).append(row)
    return groups


def write_rows(file, columns, rows):
    with open(file, "w", newline="") as lines:
        writer = csv.DictWriter(lines, columns)
        writer.writeheader()
        writer.writerows(rows)
