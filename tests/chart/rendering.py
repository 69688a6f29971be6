"""Rendering of the chart for the checks: `helm template` with a values file and settings, as a list
of objects."""

import functools
import json
import pathlib
import subprocess

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "helm/faststock"
LOAD_CHART = ROOT / "helm/faststock-load"

# Every values file in every routing mode, as (name, arguments of helm).
VALUES = {
    "default": [],
    "kind": ["--values", str(CHART / "values-kind.yaml")],
    "bench": ["--values", str(CHART / "values-bench.yaml")],
    "lessons": ["--values", str(CHART / "values-lessons.yaml")],
    "external": ["--values", str(CHART / "values-external.yaml")],
    "keda": ["--values", str(CHART / "values-keda.yaml")],
    "prometheus-adapter": ["--values", str(CHART / "values-prometheus-adapter.yaml")],
}
MODES = {
    "ingress-nginx": ["--set", "routing.mode=ingress-nginx"],
    "f5": ["--set", "routing.mode=f5,routing.hosts={stock.example.com}"],
    "gateway": ["--set", "routing.mode=gateway,routing.rateLimit.enabled=false,routing.tlsSecret="],
    "gateway-method": [
        "--set",
        "routing.mode=gateway,routing.gateway.match=method,routing.rateLimit.enabled=false,"
        "routing.tlsSecret=",
    ],
    "none": ["--set", "routing.mode=none"],
}
EVERYTHING = [
    "--set",
    "monitoring.serviceMonitor.enabled=true,monitoring.prometheusRule.enabled=true,"
    "monitoring.dashboard.enabled=true,monitoring.traces.endpoint=http://collector:4318",
    "--set",
    "readSvc.autoscaling.mode=keda,routing.rateLimit.enabled=true,routing.tlsSecret=tls,"
    "routing.hosts={stock.example.com,shop.example.com}",
    "--set",
    "writeSvc.tokensSecret=tokens,postgres.replica.host=replica,redis.replica.host=replica,"
    "readSvc.priorityClassName=high",
    "--set-json", 'readSvc.nodeSelector={"disk":"ssd"}',
    "--set-json", 'readSvc.podAnnotations={"a":"b"}',
    "--set-json", 'commonLabels={"team":"stock"}', "--set-json", 'images.pullSecrets=["registry"]',
]
REDIS_TLS = [
    "--set",
    "redis.mode=external,redis.existingSecret=faststock-stores,redis.external.userKey=redis-user",
    "--set", "redis.external.host=redis.example.internal,redis.external.port=6380",
    "--set", "redis.replica.host=replica.example.internal,redis.replica.port=6380",
    "--set", "redis.external.tls.enabled=true,redis.external.tls.caSecret=redis-ca",
    "--set",
    "redis.external.tls.clientSecret=redis-client,redis.external.tls.serverName=redis.internal",
]
REDIS_SENTINEL = [
    "--set",
    "redis.mode=external,redis.existingSecret=faststock-stores,redis.external.userKey=redis-user",
    "--set-json",
    'redis.external.sentinel={"hosts":["sentinel-0.example.internal","2001:db8::1"],'
    '"master":"stock-cache","userKey":"sentinel-user","passwordKey":"sentinel-password"}',
    "--set", "redis.external.database=3",
]
ENVOY_GATEWAY = [
    "--set",
    "routing.mode=gateway,routing.gateway.envoyPolicy.enabled=true,routing.rateLimit.enabled=true",
]
RENDERS = {
    f"{values}, {mode}": VALUES[values] + MODES[mode] for values in VALUES for mode in MODES
} | {
    "everything": EVERYTHING,
    "redis with tls": REDIS_TLS,
    "sentinels": REDIS_SENTINEL,
    "envoy gateway": ENVOY_GATEWAY,
}


def run_helm(*arguments):
    return subprocess.run(["helm", *arguments], capture_output=True, text=True)


@functools.cache
def render_text(*arguments):
    result = run_helm("template", "fs", str(CHART), "--namespace", "stock", *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


def render(*arguments):
    """The objects of a render."""
    return [o for o in yaml.safe_load_all(render_text(*arguments)) if o]


def refusal(*arguments):
    """The message of a render that must fail."""
    result = run_helm("template", "fs", str(CHART), *arguments)
    assert result.returncode != 0, "it rendered, but should have been refused"
    return result.stderr


def one(objects, kind, name):
    found = [
        o for o in objects if o["kind"] == kind and o["metadata"]["name"] == f"fs-faststock{name}"
    ]
    assert len(found) == 1, f"{len(found)} objects {kind} fs-faststock{name}"
    return found[0]


def kinds(objects, kind):
    return [o for o in objects if o["kind"] == kind]


def pod_spec(workload):
    """Of a Deployment, StatefulSet, Job or Pod."""
    return workload["spec"] if workload["kind"] == "Pod" else workload["spec"]["template"]["spec"]


def workloads(objects):
    return [o for o in objects if o["kind"] in ("Deployment", "StatefulSet", "Job", "Pod")]


def containers(pod):
    return pod.get("initContainers", []) + pod["containers"]


def env(container):
    return {e["name"]: e.get("value", e.get("valueFrom")) for e in container.get("env", [])}


def to_set(**values):
    """--set-json arguments for dotted keys, written with __ for the dots."""
    return [
        part
        for key, value in values.items()
        for part in ("--set-json", f"{key.replace('__', '.')}={json.dumps(value)}")
    ]
