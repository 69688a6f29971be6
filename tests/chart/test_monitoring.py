"""The dashboard and the alerts ask for metrics that the services have."""

import json
import re
import shutil
import subprocess
import sys

import pytest
import yaml

from rendering import CHART, ROOT, kinds, one, render, run_helm

sys.path.append(str(ROOT / "scripts/lib"))
import monitoring

# The metrics that the services' sources declare, and those that come from elsewhere: Prometheus
# itself, kube-state-metrics.
ELSEWHERE = {"up", "kube_horizontalpodautoscaler_status_desired_replicas"}
SUFFIXES = r"(_bucket|_sum|_count)?$"


def sources():
    """The text of the services' sources."""
    files = [f for part in ("common", "read-svc", "write-svc") for f in (ROOT / part).rglob("*.c")]
    if not files:
        pytest.skip("the services' sources are not here")
    return "\n".join(file.read_text() for file in files)


def declared():
    names = set(re.findall(r'"((?:http|faststock|process)_[a-z0-9_]+)"', sources()))
    assert names
    return names


def asked(expression):
    """Names of metrics in a PromQL expression: identifiers that no parenthesis follows and that are
    outside of braces."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(?:by|without)\s*\([^)]*\)", " ", expression)
    return set(re.findall(r"\b[a-z][a-z0-9_]*_[a-z0-9_]+\b(?!\s*\()|\bup\b", bare))


def dashboard():
    return json.loads((CHART / "dashboards/faststock.json").read_text())


def rules():
    (rule,) = kinds(render("--set", "monitoring.prometheusRule.enabled=true"), "PrometheusRule")
    return rule["spec"]["groups"][0]["rules"]


def test_metrics_exist():
    expressions = [t["expr"] for p in dashboard()["panels"] for t in p.get("targets", [])] + [
        r["expr"] for r in rules()
    ]
    known = declared() | ELSEWHERE
    for expression in expressions:
        names = asked(expression)
        assert names, expression
        missing = {n for n in names if n not in known and re.sub(SUFFIXES, "", n) not in known}
        assert not missing, f"{missing} in {expression}"


def test_dashboard_has_the_panels():
    titles = " / ".join(p["title"] for p in dashboard()["panels"])
    for wanted in (
        "by endpoint",
        "4xx and 5xx",
        "p50, p90, p95, p99",
        "by tier",
        "Wait for a connection",
        "Replicas",
    ):
        assert wanted in titles


def test_dashboard_fits_together():
    panels = dashboard()["panels"]
    assert len({p["id"] for p in panels}) == len(panels)
    for panel in panels:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24


def test_dashboard_in_a_config_map():
    config_map = one(
        render("--set", "monitoring.dashboard.enabled=true"), "ConfigMap", "-dashboard"
    )
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(config_map["data"]["faststock.json"]) == dashboard()


def test_service_monitor_selects_the_ops_services():
    objects = render("--set", "monitoring.serviceMonitor.enabled=true")
    (monitor,) = kinds(objects, "ServiceMonitor")
    selector = monitor["spec"]["selector"]["matchLabels"].items()
    selected = [
        s["metadata"]["name"]
        for s in kinds(objects, "Service")
        if selector <= s["metadata"]["labels"].items()
    ]
    assert sorted(selected) == ["fs-faststock-read-svc-ops", "fs-faststock-write-svc-ops"]
    assert monitor["spec"]["endpoints"][0]["port"] == "ops"


def test_an_alert_of_what_is_absent_says_what():
    """absent() has labels where it is given a plain selector; its summary names the service."""
    (down,) = [r for r in rules() if r["alert"] == "FastStockDown"]
    selectors = re.findall(r"absent\(up(\{[^}]*\})\)", down["expr"])
    assert len(selectors) == down["expr"].count("absent(") == 2
    assert all('service="fs-faststock-' in selector for selector in selectors)
    assert (
        "sum by (namespace, service) (up{" in down["expr"]
        and "$labels.service" in down["annotations"]["summary"]
    )


def test_dashboard_finds_the_autoscaler_of_both_modes():
    (wanted,) = [
        t["expr"]
        for p in dashboard()["panels"]
        for t in p.get("targets", [])
        if "horizontalpodautoscaler=" in t["expr"]
    ]
    pattern = re.search(r'horizontalpodautoscaler=~"([^"]*)"', wanted)[1].replace(
        "$release", "fs-faststock"
    )
    assert all(
        re.fullmatch(pattern, name)
        for name in ("fs-faststock-read-svc", "keda-hpa-fs-faststock-write-svc")
    )


def test_each_alert_has_its_runbook():
    url = "https://docs.example/runbooks.md"
    text = (ROOT / "docs/runbooks.md").read_text()
    headings = [f"#{name.lower()}" for name in re.findall(r"^## (\w+)$", text, re.M)]
    assert headings == [f"#{r['alert'].lower()}" for r in rules()]
    assert [r["annotations"]["runbook"] for r in rules()] == [
        f"docs/runbooks.md{heading}" for heading in headings
    ]
    (rule,) = kinds(
        render(
            "--set",
            f"monitoring.prometheusRule.enabled=true,monitoring.prometheusRule.runbookUrl={url}",
        ),
        "PrometheusRule",
    )
    found = [r["annotations"] for r in rule["spec"]["groups"][0]["rules"]]
    assert [annotations["runbook_url"] for annotations in found] == [url + h for h in headings]
    assert not any("runbook" in annotations for annotations in found)
    links = re.findall(r"\]\((#\w+)\)", text)
    assert links and set(links) <= set(headings)


def test_alerts_name_the_release():
    assert all('namespace="stock"' in r["expr"] and "fs-faststock" in r["expr"] for r in rules())


# -- what fires when: judged by Prometheus' own tool, where it is installed

WRITE = 'namespace="stock",service="fs-faststock-write-svc-ops"'
RELAY_ALERTS = {"FastStockRelayMissing", "FastStockRelayLate", "FastStockPublicationsFail"}
# Each case: what two write-svc export over ten minutes, a value for each pod, and which of the
# relay's alerts then fire.
HEALTHY = {
    "faststock_relay_active": ("1x40", "0x40"),
    "faststock_relay_age_seconds": ("0.1x40", "0x40"),
}
CASES = {
    "healthy": (HEALTHY, set()),
    "no pod is the relay": (
        HEALTHY | {"faststock_relay_active": ("0x40", "0x40")},
        {"FastStockRelayMissing"},
    ),
    "the relay's rounds do not end": (
        HEALTHY | {"faststock_relay_age_seconds": ("0+15x40", "0x40")},
        {"FastStockRelayLate"},
    ),
    "Redis refuses": (
        HEALTHY | {'faststock_publish_total{result="error"}': ("0+3x40", "0x40")},
        {"FastStockPublicationsFail"},
    ),
    "Redis is away": (
        HEALTHY | {'faststock_publish_total{result="skipped"}': ("0x40", "0+3x40")},
        {"FastStockPublicationsFail"},
    ),
    "all is published": (
        HEALTHY | {'faststock_publish_total{result="stored"}': ("0+3x40", "0+3x40")},
        set(),
    ),
}


def series_of(name, pod, values):
    """In promtool's form. A point each 15 s: "1x40" is 1 forty-one times, "0+3x40" counts by
    three."""
    name, _, labels = name.rstrip("}").partition("{")
    start, _, repeat = values.partition("x")
    start = start if "+" in start else f"{start}+0"
    return {
        "series": f'{name}{{{labels + "," if labels else ""}{WRITE},pod="{pod}"}}',
        "values": f"{start}x{repeat}",
    }


def promtool(*arguments):
    program = shutil.which("promtool")
    if not program:
        pytest.skip("promtool (Debian's package prometheus) is not on the PATH")
    result = subprocess.run([program, *arguments], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture
def rules_file(tmp_path):
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "faststock", "rules": rules()}]}))
    return file


def test_prometheus_takes_the_rules(rules_file):
    promtool("check", "rules", str(rules_file))


@pytest.mark.parametrize("case", CASES)
def test_alerts_of_the_relay(case, rules_file, tmp_path):
    series, fired = CASES[case]
    # promtool compares the annotations as well, so the alerts are asked for by their series
    expected = [
        {"labels": f'{{__name__="ALERTS",alertname="{name}"}}', "value": 1}
        for name in sorted(fired)
    ]
    test = {
        "interval": "15s",
        "input_series": [
            series_of(name, pod, value)
            for name, values in series.items()
            for pod, value in zip("ab", values)
        ],
        "promql_expr_test": [{
            "expr": "max by (__name__, alertname) "
            f'(ALERTS{{alertstate="firing",alertname=~"{"|".join(RELAY_ALERTS)}"}})',
            "eval_time": "10m", "exp_samples": expected,
        }],
    }
    file = tmp_path / "test.yaml"
    file.write_text(
        yaml.safe_dump(
            {"rule_files": [str(rules_file)], "evaluation_interval": "15s", "tests": [test]}
        )
    )
    promtool("test", "rules", str(file))


def test_no_alerts_of_a_relay_that_is_not_there():
    (rule,) = kinds(
        render("--set", "monitoring.prometheusRule.enabled=true,redis.mode=none"), "PrometheusRule"
    )
    assert not RELAY_ALERTS & {r["alert"] for r in rule["spec"]["groups"][0]["rules"]}


def scaling_queries():
    """The PromQL of values-keda.yaml and of the rules for prometheus-adapter."""
    objects = render("--values", str(CHART / "values-keda.yaml"))
    triggers = [t for o in kinds(objects, "ScaledObject") for t in o["spec"]["triggers"]]
    asked_by_keda = [t["metadata"]["query"] for t in triggers if t["type"] == "prometheus"]
    for rule in adapter_rules():
        series = re.search('"([a-z_]+)"', rule["seriesQuery"])[1]
        asked_by_keda.append(rule["metricsQuery"].replace("<<.Series>>", series))
    return asked_by_keda


def adapter_rules():
    values = yaml.safe_load((ROOT / "k8s/prometheus-adapter-values.yaml").read_text())
    return values["rules"]["external"]


def test_autoscalers_ask_for_metrics_of_this_release():
    queries = scaling_queries()
    assert len(queries) == 5
    for query in queries:
        names = asked(query)
        assert names and names <= declared(), query
    assert {"http_requests_total", "http_connections"} <= set().union(*map(asked, queries))
    services = set(re.findall(r'namespace="stock",\s*service="([^"]+)"', " ".join(queries)))
    assert services == {"fs-faststock-read-svc-ops", "fs-faststock-write-svc-ops"}


def test_the_adapter_has_the_metrics_of_a_service_without_requests():
    """An HPA of which a metric is missing does not scale down. Counters of requests are there from
    the first request on, gauges from the start."""
    gauges = re.findall(r'METRIC_GAUGE\(\s*"([a-z_]+)"', sources())
    for rule in adapter_rules():
        series = re.search('"([a-z_]+)"', rule["seriesQuery"])[1]
        assert series in gauges and "<<.Series>>" in rule["metricsQuery"]


def test_the_hpa_asks_for_the_metrics_that_the_adapter_has():
    objects = render("--values", str(CHART / "values-prometheus-adapter.yaml"))
    known = {rule["name"]["as"] for rule in adapter_rules()}
    for hpa in kinds(objects, "HorizontalPodAutoscaler"):
        metrics = [m["external"] for m in hpa["spec"]["metrics"] if m["type"] == "External"]
        assert metrics
        for metric in metrics:
            assert metric["metric"]["name"] in known
            assert metric["metric"]["selector"]["matchLabels"] == {
                "service": f"{hpa['metadata']['name']}-ops"
            }


def test_the_clusters_prometheus_finds_the_services():
    text = (ROOT / "tests/e2e/prometheus/prometheus.yaml").read_text()
    (config,) = [
        o["data"]["prometheus.yml"] for o in yaml.safe_load_all(text) if o["kind"] == "ConfigMap"
    ]
    names = yaml.safe_load(config)["scrape_configs"][0]["dns_sd_configs"][0]["names"]
    release = ("--set", "fullnameOverride=faststock")
    headless = {
        o["metadata"]["name"]: [port["name"] for port in o["spec"]["ports"]]
        for o in kinds(render(*release), "Service")
    }
    for name in names:
        port, _, service = name.split(".")[:3]
        assert port == "_ops" and "ops" in headless[service]


# -- traces

ENDPOINT = "http://otel-collector.observability:4318"


def traced(endpoint=ENDPOINT, *arguments):
    return render("--set", f"monitoring.traces.endpoint={endpoint}", *arguments)


def egress(objects, service):
    (policy,) = [
        o for o in kinds(objects, "NetworkPolicy") if o["metadata"]["name"].endswith(service)
    ]
    return policy["spec"]["egress"]


@pytest.mark.parametrize("service", ["read-svc", "write-svc"])
def test_traces_are_off_until_there_is_a_collector(service):
    objects = render()
    config = yaml.safe_load(one(objects, "ConfigMap", f"-{service}")["data"]["service.yaml"])
    assert "otel" not in config
    on = yaml.safe_load(one(traced(), "ConfigMap", f"-{service}")["data"]["service.yaml"])
    assert on["otel"] == {"endpoint": ENDPOINT}
    assert [r for r in egress(traced(), service) if r not in egress(objects, service)] == [
        {"ports": [{"port": 4318}]}
    ]


@pytest.mark.parametrize(
    "endpoint, port",
    [
        ("http://collector", 80),
        ("http://collector:4318/otlp/", 4318),
        ("http://[2001:db8::1]:4319", 4319),
        ("http://[2001:db8::1]", 80),
    ],
)
def test_policy_opens_the_port_of_the_collector(endpoint, port):
    assert {"ports": [{"port": port}]} in egress(traced(endpoint), "read-svc")


def test_policy_opens_the_collectors_pods_alone():
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "observability"}}}
    objects = traced(
        "http://collector.observability",
        "--set-json",
        f'monitoring.traces={{"to":[{json.dumps(peer)}],"ports":[4318]}}',
    )
    assert {"ports": [{"port": 4318}], "to": [peer]} in egress(objects, "write-svc")


@pytest.mark.parametrize(
    "endpoint",
    ["https://collector:4318", "collector:4318", "http://user@collector", "http://collector:0"],
)
def test_endpoints_that_the_services_would_refuse(endpoint):
    result = subprocess.run(
        ["helm", "template", CHART, "--set", f"monitoring.traces.endpoint={endpoint}"],
        capture_output=True,
        text=True,
    )
    assert result.returncode != 0 and "monitoring" in result.stderr, result


def test_the_rules_of_the_local_stack_are_those_of_the_chart():
    rendered = run_helm(
        "template", "faststock", str(CHART), "--namespace", monitoring.NAMESPACE,
        "--set", "monitoring.prometheusRule.enabled=true",
    )
    assert rendered.returncode == 0, rendered.stderr
    (rule,) = kinds([o for o in yaml.safe_load_all(rendered.stdout) if o], "PrometheusRule")
    assert yaml.safe_load(monitoring.rules())["groups"] == rule["spec"]["groups"]
