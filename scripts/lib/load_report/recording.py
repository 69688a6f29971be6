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

MANIFEST = {"name", "scenario", "command", "target", "begin", "commit", "machine", "problems"}
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
        begin, seconds = k6.snapshots(folder / "record.ndjson")
        run = Run(
            folder,
            manifest,
            summary,
            since(begin, [k6.load_row(metrics) for metrics in seconds]),
            endpoints(begin, seconds),
            errors(begin, seconds),
            instances(begin, folder / "metrics.ndjson"),
            grouped(read_rows(folder / "processes.csv", begin), "process"),
        )
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RecordingError) as error:
        raise RecordingError(f"{folder} holds no recording of a load: {error}") from error
    if not run.load:
        raise RecordingError(f"{folder}: the recording is empty: k6 ended within a second")
    return run


def since(begin, rows):
    return [{**row, "time": row["time"] - begin} for row in rows]


def endpoints(begin, seconds):
    """By the tag `name` of the requests; `setup` asks only whether there is something to load."""
    names = sorted(
        {match[1] for metrics in seconds for match in map(ENDPOINT.match, metrics) if match}
    )
    return {
        name: since(begin, [k6.load_row(metrics, f"{{name:{name}}}") for metrics in seconds])
        for name in names
        if name != "setup"
    }


def errors(begin, seconds):
    codes = sorted(
        {match[1] for metrics in seconds for match in map(ERROR.match, metrics) if match}
    )
    found = {}
    for code in codes:
        rows = since(begin, [k6.load_row(metrics, f"{{error_code:{code}}}") for metrics in seconds])
        if any(row["failed"] for row in rows):
            found[code] = {row["time"]: row["failed"] for row in rows if row["failed"]}
    return found


def instances(begin, file):
    found = {}
    for line in file.read_text().splitlines():
        sample = json.loads(line)
        row = {"time": sample["time"] - begin, "scraped": sample["scraped"] - begin}
        found.setdefault(sample["instance"], []).append({**row, **sample["values"]})
    return dict(sorted(found.items()))
