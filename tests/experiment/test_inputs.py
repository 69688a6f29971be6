"""The inputs of the experiment: profiles, k6's record, metrics of the pods and of the cluster."""

import contextlib
import json
import re

import pytest

from conftest import ROOT
from experiment import __main__ as command
from experiment import cluster, profiles, run, sampler
from reporting import k6
from reporting.rows import RecordingError


def test_profiles_are_those_of_the_scenario():
    text = (ROOT / "k6/ramp.js").read_text()
    table = re.search(r"const PROFILES = (\{.*?\});", text, re.DOTALL)[1]
    as_json = re.sub(r",(\s*\})", r"\1", re.sub(r"(\w+):", r'"\1":', table))
    assert {
        name: [tuple(stage) for stage in stages] for name, stages in json.loads(as_json).items()
    } == profiles.PROFILES


@pytest.mark.parametrize("profile", profiles.PROFILES)
def test_stages_keep_the_duration_and_the_tail(profile):
    stages = profiles.make_stages(profile, 1000, 180, 60)
    assert profiles.length(stages) == 240
    assert stages[0][1] == stages[-1][1] == 100
    assert max(rate for _, rate in stages) == 1000


def test_the_planned_rate():
    stages = profiles.make_stages("ramp", 1000, 100, 20)
    assert profiles.stages_text(stages) == "10s:100,40s:1000,20s:1000,20s:100,30s:100"
    assert [profiles.rate_at(stages, time) for time in (-1, 0, 30, 60, 80, 119, 120)] == [
        0,
        100,
        550,
        1000,
        550,
        100,
        0,
    ]
    assert profiles.landmarks(stages) == {"rise": 10, "peak": 50, "fall": 70, "base": 90}


def test_a_jump_is_a_moment():
    stages = profiles.make_stages("step", 1000, 100, 20)
    assert profiles.landmarks(stages) == {"rise": 20, "peak": 20, "fall": 70, "base": 70}
    assert [profiles.rate_at(stages, time) for time in (19.9, 20, 69.9, 70)] == [
        100,
        1000,
        1000,
        100,
    ]


RECORD = [
    {
        "event": "param",
        "data": {
            "aggregates": {
                "counter": ["count", "rate"],
                "gauge": ["value"],
                "rate": ["rate"],
                "trend": ["avg", "med", "p(95)", "p(99)"],
            }
        },
    },
    {"event": "metric", "data": {"time": {"type": "gauge"}}},
    {"event": "start", "data": [[1_700_000_000_500]]},
    {
        "event": "metric",
        "data": {
            "http_req_duration": {"type": "trend"},
            "http_req_failed": {"type": "rate"},
            "http_reqs": {"type": "counter"},
        },
    },
    {"event": "cumulative", "data": [[9, 9, 9, 9], [0.9], [999, 999], [1_700_000_001_500]]},
    {"event": "snapshot", "data": [[5, 4, 9, 12], [0], [100, 100], [1_700_000_001_500]]},
    {
        "event": "metric",
        "data": {"dropped_iterations": {"type": "counter"}, "vus": {"type": "gauge"}},
    },
    {
        "event": "snapshot",
        "data": [[7, 7], [50, 40, 90, 120], [0.025], [80, 80], [1_700_000_002_500], [33]],
    },
    {"event": "snapshot", "data": [[0, 0], [0, 0, 0, 0], [0], [0, 0], [1_700_000_003_500], [33]]},
]


def test_k6s_record(tmp_path):
    file = tmp_path / "record.ndjson"
    file.write_text("\n".join(map(json.dumps, RECORD)))
    begin, rows = k6.read(file)
    assert begin == 1_700_000_000.5
    assert rows[0] == {
        "time": 1_700_000_001.5,
        "requests": 100,
        "failed": 0,
        "dropped": 0,
        "p50_ms": 4,
        "p95_ms": 9,
        "p99_ms": 12,
        "max_ms": None,
        "vus": None,
    }
    assert (rows[1]["requests"], rows[1]["failed"], rows[1]["dropped"], rows[1]["vus"]) == (
        80,
        2,
        7,
        33,
    )  # metrics that came later have their place
    assert rows[2]["p95_ms"] is None  # no answer, no latency


def test_a_record_of_something_else_is_refused(tmp_path):
    (tmp_path / "record").write_text('{"event": "stop", "data": []}\n')
    with pytest.raises(RecordingError):
        k6.read(tmp_path / "record")


METRICS = """\
# HELP http_requests_total Requests.
# TYPE http_requests_total counter
http_requests_total{method="GET",route="/api/products/{id}/stock",status="200"} 269
http_requests_total{method="GET",route="/api/products",status="503"} 5
http_request_duration_seconds_count{method="GET",route="/api/products"} 45
faststock_cache_requests_total{tier="l1",result="hit"} 9001
faststock_cache_requests_total{tier="l1",result="stale"} 3
faststock_watermark_age_seconds 0.0425
faststock_cache_requests_total{tier="redis",result="hit"} 1318
faststock_cache_requests_total{tier="db",result="hit"} 746
faststock_pool_wait_seconds_sum{store="postgres"} 0.06177
faststock_pool_wait_seconds_sum{store="postgres-replica"} 0.5
process_cpu_seconds_total 0.824855287
"""


def test_metrics_of_a_pod():
    found = sampler.parse_metrics(METRICS)
    assert (found["requests"], found["requests_5xx"]) == (274, 5)
    assert (found["redis_hits"], found["db_hits"], found["redis_misses"]) == (1318, 746, None)
    assert (found["l1_hits"], found["l1_stale"]) == (9001, 3)
    assert found["watermark_age_seconds"] == 0.0425
    assert found["postgres_wait_seconds"] == pytest.approx(0.56177)
    assert found["cpu_seconds"] == 0.824855287


@pytest.mark.parametrize(
    "text, value",
    [
        ("137m", 0.137),
        ("12345678n", 0.012345678),
        ("250u", 0.00025),
        ("2", 2),
        ("0.5", 0.5),
        ("15Mi", 15 * 2**20),
    ],
)
def test_quantities(text, value):
    assert sampler.parse_quantity(text) == pytest.approx(value)


def test_a_row_of_a_service():
    deployment = {"spec": {"replicas": 4}, "status": {"replicas": 4, "readyReplicas": 2}}
    source = {"name": "cpu", "container": "read-svc"}
    hpa = {
        "spec": {
            "minReplicas": 1,
            "maxReplicas": 6,
            "metrics": [{"containerResource": {**source, "target": {"averageUtilization": 70}}}],
        },
        "status": {
            "desiredReplicas": 5,
            "currentMetrics": [
                {"resource": {}},
                {"containerResource": {**source, "current": {"averageUtilization": 151}}},
            ],
        },
    }
    row = sampler.service_row(1.0, "read-svc", deployment, hpa)
    assert (row["desired"], row["existing"], row["ready"]) == (4, 4, 2)
    assert (row["hpa_desired"], row["hpa_cpu_percent"], row["hpa_target_percent"]) == (5, 151, 70)
    assert "hpa_min" not in sampler.service_row(1.0, "read-svc", deployment, None)
    assert sampler.service_row(1.0, "read-svc", None, None) is None


def test_settings_of_k6_reach_the_load():
    options = command.parse(["--env", "K6_NO_CONNECTION_REUSE=true", "--env", "WRITE_TOKEN=a=b"])
    arguments = run.load_arguments(options, [(20, 100)], "out")
    given = [value for name, value in zip(arguments, arguments[1:]) if name == "--env"]
    assert given[:2] == ["K6_NO_CONNECTION_REUSE=true", "WRITE_TOKEN=a=b"]
    assert "DROPPED_MAX=1000000000" in given  # ours come after


@pytest.mark.parametrize("text", ["", "bogus", "=x", "lower=1", "A B=1"])
def test_a_setting_of_k6_is_a_name_and_a_value(text, capsys):
    with pytest.raises(SystemExit) as ended:
        command.parse(["--env", text])
    assert ended.value.code == 2
    assert f"'{text}' is no NAME=VALUE" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "readSvc.poolSize", "=1"])
def test_a_value_of_the_chart_has_a_key_and_a_value(text, capsys):
    with pytest.raises(SystemExit) as ended:
        command.parse(["--set", text])
    assert ended.value.code == 2
    assert f"'{text}' is no KEY=VALUE" in capsys.readouterr().err


def test_a_run_that_was_refused_leaves_no_folder(tmp_path, monkeypatch):
    class Release:
        def __init__(self, name, namespace):
            self.namespace = namespace

        def revision(self):
            return 1

        def change(self, settings, files):
            raise cluster.ClusterError("values don't meet the specifications")

        def restore(self, revision):
            pass

    monkeypatch.setattr(cluster, "Release", Release)
    monkeypatch.setattr(cluster, "Api", contextlib.nullcontext)
    monkeypatch.setattr(cluster, "run", lambda *words: "")
    monkeypatch.setattr(run.signal, "signal", lambda *words: None)
    folder = tmp_path / "run"
    options = command.parse(["--set", "readSvc.bogus=1", "--out", str(folder)])
    with pytest.raises(cluster.ClusterError):
        run.conduct(options, folder, "command")
    assert not folder.exists()


def test_the_metric_that_asks_for_the_most_pods():
    """As in the status of an HPA that KEDA made; the second metric is not seen yet."""
    rates, threads = {"metric": {"name": "s0-prometheus"}}, {"metric": {"name": "s1-prometheus"}}
    cpu = {"name": "cpu", "container": "read-svc"}
    spec = [
        {"type": "External", "external": {**rates, "target": {"averageValue": "20"}}},
        {"type": "External", "external": {**threads, "target": {"averageValue": "70"}}},
        {"type": "ContainerResource",
         "containerResource": {**cpu, "target": {"averageUtilization": 70}}},
    ]  # fmt: skip
    seen = [
        {"type": "External", "external": {**rates, "current": {"averageValue": "36500m"}}},
        {"type": "ContainerResource",
         "containerResource": {**cpu, "current": {"averageUtilization": 35}}},
    ]  # fmt: skip
    hpa = {"spec": {"maxReplicas": 6, "metrics": spec}, "status": {"currentMetrics": seen}}
    assert sampler.metric_loads(hpa) == {"s0-prometheus": 182.5, "cpu": 50}
    row = sampler.service_row(1.0, "read-svc", {"spec": {"replicas": 1}, "status": {}}, hpa)
    assert (row["hpa_load_percent"], row["hpa_load_metric"]) == (182.5, "s0-prometheus")
    assert set(row) <= set(sampler.SERVICE_COLUMNS)
    unseen = {"spec": hpa["spec"], "status": {"currentMetrics": None}}
    assert sampler.metric_loads(unseen) == {}
