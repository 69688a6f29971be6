"""The numbers of a run, from its recording alone; None where one cannot be told."""

import dataclasses
import re

from reporting import counters

from .sampler import MACHINE

LESS, MORE = "less", "more"  # is better
TIERS = [  # name, labels of faststock_cache_requests_total
    ("memory of read-svc (L1)", 'tier="l1",result="hit"'),
    ("L1, marked as stale", 'tier="l1",result="stale"'),
    ("Redis", 'tier="redis",result="hit"'),
    ("PostgreSQL", 'tier="db",result="hit"'),
    ("PostgreSQL, marked as stale", 'tier="db",result="stale"'),
]
LOOKUPS = "faststock_cache_requests_total"
SHARED = "faststock_load_flights_shared_total"
STATUS = re.compile(r'status="(\d+)"')
STORE = re.compile(r'store="([\w-]+)"')
# k6's codes of errors; those of a status are 1000 more than it
ERRORS = {
    "1050": "no answer in time",
    "1201": "connection broken",
    "1210": "no connection",
    "1211": "no connection in time",
    "1212": "connection refused",
    "1220": "connection reset",
}


@dataclasses.dataclass
class Figure:
    key: str
    label: str
    value: float | None
    unit: str
    better: str = ""  # LESS, MORE or neither


def figures(run):
    """All of them, in groups: [(title, [Figure])]."""
    groups = [
        ("Requests", requests(run)),
        *((name, endpoint(name, found)) for name, found in run.summary["endpoints"].items()),
        ("Requests that the instances counted", instances(run)),
        ("Where products came from", tiers(run)),
        ("Waiting for a pooled connection", waits(run)),
        ("Writes", writes(run)),
        ("CPU", cpu(run)),
        ("Memory at most", memory(run)),
    ]
    return [(title, found) for title, found in groups if found]


def as_dict(groups):
    return {figure.key: figure.value for _, group in groups for figure in group}


def requests(run):
    found = run.summary["all"]
    dropped = run.summary["dropped_arrivals"]
    return [
        Figure("rps", "Requests a second", found["rps"], "/s", MORE),
        Figure("requests", "Requests", found["requests"], ""),
        *latencies("", found),
        Figure("failed", "Failed", found["failed"], "", LESS),
        Figure("wrong", "Wrong answers, failed ones too", found["wrong_answers"], "", LESS),
        Figure("dropped", "Dropped arrivals", dropped, "", LESS),
    ]


def endpoint(name, found):
    return [
        Figure(f"{name} rps", "Requests a second", found["rps"], "/s", MORE),
        *latencies(f"{name} ", found),
        Figure(f"{name} failed", "Failed", found["failed"], "", LESS),
    ]


def latencies(prefix, found):
    return [
        Figure(f"{prefix}{key}_ms", key, found.get(f"{key}_ms"), "ms", LESS)
        for key in ("p50", "p95", "p99", "max")
    ]


def instances(run):
    found = [
        (name, counters.used(counted(rows, "http_requests_total"), "value"))
        for name, rows in run.metrics.items()
    ]
    return [Figure(f"served {name}", name, requests, "") for name, requests in found]


def tiers(run):
    counted = {name: total(run, LOOKUPS, labels) for name, labels in TIERS}
    counted["shared a load under way"] = total(run, SHARED)
    if not any(counted.values()):
        return []
    products = sum(value or 0 for value in counted.values())
    return [
        Figure(f"tier {name}", name, 100 * value / products, "%")
        for name, value in counted.items()
        if value is not None
    ]


def waits(run):
    found = []
    for store in stores(run):
        uses = total(run, "faststock_pool_wait_seconds_count", label("store", store))
        seconds = total(run, "faststock_pool_wait_seconds_sum", label("store", store))
        gave_up = total(run, "faststock_pool_timeouts_total", label("store", store))
        mean_ms = 1000 * seconds / uses if uses else None
        found += [
            Figure(f"wait {store}", f"{store}, mean", mean_ms, "ms", LESS),
            Figure(f"timeouts {store}", f"{store}, gave up", gave_up, "", LESS),
        ]
    return found


def writes(run):
    commands = total(run, "faststock_write_batch_commands_sum")
    batches = total(run, "faststock_write_batch_commands_count")
    if not batches:
        return []
    waited = total(run, "faststock_write_wait_seconds_sum")
    waits = total(run, "faststock_write_wait_seconds_count")
    wait_ms = 1000 * waited / waits if waits else None
    return [
        Figure("writes", "Writes", commands, ""),
        Figure("batch", "Writes of one transaction, mean", commands / batches, "", MORE),
        Figure("write wait", "Wait for a batch, mean", wait_ms, "ms", LESS),
    ]


def cpu(run):
    """CPU for a thousand requests, because users that wait for answers ask more of what is faster.
    Those are the requests that the instances counted, as they were sampled as long as the CPU."""
    made = total(run, "http_requests_total") or run.summary["all"]["requests"]
    found = []
    for name, rows in processes(run).items():
        if name == MACHINE or not made:
            continue
        seconds = counters.used(rows, "cpu_seconds")
        per_thousand = 1000 * 1000 * seconds / made
        found.append(Figure(f"cpu {name}", f"{name}, for 1000 requests", per_thousand, "ms", LESS))
    busy = mean_cores(run, MACHINE)
    if busy is not None:
        share = 100 * busy / run.manifest["machine"]["cpus"]
        found.append(Figure("machine", "the machine was busy", share, "%"))
    return found


def memory(run):
    return [
        Figure(f"memory {name}", name, peak_memory(rows) / 2**20, "MiB", LESS)
        for name, rows in processes(run).items()
        if name != MACHINE
    ]


# --- processes and instances


def processes(run):
    """CPU and memory of each process: from /proc, or from /metrics where it ran elsewhere."""
    found = {name: rows for name, rows in run.processes.items() if len(rows) > 1}
    for name, rows in run.metrics.items():
        own = [
            {
                "time": row["time"],
                "scraped": row["scraped"],
                "cpu_seconds": row["process_cpu_seconds_total"],
                "memory_bytes": row["process_resident_memory_bytes"],
            }
            for row in rows
            if "process_cpu_seconds_total" in row and "process_resident_memory_bytes" in row
        ]
        if len(own) > 1:
            found.setdefault(name, own)
    return found


def mean_cores(run, process):
    rows = processes(run).get(process)
    if not rows:
        return None
    seconds = rows[-1]["scraped"] - rows[0]["scraped"]
    return counters.used(rows, "cpu_seconds") / seconds if seconds > 0 else None


def peak_memory(rows):
    return max(row["memory_bytes"] for row in rows)


def build(run):
    """(version, commit) that the instances say they are of; each once."""
    found = set()
    for rows in run.metrics.values():
        for key in rows[-1]:
            if key.startswith("faststock_build_info{"):
                labels = dict(re.findall(r'(\w+)="([^"]*)"', key))
                found.add((labels.get("version", ""), labels.get("commit", "")))
    return sorted(found)


# --- series of /metrics


def label(name, value):
    return f'{name}="{value}"'


def labels_of(run, metric, pattern):
    """The values of a label that a metric has had in the run."""
    keys = {key for rows in run.metrics.values() for key in rows[-1] if is_of(key, metric, "")}
    return sorted({match[1] for match in map(pattern.search, keys) if match})


def stores(run):
    return labels_of(run, "faststock_pool_wait_seconds_count", STORE)


def is_of(key, metric, labels):
    return (key == metric or key.startswith(metric + "{")) and labels in key


def counted(rows, metric, labels=""):
    """A metric of an instance over time, its series with these labels summed up; `value` is None
    where it has none. One that appears later, as that of a status does, began at 0."""
    keys = {key for row in rows for key in row if is_of(key, metric, labels)}
    return [
        {
            "time": row["time"],
            "scraped": row["scraped"],
            "value": sum(row.get(key, 0) for key in keys) if keys else None,
        }
        for row in rows
    ]


def total(run, metric, labels=""):
    """By how much a counter of all instances went up; None where none has it."""
    found = [counted(rows, metric, labels) for rows in run.metrics.values()]
    found = [rows for rows in found if any(row["value"] is not None for row in rows)]
    return sum(counters.used(rows, "value") for rows in found) if found else None


def rate(run, metric, labels=""):
    """{time: a second} of a counter, summed up over the instances that answered."""
    found = {}
    for rows in run.metrics.values():
        for time, value in rate_of(counted(rows, metric, labels)).items():
            found[time] = found.get(time, 0) + value
    return found


def rate_of(rows, column="value"):
    """{time: a second} between each two samples, in their middle."""
    rates = counters.rates(rows, column, samples=1)
    return {row["time"] - 0.5: value for row, value in zip(rows, rates) if value is not None}


def mean(run, metric, labels=""):
    """{time: mean} of a histogram's values; 0 where nothing was counted."""
    counts = rate(run, f"{metric}_count", labels)
    sums = rate(run, f"{metric}_sum", labels)
    return {time: sums.get(time, 0) / count if count else 0 for time, count in counts.items()}


# --- errors


def error_name(code):
    if code in ERRORS:
        return ERRORS[code]
    if code[:2] in ("14", "15"):
        return f"status {int(code) - 1000}"
    return f"k6's error {code}"


def failures(run):
    """[(kind, {time: failures of that second})]: requests by error, answers that were wrong, and
    arrivals that were not sent."""
    kinds = {error_name(code): found for code, found in run.errors.items()}
    named = {}
    for found in run.errors.values():
        for time, count in found.items():
            named[time] = named.get(time, 0) + count
    kinds["another status than expected"] = {
        row["time"]: row["failed"] - named.get(row["time"], 0)
        for row in run.load
        if row["failed"] > named.get(row["time"], 0)
    }
    kinds["arrival dropped, all users were busy"] = {
        row["time"]: row["dropped"] for row in run.load if row["dropped"]
    }
    return [(kind, found) for kind, found in kinds.items() if found]
