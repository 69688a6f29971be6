"""The folder of a run. Raw: summary.json and record.ndjson (k6), metrics.ndjson and processes.csv
(sampler), run.json (what was run, where). From these alone: figures.json and report.html.

Times in the files are seconds since 1970; a Run has them as seconds since k6 began.
"""

import dataclasses
import json
import pathlib
import re

from reporting import k6
from reporting.rows import RecordingError, grouped, read_rows

MANIFEST = {
    "name",
    "scenario",
    "command",
    "target",
    "begin",
    "commit",
    "machine",
    "problems",
    "where",
}
ENDPOINT = re.compile(r"http_reqs\{name:(.*)\}")
ERROR = re.compile(r"http_reqs\{error_code:(\d+)\}")


@dataclasses.dataclass
class Run:
    folder: pathlib.Path
    manifest: dict
    summary: dict  # k6's, as k6/lib-summary.js writes it
    load: list  # of dicts with k6.LOAD_COLUMNS, a second each, `time` being its end
    endpoints: dict  # endpoint -> the same of its requests
    errors: dict  # k6's error code -> {time: failed requests of that second}
    metrics: dict  # instance -> list of dicts: time, scraped, and the series of /metrics
    processes: dict  # process -> list of dicts with sampler.PROCESS_COLUMNS

    @property
    def name(self):
        return self.manifest["name"]

    @property
    def scenario(self):
        return self.manifest["scenario"]

    @property
    def end(self):
        return max(row["time"] for row in self.load)


def read(folder):
    folder = pathlib.Path(folder)
    try:
        manifest = json.loads((folder / "run.json").read_text())
        if missing := MANIFEST - manifest.keys():
            raise ValueError(f"run.json lacks {', '.join(sorted(missing))}")
        summary = json.loads((folder / "summary.json").read_text())
        parts = [k6.snapshots(file) for file in records(folder)]
        begin = min(part_begin for part_begin, _ in parts)
        run = Run(
            folder,
            manifest,
            summary,
            rows_of(parts, begin),
            {name: rows_of(parts, begin, f"{{name:{name}}}") for name in endpoints(parts)},
            errors(parts, begin),
            instances(begin, folder / "metrics.ndjson"),
            grouped(read_rows(folder / "processes.csv", begin), "process"),
        )
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RecordingError) as error:
        raise RecordingError(f"{folder} holds no recording of a load: {error}") from error
    if not run.load:
        raise RecordingError(f"{folder}: the recording is empty: k6 ended within a second")
    return run


def records(folder):
    """k6's record, or those of the pods that split the load."""
    return sorted(folder.glob("pod-*/record.ndjson")) or [folder / "record.ndjson"]


def rows_of(parts, begin, tag=""):
    """A row a second of all parts of the load. What is counted is added; of percentiles, which
    cannot be, the slowest part's is taken."""
    by_second = {}
    for _, seconds in parts:
        second = -1
        for metrics in seconds:
            row = k6.load_row(metrics, tag)
            row["time"] -= begin
            second = max(second + 1, round(row["time"]))  # two of a part are never one
            by_second.setdefault(second, []).append(row)
    return [together(rows) for _, rows in sorted(by_second.items())]


def together(rows):
    found = {"time": rows[0]["time"]}
    for column in k6.LOAD_COLUMNS[1:]:
        values = [row[column] for row in rows if row[column] is not None]
        add = max if column.endswith("_ms") else sum
        found[column] = add(values) if values else None
    return found


def endpoints(parts):
    """By the tag `name` of the requests; `setup` asks only whether there is something to load."""
    return [name for name in tags(parts, ENDPOINT) if name != "setup"]


def errors(parts, begin):
    found = {}
    for code in tags(parts, ERROR):
        rows = rows_of(parts, begin, f"{{error_code:{code}}}")
        if any(row["failed"] for row in rows):
            found[code] = {row["time"]: row["failed"] for row in rows if row["failed"]}
    return found


def tags(parts, pattern):
    names = {name for _, seconds in parts for metrics in seconds for name in metrics}
    return sorted({match[1] for match in map(pattern.match, names) if match})


def instances(begin, file):
    found = {}
    for line in file.read_text().splitlines():
        sample = json.loads(line)
        row = {"time": sample["time"] - begin, "scraped": sample["scraped"] - begin}
        found.setdefault(sample["instance"], []).append({**row, **sample["values"]})
    return dict(sorted(found.items()))
