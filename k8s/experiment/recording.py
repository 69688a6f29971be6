"""The folder of a run. Raw: services.csv and pods.csv (sampler), load.csv (k6, a row a second),
events.csv (the autoscaler), manifest.json (what was run, where), k6/ (what k6 left). From these
alone: figures.json and report.html.

Times in the files are seconds since 1970; a Recording has them as seconds since the load began.
"""

import csv
import dataclasses
import json
import pathlib

SERVICES = {"read-svc": "readSvc", "write-svc": "writeSvc"}  # and their key in the chart
MANIFEST = {
    "name",
    "profile",
    "rate",
    "to",
    "slo_ms",
    "stages",
    "hpa",
    "fullname",
    "cluster",
    "load_begin",
    "k6",
}  # the members that the report needs
LOAD_COLUMNS = [
    "time",
    "requests",
    "failed",
    "dropped",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "max_ms",
    "vus",
]
EVENT_COLUMNS = ["time", "service", "reason", "message"]


class RecordingError(Exception):
    """The folder is no recording, or not a whole one; its text is the message."""


@dataclasses.dataclass
class Recording:
    folder: pathlib.Path
    manifest: dict
    load: list  # of dicts with LOAD_COLUMNS, a second each, `time` being its end
    services: dict  # service -> list of dicts
    pods: dict  # pod -> list of dicts
    events: list

    @property
    def name(self):
        return self.manifest["name"]

    @property
    def service(self):
        """The one that the load scales; older recordings know no other."""
        return self.manifest.get("service", "read-svc")

    @property
    def stages(self):
        return [tuple(stage) for stage in self.manifest["stages"]]


def read(folder):
    folder = pathlib.Path(folder)
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        if missing := MANIFEST - manifest.keys():
            raise ValueError(f"manifest.json lacks {', '.join(sorted(missing))}")
        begin = manifest["load_begin"]
        tables = {
            name: read_rows(folder / f"{name}.csv", begin)
            for name in ("load", "services", "pods", "events")
        }
    except (OSError, KeyError, ValueError, AttributeError) as error:
        raise RecordingError(f"{folder} holds no recording of an experiment: {error}") from error
    run = Recording(
        folder,
        manifest,
        tables["load"],
        grouped(tables["services"], "service"),
        grouped(tables["pods"], "pod"),
        tables["events"],
    )
    if not run.load or not any(row["time"] >= 0 for row in run.services.get(run.service, [])):
        raise RecordingError(
            f"{folder}: the recording is empty: no load, or no sample of {run.service} while it"
            " lasted"
        )
    return run


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


def read_k6(file):
    """When the load began, and a row a second, of the recording of k6's dashboard (one JSON object
    a line).

    A metric event names metrics that come into being; a snapshot has the values of all so far, in
    the order of their names, each with the aggregates of its type.
    """
    types, aggregates, begin, rows = {}, {}, None, []
    for line in pathlib.Path(file).read_text().splitlines():
        event = json.loads(line)
        kind, data = event["event"], event["data"]
        if kind == "param":
            aggregates = data["aggregates"]
        elif kind == "metric":
            types |= {name: metric["type"] for name, metric in data.items()}
        elif kind == "start":
            begin = data[0][0] / 1000
        elif kind == "snapshot":
            metrics = {
                name: dict(zip(aggregates[types[name]], values))
                for name, values in zip(sorted(types), data)
            }
            rows.append(load_row(metrics))
    if begin is None:
        raise RecordingError(f"{file} is no recording of k6's dashboard")
    return begin, rows


def load_row(metrics):
    def value(name, aggregate):
        return metrics.get(name, {}).get(aggregate) or 0

    requests = round(value("http_reqs", "count"))
    time_ms = metrics.get("http_req_duration", {}) if requests else {}
    return {
        "time": value("time", "value") / 1000,
        "requests": requests,
        "failed": round(value("http_req_failed", "rate") * requests),
        "dropped": round(value("dropped_iterations", "count")),
        "p50_ms": time_ms.get("med"),
        "p95_ms": time_ms.get("p(95)"),
        "p99_ms": time_ms.get("p(99)"),
        "max_ms": time_ms.get("max"),
        "vus": round(value("vus", "value")),
    }
