"""A run as ./dev load leaves it, made by hand: each number of its report can be told beforehand.

For 20 seconds 100 reads and 10 writes a second; reads take 2 ms (p95 8, p99 9), writes 20 ms (p95
80). read-1 and read-2 share the reads: 80 products a second come from memory, 15 from Redis, 5 from
PostgreSQL. Each process uses a tenth of a core, k6 half of one, the machine 1.5 of 2.
"""

import json
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts/lib"))
from load_report import recording, sampler  # noqa: E402
from reporting.rows import write_rows  # noqa: E402

READ, WRITE = "GET /api/products/{id}/stock", "POST /api/products/{id}/update-stock"
BEGIN, SECONDS = 1_700_000_000.0, 20
INSTANCES = ["read-1", "read-2", "write-1"]
PROCESSES = {"postgres": 0.1, "redis": 0.1, "read-1": 0.1, "nginx": 0.1, "k6": 0.5, "machine": 1.5}
AGGREGATES = {
    "counter": ["count", "rate"],
    "gauge": ["value"],
    "rate": ["rate"],
    "trend": ["avg", "max", "med", "min", "p(90)", "p(95)", "p(99)"],
}


def second_of_k6(second, failed):
    """{metric: (type, values)} of one second; a read that fails is answered with 503."""
    reads, writes = [2.5, 10, 2, 1, 7, 8, 9], [25, 100, 20, 10, 70, 80, 90]
    metrics = {
        "time": ("gauge", [1000 * (BEGIN + second + 1)]),
        "vus": ("gauge", [7]),
        "http_reqs": ("counter", [110, 110]),
        "http_req_duration": ("trend", reads),
        "http_req_failed": ("rate", [failed / 110]),
    }
    for name, count, times in [(READ, 100, reads), (WRITE, 10, writes)]:
        metrics |= {
            f"http_reqs{{name:{name}}}": ("counter", [count, count]),
            f"http_req_duration{{name:{name}}}": ("trend", times),
            f"http_req_failed{{name:{name}}}": ("rate", [failed / 100 if name == READ else 0]),
        }
    if failed:
        metrics["http_reqs{error_code:1503}"] = ("counter", [failed, failed])
        metrics["http_req_failed{error_code:1503}"] = ("rate", [1])
        metrics["http_reqs{name:setup}"] = ("counter", [])  # none in this second
    return metrics


def record(failed_at):
    """What k6's dashboard records."""
    yield {"event": "param", "data": {"aggregates": AGGREGATES}}
    yield {"event": "start", "data": [[1000 * BEGIN]]}
    known = {}
    for second in range(SECONDS):
        found = second_of_k6(second, 3 if second == failed_at else 0)
        new = {name: {"type": kind} for name, (kind, _) in found.items() if name not in known}
        if new:
            known |= new
            yield {"event": "metric", "data": new}
        values = [found[name][1] if name in found else [] for name in sorted(known)]
        yield {"event": "snapshot", "data": values}


def values_of(instance, second):
    """Counters of an instance since it began."""
    done = 50 * second if instance.startswith("read") else 10 * second
    route = 'method="GET",route="/x"' if instance.startswith("read") else 'method="POST",route="/y"'
    values = {
        'faststock_build_info{service="x",version="1.2.3",commit="abcdef"}': 1,
        f'http_requests_total{{{route},status="200"}}': 1000 + done,
        "process_cpu_seconds_total": 5 + 0.1 * second,
        "process_resident_memory_bytes": 2**24,
        'faststock_pool_wait_seconds_count{store="postgres"}': 10 * second,
        'faststock_pool_wait_seconds_sum{store="postgres"}': 0.03 * second,
    }
    if instance.startswith("read"):
        tiers = [("l1", 40), ("redis", 7.5), ("db", 2.5)]
        values |= {
            f'faststock_cache_requests_total{{tier="{tier}",result="hit"}}': count * second
            for tier, count in tiers
        }
        values["faststock_watermark_age_seconds"] = 0.08
    else:
        values |= {
            f'http_requests_total{{{route},status="409"}}': 2 * second,
            "faststock_write_batch_commands_sum": 12 * second,
            "faststock_write_batch_commands_count": 4 * second,
            "faststock_write_wait_seconds_sum": 0.024 * second,
            "faststock_write_wait_seconds_count": 12 * second,
        }
    return values


def samples():
    for second in range(SECONDS + 1):
        for instance in INSTANCES:
            time = BEGIN + second
            yield {
                "time": time,
                "instance": instance,
                "scraped": time + 0.01,
                "values": values_of(instance, second),
            }


def process_rows():
    for second in range(SECONDS + 1):
        for name, cores in PROCESSES.items():
            yield {
                "time": BEGIN + second,
                "process": name,
                "scraped": BEGIN + second + 0.01,
                "cpu_seconds": 100 + cores * second,
                "memory_bytes": 2**20 * (50 + second),
            }


def endpoint(requests, p50, p95, failed=0):
    return {
        "requests": requests,
        "rps": requests / SECONDS,
        "avg_ms": p50,
        "p50_ms": p50,
        "p90_ms": p95 - 1,
        "p95_ms": p95,
        "p99_ms": p95 + 1,
        "max_ms": 100,
        "failed": failed,
        "wrong_answers": failed,
    }


def summary(failed, p95_limit):
    slow = p95_limit <= 8
    rate = failed / (100 * SECONDS)
    rules = [
        ("http_req_failed", "rate==0", not failed, rate),
        ("checks", "rate==1", not failed, 1 - rate),
        (f"http_req_duration{{name:{READ}}}", f"p(95)<{p95_limit}", not slow, 8),
        (f"http_req_failed{{name:{READ}}}", "rate==0", not failed, rate),
        (f"http_reqs{{name:{READ}}}", "count>0", True, 2000),
        (f"http_req_duration{{name:{WRITE}}}", "p(95)<500", True, 80),
        ("units_sold", "count==5", True, 5),
    ]
    return {
        "scenario": "mixed",
        "settings": {"VUS": "7", "P95_MS": str(p95_limit)},
        "duration_s": SECONDS,
        "vus_max": 7,
        "passed": not failed and not slow,
        "endpoints": {READ: endpoint(2000, 2, 8, failed), WRITE: endpoint(200, 20, 80)},
        "all": endpoint(2200, 2.1, 9, failed),
        "dropped_arrivals": 0,
        "thresholds": [
            {"metric": metric, "rule": rule, "ok": ok, "value": value}
            for metric, rule, ok, value in rules
        ],
    }


MANIFEST = {
    "scenario": "mixed",
    "command": "./dev load mixed --vus 7",
    "target": "http://127.0.0.1:18080",
    "begin": "2023-11-14 22:13:20 UTC",
    "end": "2023-11-14 22:13:40 UTC",
    "commit": "abc+",
    "machine": {
        "cpus": 2,
        "cpu": "Abacus",
        "memory": "8 GiB",
        "os": "Debian",
        "kernel": "6",
        "architecture": "x86_64",
    },
    "where": "k6 on 2 CPUs (Abacus)",
    "problems": {},
    "status": 0,
}


@pytest.fixture
def make_run(tmp_path):
    """Writes a run with that name and reads it; `seen` False: without what the sampler saw."""

    def make(name="run", failed_at=None, p95_limit=500, seen=True, **changes):
        folder = tmp_path / name
        folder.mkdir()
        lines = samples() if seen else []
        (folder / "metrics.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines))
        rows = process_rows() if seen else []
        write_rows(folder / "processes.csv", sampler.PROCESS_COLUMNS, rows)
        events = map(json.dumps, record(failed_at))
        (folder / "record.ndjson").write_text("\n".join(events))
        found = summary(3 if failed_at is not None else 0, p95_limit)
        (folder / "summary.json").write_text(json.dumps(found))
        (folder / "run.json").write_text(json.dumps({**MANIFEST, "name": name, **changes}))
        (folder / "k6.html").write_text("k6's page")
        return recording.read(folder)

    return make
