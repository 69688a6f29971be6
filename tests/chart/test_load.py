"""The load chart's kinds, and the sum of the results of several pods."""

import importlib.util
import json
import statistics
import subprocess
import sys

import pytest
import yaml

from rendering import LOAD_CHART, ROOT, run_helm

TOOL = ROOT / "scripts/lib/merge_load.py"
spec = importlib.util.spec_from_file_location("merge_load", TOOL)
merge_load = importlib.util.module_from_spec(spec)
spec.loader.exec_module(merge_load)

ROUTE = "GET /api/products/{id}/stock"
PERCENTILES = [tenth / 10 for tenth in range(999)] + [99.9 + i / 100 for i in range(11)]


def helm_load(*settings, scenario="stock"):
    script = scenario.replace(".", r"\.") + r"\.js"
    return run_helm(
        "template", "load", str(LOAD_CHART), "--set", f"scenario={scenario}",
        "--set-string", f"scripts.{script}=//", *(f"--set={setting}" for setting in settings),
    )  # fmt: skip


def workload(*settings):
    result = helm_load(*settings)
    assert result.returncode == 0, result.stderr
    return next(
        o for o in yaml.safe_load_all(result.stdout) if o and o["kind"] in ("Job", "Deployment")
    )


def k6_arguments(job, index):
    """What the pod's shell gives to k6."""
    container = job["spec"]["template"]["spec"]["containers"][0]
    script = container["command"][2].replace("$OUT_DIR", "/nowhere").replace("sleep 3", "")
    env = {e["name"]: e["value"] for e in container["env"]}
    env |= {"JOB_COMPLETION_INDEX": str(index), "PATH": "/usr/bin:/bin"}
    stub = 'k6() { echo "$@"; }\ntar() { :; }\n'
    result = subprocess.run(
        ["sh", "-c", stub + script], env=env, capture_output=True, text=True, check=True
    )
    return result.stdout.splitlines()[0]


def test_a_single_pod_makes_the_whole_load():
    job = workload()
    assert k6_arguments(job, 0) == "run /scripts/stock.js"
    assert job["spec"]["backoffLimit"] == 0 and "completionMode" not in job["spec"]


def test_pods_split_the_load():
    job = workload("parallelism=3", "paused=true")
    assert [k6_arguments(job, i) for i in range(3)] == [
        f"run --execution-segment {i}/3:{i + 1}/3 --execution-segment-sequence 0,1/3,2/3,1"
        " /scripts/stock.js"
        for i in range(3)
    ]
    assert job["spec"]["completionMode"] == "Indexed"
    assert job["spec"]["backoffLimitPerIndex"] == 0 and "backoffLimit" not in job["spec"]
    env = {e["name"]: e["value"] for e in job["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert env["PERCENTILES"] == "true" and env["K6_PAUSED"] == "true"


def test_a_run_leaves_what_its_report_is_drawn_from():
    container = workload()["spec"]["template"]["spec"]["containers"][0]
    env = {e["name"]: e.get("value") for e in container["env"]}
    assert env["K6_WEB_DASHBOARD_RECORD"] == "/out/record.ndjson"
    assert env["K6_WEB_DASHBOARD_EXPORT"] == "/out/k6.html"
    assert env["K6_WEB_DASHBOARD_TAGS"] == "name,error_code"  # as scripts/load sets them
    assert "K6_WEB_DASHBOARD_TAGS=name,error_code" in (ROOT / "scripts/load").read_text()


def test_continuous_load_is_a_deployment_that_begins_again():
    deployment = workload("continuous=true")
    assert deployment["kind"] == "Deployment"
    pod = deployment["spec"]["template"]["spec"]
    assert pod["restartPolicy"] == "Always"
    assert "while true" in pod["containers"][0]["command"][2]


@pytest.mark.parametrize(
    "scenario, settings, reason",
    [
        ("stock", ["continuous=true", "parallelism=2"], "with continuous it must be 1"),
        ("stock", ["continuous=true", "paused=true"], "paused is for a Job"),
        ("flash-sale", ["parallelism=2"], "flash-sale cannot be split"),
        ("stock", ["parallelism=0"], "minimum"),
    ],
)
def test_refusals(scenario, settings, reason):
    result = helm_load(*settings, scenario=scenario)
    assert result.returncode != 0 and reason in result.stderr, result.stderr


def quantile(ordered, percentile):
    """As k6 has it."""
    position = percentile / 100 * (len(ordered) - 1)
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (position - low) * (ordered[high] - ordered[low])


def pod_summary(latencies, limit_ms=100, failed=0):
    """As lib-summary.js writes it."""
    ordered = sorted(latencies)
    endpoint = {
        "requests": len(ordered), "rps": len(ordered) / 10, "failed": failed,
        "wrong_answers": failed, "avg_ms": statistics.mean(ordered), "max_ms": ordered[-1],
        "percentiles_ms": [[p, quantile(ordered, p)] for p in PERCENTILES],
    } | {f"p{p}_ms": quantile(ordered, p) for p in (50, 90, 95, 99)}  # fmt: skip
    p95 = quantile(ordered, 95)
    return {
        "scenario": "stock", "settings": {"VUS": "10"}, "duration_s": 10, "vus_max": 5,
        "endpoints": {ROUTE: endpoint}, "all": endpoint, "dropped_arrivals": 1,
        "thresholds": [
            {"metric": f"http_req_duration{{name:{ROUTE}}}", "rule": f"p(95)<{limit_ms}",
             "ok": p95 < limit_ms, "value": p95},
            {"metric": "http_req_failed", "rule": "rate==0", "ok": not failed,
             "value": failed / len(ordered)},
            {"metric": f"http_reqs{{name:{ROUTE}}}", "rule": "count>0", "ok": True,
             "value": len(ordered)},
        ],
    }  # fmt: skip


def test_percentiles_are_those_of_all_requests_not_a_mean_of_the_pods():
    quick, slow = [i / 100 for i in range(9000)], [200 + i / 10 for i in range(1000)]
    merged = merge_load.merge([pod_summary(quick), pod_summary(slow)])
    for percentile in (50, 90, 95, 99):
        low, high = (quantile(sorted(quick + slow), percentile + d) for d in (-0.1, 0.1))
        assert low <= merged["all"][f"p{percentile}_ms"] <= high, percentile
    assert merged["all"]["requests"] == 10000 and merged["all"]["rps"] == 1000
    assert merged["all"]["avg_ms"] == pytest.approx(statistics.mean(quick + slow))
    assert merged["vus_max"] == 10 and merged["dropped_arrivals"] == 2


def test_thresholds_are_judged_by_the_sum():
    many, few = [10] * 9900, [500] * 100
    parts = [pod_summary(many), pod_summary(few)]
    assert not all(row["ok"] for row in parts[1]["thresholds"])
    assert merge_load.merge(parts)["passed"]  # 1 % of all requests are slow
    assert not merge_load.merge([pod_summary(many), pod_summary(few * 10)])["passed"]
    assert not merge_load.merge([pod_summary(many), pod_summary(many, failed=1)])["passed"]


def run_tool(folder):
    return subprocess.run([sys.executable, TOOL, folder], capture_output=True, text=True)


def test_the_tool_writes_the_sum_and_exits_as_k6_does(tmp_path):
    for i, latencies in enumerate([[10, 20], [300, 400]]):
        (tmp_path / f"pod-{i}").mkdir()
        (tmp_path / f"pod-{i}/summary.json").write_text(json.dumps(pod_summary(latencies)))
    result = run_tool(tmp_path)
    assert result.returncode == 99 and "from 2 pods" in result.stdout
    assert json.loads((tmp_path / "summary.json").read_text())["all"]["requests"] == 4
    assert (tmp_path / "summary.txt").read_text() in result.stdout


def test_the_tool_tells_that_results_are_not_whole(tmp_path):
    assert "has no pod-0" in run_tool(tmp_path).stderr
    (tmp_path / "pod-0").mkdir()
    assert "not whole" in run_tool(tmp_path).stderr


def test_the_sample_for_the_operator_names_what_is_there():
    run = yaml.safe_load((ROOT / "k8s/k6-testrun.yaml").read_text())["spec"]
    assert (ROOT / "k6" / run["script"]["configMap"]["file"]).exists()
    values = yaml.safe_load((LOAD_CHART / "values.yaml").read_text())
    assert run["runner"]["image"] == values["image"]
