"""What k6 counts each second."""

import json
import pathlib

from .rows import RecordingError

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


def read(file):
    """When the load began, and a row a second, of the recording of k6's dashboard."""
    begin, seconds = snapshots(file)
    return begin, [load_row(metrics) for metrics in seconds]


def snapshots(file):
    """When the load began, and {metric: {aggregate: value}} of each second, of the recording of
    k6's dashboard (one JSON object a line).

    A metric event names metrics that come into being; a snapshot has the values of all so far, in
    the order of their names, each with the aggregates of its type.
    """
    types, aggregates, begin, seconds = {}, {}, None, []
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
            seconds.append(
                {
                    name: dict(zip(aggregates[types[name]], values))
                    for name, values in zip(sorted(types), data)
                }
            )
    if begin is None:
        raise RecordingError(f"{file} is no recording of k6's dashboard")
    return begin, seconds


def load_row(metrics, tag=""):
    """Of all requests, or of those with a tag, such as {name:GET /x}."""

    def value(name, aggregate):
        return metrics.get(name, {}).get(aggregate) or 0

    requests = round(value(f"http_reqs{tag}", "count"))
    time_ms = metrics.get(f"http_req_duration{tag}", {}) if requests else {}
    return {
        "time": value("time", "value") / 1000,
        "requests": requests,
        "failed": round(value(f"http_req_failed{tag}", "rate") * requests),
        "dropped": round(value("dropped_iterations", "count")),
        "p50_ms": time_ms.get("med"),
        "p95_ms": time_ms.get("p(95)"),
        "p99_ms": time_ms.get("p(99)"),
        "max_ms": time_ms.get("max"),
        "vus": metrics.get("vus", {}).get("value"),  # not in each second
    }
