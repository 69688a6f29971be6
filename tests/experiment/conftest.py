"""A recording as the experiment leaves it, made by hand: each number of its report can be told
beforehand.

    time   0      20         30       35        80      140        150       160      170
    load   10/s   200/s                         10/s                                  end
    pods   1      1          4 want   4 ready   4       1 wanted   gone

Each of the pods takes an equal share; in [22, 32) the p95 is above the SLO.
"""

import json
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "k8s"), str(ROOT / "scripts/lib")]
from experiment import profiles, recording, sampler  # noqa: E402
from reporting import k6, rows  # noqa: E402

STAGES = [(20, 10), (0, 200), (60, 200), (0, 10), (90, 10)]
BEGIN = 1_700_000_000.0
FIRST, LAST = -5, 180
NEW_SEEN, NEW_READY, DOWN, GONE = 30, 35, 140, 150
NEW_PODS = ["fs-read-svc-b", "fs-read-svc-c", "fs-read-svc-d"]


def ready_pods(time):
    return ["fs-read-svc-a"] + (NEW_PODS if NEW_READY <= time < DOWN else [])


def served(pod, time):
    return profiles.rate_at(STAGES, time) / len(ready_pods(time)) if pod in ready_pods(time) else 0


def service_rows():
    for time in range(FIRST, LAST + 1):
        wanted = 4 if NEW_SEEN <= time < DOWN else 1
        yield {
            "time": BEGIN + time,
            "service": "read-svc",
            "desired": wanted,
            "existing": wanted,
            "ready": len(ready_pods(time)),
            "hpa_desired": wanted,
            "hpa_min": 1,
            "hpa_max": 6,
            "hpa_cpu_percent": 150 if 25 <= time < 80 else 10,
            "hpa_target_percent": 70,
        }


def pod_rows():
    counters = {pod: dict.fromkeys(sampler.COUNTERS, 0.0) for pod in ["fs-read-svc-a", *NEW_PODS]}
    counters["fs-read-svc-a"] |= {"requests": 5000.0, "cpu_seconds": 7.0}  # it was there before
    for time in range(FIRST, LAST + 1):
        for pod, counted in counters.items():
            if pod in NEW_PODS and not NEW_SEEN <= time < GONE:
                continue
            counted["requests"] += served(pod, time)
            counted["l1_hits"] += served(pod, time)
            counted["watermark_age_seconds"] = 0.08
            counted["cpu_seconds"] += served(pod, time) * 0.0007  # 0.14 cores at 200 a second
            counted["postgres_waits"] += 1
            counted["postgres_wait_seconds"] += 0.002
            ending = pod in NEW_PODS and time >= DOWN
            yield {
                "time": BEGIN + time,
                "service": "read-svc",
                "pod": pod,
                "ready": int(pod in ready_pods(time)),
                "ending": int(ending),
                "cpu_api": 0.05,
                "memory_api": 1e7,
                "scraped": BEGIN + time + 0.1,
                **counted,
            }


def load_rows(failed_at):
    for second in range(profiles.length(STAGES)):
        requests = round(profiles.rate_at(STAGES, second))
        slow = 22 <= second < 32
        yield {
            "time": BEGIN + second + 1,
            "requests": requests,
            "failed": 3 if second == failed_at else 0,
            "dropped": 0,
            "p50_ms": 2,
            "p95_ms": 250 if slow else 20,
            "p99_ms": 400 if slow else 30,
            "max_ms": 500,
            "vus": 5,
        }


def manifest(name, failed):
    requests = sum(
        round(profiles.rate_at(STAGES, second)) for second in range(profiles.length(STAGES))
    )
    values = {"readSvc": {"poolSize": 4}}
    return {
        "name": name,
        "command": "./dev experiment --rate 200",
        "begin": "2023-11-14 22:13:20 UTC",
        "end": "2023-11-14 22:16:20 UTC",
        "profile": "step",
        "rate": 200,
        "to": "ingress",
        "slo_ms": 100,
        "stages": STAGES,
        "fullname": "fs",
        "load_begin": BEGIN,
        "hpa": {
            "min": 1,
            "max": 6,
            "cpu_target": 70,
            "behavior": {},
            "cpu_request": 0.05,
            "cpu_limit": 0.15,
        },
        "cluster": {
            "kubernetes": "v1.34.0",
            "nodes": [{"cpu": "2", "memory": "8Gi", "architecture": "amd64", "os": "Debian"}],
            "commit": "abc",
            "release": {
                "name": "fs",
                "namespace": "fs",
                "chart": "faststock-0.1.0",
                "values": values,
            },
            "images": {"read-svc:1": "sha256:1"},
        },
        "problems": {},
        "k6": {
            "settings": {},
            "endpoints": {},
            "dropped_arrivals": 0,
            "passed": not failed,
            "all": {
                "requests": requests,
                "failed": failed,
                "wrong_answers": failed,
                "p50_ms": 2,
                "p95_ms": 200,
                "p99_ms": 300,
            },
        },
    }


@pytest.fixture
def make_recording(tmp_path):
    """Writes a recording with that name and reads it."""

    def make(name="run", failed_at=None, **changes):
        folder = tmp_path / name
        folder.mkdir()
        rows.write_rows(folder / "services.csv", sampler.SERVICE_COLUMNS, service_rows())
        rows.write_rows(folder / "pods.csv", sampler.POD_COLUMNS, pod_rows())
        rows.write_rows(folder / "load.csv", k6.LOAD_COLUMNS, load_rows(failed_at))
        event = {
            "time": BEGIN + 30,
            "service": "read-svc",
            "reason": "SuccessfulRescale",
            "message": "New size: 4; reason: <cpu>",
        }
        rows.write_rows(folder / "events.csv", recording.EVENT_COLUMNS, [event])
        (folder / "manifest.json").write_text(
            json.dumps({**manifest(name, 3 if failed_at is not None else 0), **changes})
        )
        return recording.read(folder)

    return make
