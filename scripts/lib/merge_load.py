#!/usr/bin/python3
"""Usage: merge_load.py DIR   sums up DIR/pod-0, DIR/pod-1, ... as DIR/summary.json and summary.txt

Each folder holds the summary.json of a pod that made its segment of a k6 load. Counts are added.
Percentiles of parts cannot be averaged, so each pod gives its latencies at a thousand percentiles
(PERCENTILES of k6/lib-options.js), and those of all requests are read off the sum of the
distributions: they differ from a single k6's by at most a tenth of a percent of the rank, above
p99.9 a hundredth. The thresholds are judged by the sums, not by the verdicts of the pods. Exits
with 99 when one does not hold, as k6 does.
"""

import json
import pathlib
import re
import sys

RULE = re.compile(r"(count|rate|max|p\((\d+(?:\.\d+)?)\))(<=|>=|==|<|>)(\d+(?:\.\d+)?)")
HOLDS = {
    "<=": lambda value, limit: value <= limit,
    ">=": lambda value, limit: value >= limit,
    "==": lambda value, limit: value == limit,
    "<": lambda value, limit: value < limit,
    ">": lambda value, limit: value > limit,
}
COLUMNS = ["requests", "RPS", "p50", "p90", "p95", "p99", "max", "failed", "wrong"]


class MergeError(Exception):
    """The folder cannot be summed up; its text is the message."""


def share_below(percentiles, value_ms):
    """The share of a pod's requests that took at most so long, of its [percentile, ms]."""
    if value_ms >= percentiles[-1][1]:
        return 1
    share, before = 0, (0, percentiles[0][1])
    for percentile, ms in percentiles:
        if ms > value_ms:
            gap = ms - before[1]
            part = (value_ms - before[1]) / gap if gap and value_ms >= before[1] else 0
            return share + part * (percentile / 100 - share)
        share, before = percentile / 100, (percentile, ms)
    return 1


def percentile_of_all(parts, percentile):
    """Of [(requests, percentiles)]: the latency that so many percent of all requests kept."""
    total = sum(requests for requests, _ in parts)
    least = min(percentiles[0][1] for _, percentiles in parts)
    most = max(percentiles[-1][1] for _, percentiles in parts)
    for _ in range(60):  # halves the span until it is the resolution of a double
        middle = (least + most) / 2
        below = sum(requests * share_below(percentiles, middle) for requests, percentiles in parts)
        if below >= total * percentile / 100:
            most = middle
        else:
            least = middle
    return most


def merged_endpoint(found, duration_s):
    """Of an endpoint as each pod saw it."""
    requests = sum(one["requests"] for one in found)
    busy = [one for one in found if one["requests"]]
    merged = {
        "requests": requests,
        "rps": requests / duration_s,
        "failed": sum(one["failed"] for one in found),
        "wrong_answers": sum(one["wrong_answers"] for one in found),
    }
    if not busy:
        return merged
    if any("percentiles_ms" not in one for one in busy):
        raise MergeError("a pod's summary has no percentiles: it was run without PERCENTILES")
    parts = [(one["requests"], one["percentiles_ms"]) for one in busy]
    merged["avg_ms"] = sum(one["requests"] * one["avg_ms"] for one in busy) / requests
    for percentile in (50, 90, 95, 99):
        merged[f"p{percentile}_ms"] = percentile_of_all(parts, percentile)
    merged["max_ms"] = max(one["max_ms"] for one in busy)
    return merged


def endpoint_of(summary, metric):
    """The endpoint that a metric such as checks{name:GET /x} is about, and its name."""
    tagged = re.fullmatch(r"\w+\{name:(.*)\}", metric)
    if not tagged:
        return "all", summary["all"]
    return tagged[1], summary["endpoints"].get(tagged[1])


def merged_value(metric, rule, summaries):
    """What the rule looks at, of all pods together."""
    kind, percentile, _, _ = RULE.fullmatch(rule).groups()
    found = [
        (endpoint_of(summary, metric)[1], row["value"])
        for summary in summaries
        for row in summary["thresholds"]
        if (row["metric"], row["rule"]) == (metric, rule)
    ]
    values = [value for _, value in found if value is not None]
    if kind == "count":
        return sum(values)
    if kind == "max":
        return max(values, default=0)
    busy = [(endpoint, value) for endpoint, value in found if endpoint and endpoint["requests"]]
    if not busy:
        return None
    if kind == "rate":
        requests = sum(endpoint["requests"] for endpoint, _ in busy)
        return sum(endpoint["requests"] * value for endpoint, value in busy) / requests
    if not metric.startswith("http_req_duration"):
        raise MergeError(f"no percentiles are known of {metric}")
    parts = [(endpoint["requests"], endpoint["percentiles_ms"]) for endpoint, _ in busy]
    return percentile_of_all(parts, float(percentile))


def merged_thresholds(summaries):
    rules = {(row["metric"], row["rule"]) for one in summaries for row in one["thresholds"]}
    for metric, rule in sorted(rules):
        if not RULE.fullmatch(rule):
            raise MergeError(f"the threshold {metric} {rule} cannot be judged of several pods")
        value = merged_value(metric, rule, summaries)
        _, _, comparison, limit = RULE.fullmatch(rule).groups()
        ok = value is None or HOLDS[comparison](value, float(limit))
        yield {"metric": metric, "rule": rule, "ok": ok, "value": value}


def merge(summaries):
    duration_s = max(summary["duration_s"] for summary in summaries)
    names = sorted({name for summary in summaries for name in summary["endpoints"]})
    thresholds = list(merged_thresholds(summaries))
    return {
        "scenario": summaries[0]["scenario"],
        "settings": summaries[0]["settings"],
        "pods": [pod_line(summary) for summary in summaries],
        "duration_s": duration_s,
        "vus_max": sum(summary["vus_max"] for summary in summaries),
        "passed": all(row["ok"] for row in thresholds),
        "endpoints": {
            name: merged_endpoint(
                [one["endpoints"][name] for one in summaries if name in one["endpoints"]],
                duration_s,
            )
            for name in names
        },
        "all": merged_endpoint([summary["all"] for summary in summaries], duration_s),
        "dropped_arrivals": sum(summary["dropped_arrivals"] for summary in summaries),
        "thresholds": thresholds,
    }


def pod_line(summary):
    return {key: summary["all"].get(key) for key in ("requests", "p50_ms", "p95_ms", "failed")}


def shown(value, digits=2):
    return "-" if value is None else f"{value:.{digits}f}"


def table_row(name, endpoint):
    times = [shown(endpoint.get(f"{key}_ms")) for key in ("p50", "p90", "p95", "p99", "max")]
    counts = [str(endpoint["failed"]), str(endpoint["wrong_answers"])]
    return [name, str(endpoint["requests"]), shown(endpoint["rps"], 1), *times, *counts]


def as_text(summary):
    """As lib-summary.js writes it, with a line for each pod."""
    endpoints = {**summary["endpoints"], "all": summary["all"]}
    rows = [["latency in ms", *COLUMNS], *(table_row(*item) for item in endpoints.items())]
    widths = [max(map(len, column)) for column in zip(*rows)]
    failed = [row for row in summary["thresholds"] if not row["ok"]]
    pods = len(summary["pods"])
    return "\n".join([
        "",
        f"{summary['scenario']}: {summary['duration_s']:.1f} s, up to {summary['vus_max']} users"
        f" at once, from {pods} pods",
        " ".join(f"{name}={value}" for name, value in summary["settings"].items()),
        "",
        *(
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
            for row in rows
        ),
        "",
        *(
            f"pod {i}: {pod['requests']} requests, p50 {shown(pod['p50_ms'])} ms,"
            f" p95 {shown(pod['p95_ms'])} ms, {pod['failed']} failed"
            for i, pod in enumerate(summary["pods"])
        ),
        "",
        f"dropped arrivals: {summary['dropped_arrivals']}",
        f"thresholds: {len(summary['thresholds']) - len(failed)} ok, {len(failed)} failed",
        *(
            f"  FAILED  {row['metric']}  {row['rule']}  (is {shown(row['value'], 4)})"
            for row in failed
        ),
        "",
    ])  # fmt: skip


def main(folder):
    folders = sorted(folder.glob("pod-*"), key=lambda path: int(path.name.removeprefix("pod-")))
    if not folders:
        raise MergeError(f"{folder} has no pod-0")
    try:
        summary = merge([json.loads((one / "summary.json").read_text()) for one in folders])
    except (OSError, ValueError, KeyError) as error:
        raise MergeError(f"{folder}: the pods' results are not whole: {error}") from error
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    (folder / "summary.txt").write_text(as_text(summary))
    print(as_text(summary))
    return 0 if summary["passed"] else 99


if __name__ == "__main__":
    try:
        sys.exit(main(pathlib.Path(sys.argv[1])))
    except MergeError as error:
        sys.exit(f"error: {error}")
