"""A row per service and a row per pod each second, into services.csv and pods.csv.

Replicas come from the Deployment and the HPA, CPU from the metrics API (the HPA's source), and
requests, tiers and waits from the /metrics of each pod, which the API server hands on from its
operations port. A value that cannot be had is an empty field; one that is always missing is named
at the end.
"""

import concurrent.futures
import csv
import re
import threading
import time

from reporting.counters import series

OPS_PORT = 9090
KEDA_PREFIX = "keda-hpa-"  # of the HPA that KEDA makes of a ScaledObject
SERVICES = ("read-svc", "write-svc")
SERVICE_COLUMNS = [
    "time",
    "service",
    "desired",
    "existing",
    "ready",
    "hpa_desired",
    "hpa_min",
    "hpa_max",
    "hpa_cpu_percent",
    "hpa_target_percent",
    "hpa_load_percent",
    "hpa_load_metric",
]
# Counters of a pod: column -> metric and the labels that must be there; matching series are summed.
COUNTERS = {
    "requests": ("http_requests_total", ""),
    "requests_5xx": ("http_requests_total", 'status="5'),
    "requests_shed": ("http_requests_shed_total", ""),
    "connections": ("http_connections", ""),
    "in_flight": ("http_requests_in_flight", ""),
    "cpu_seconds": ("process_cpu_seconds_total", ""),
    "l1_hits": ("faststock_cache_requests_total", 'tier="l1",result="hit"'),
    "l1_stale": ("faststock_cache_requests_total", 'tier="l1",result="stale"'),
    "redis_hits": ("faststock_cache_requests_total", 'tier="redis",result="hit"'),
    "redis_misses": ("faststock_cache_requests_total", 'tier="redis",result="miss"'),
    "db_hits": ("faststock_cache_requests_total", 'tier="db",result="hit"'),
    "watermark_age_seconds": ("faststock_watermark_age_seconds", ""),
    "flights_shared": ("faststock_load_flights_shared_total", ""),
    "postgres_waits": ("faststock_pool_wait_seconds_count", 'store="postgres'),
    "postgres_wait_seconds": ("faststock_pool_wait_seconds_sum", 'store="postgres'),
    "redis_waits": ("faststock_pool_wait_seconds_count", 'store="redis'),
    "redis_wait_seconds": ("faststock_pool_wait_seconds_sum", 'store="redis'),
    "pool_timeouts": ("faststock_pool_timeouts_total", ""),
}
POD_COLUMNS = [
    "time",
    "service",
    "pod",
    "ready",
    "ending",
    "cpu_api",
    "memory_api",
    "scraped",
    *COUNTERS,
]


def parse_metrics(text):
    """The counters of COUNTERS in a page of metrics; None for one that it lacks."""
    found = dict.fromkeys(COUNTERS)
    for name, labels, value in series(text):
        for column, (metric, wanted) in COUNTERS.items():
            if name == metric and wanted in labels:
                found[column] = (found[column] or 0) + value
    return found


def parse_quantity(text):
    """A CPU or memory quantity of the metrics API as a number of cores or bytes."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(n|u|m|k|M|G|Ki|Mi|Gi)?", text)
    factors = {
        "n": 1e-9,
        "u": 1e-6,
        "m": 1e-3,
        None: 1,
        "k": 1e3,
        "M": 1e6,
        "G": 1e9,
        "Ki": 2**10,
        "Mi": 2**20,
        "Gi": 2**30,
    }
    return float(match[1]) * factors[match[2]]


class Sampler:
    """Samples in a thread of its own from start() to stop(). `latest` is the last row of each
    service, with the requests a second."""

    def __init__(self, api, release, folder):
        self._api, self._release = api, release
        self._files = [
            open(folder / name, "w", newline="") for name in ("services.csv", "pods.csv")
        ]
        self._services = csv.DictWriter(self._files[0], SERVICE_COLUMNS)
        self._pods = csv.DictWriter(self._files[1], POD_COLUMNS)
        self._scrapers = concurrent.futures.ThreadPoolExecutor(8)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._before = {}  # pod -> (time, requests) of the sample before
        self.latest = {}
        self.samples = 0
        self.problems = {}  # name of a missing value -> [how often, the last reason]

    def start(self):
        self._services.writeheader()
        self._pods.writeheader()
        self._thread.start()

    def stop(self):
        if self._thread.is_alive():
            self._stop.set()
            self._thread.join()
        self._scrapers.shutdown()
        for file in self._files:
            file.close()

    def _run(self):
        next_time = time.time()
        while not self._stop.wait(max(0, next_time - time.time())):
            next_time = max(next_time + 1, time.time() - 1)  # missed samples are not made up for
            try:
                self._sample(round(time.time(), 3))
            except OSError as error:
                self._problem("the API server", error)
            except (KeyError, ValueError) as error:
                self._problem("answers of the API server", repr(error))

    def _sample(self, now):
        namespace = self._release.namespace
        selector = f"labelSelector=app.kubernetes.io/instance%3D{self._release.name}"
        paths = {
            "deployments": f"/apis/apps/v1/namespaces/{namespace}/deployments?{selector}",
            "hpas": (
                f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers?{selector}"
            ),
            "pods": (
                f"/api/v1/namespaces/{namespace}/pods?{selector}"
                ",app.kubernetes.io/component+in+(read-svc,write-svc)"
            ),
            "usage": f"/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods?{selector}",
        }
        waiting = {key: self._scrapers.submit(self._api.json, path) for key, path in paths.items()}
        found = {
            key: self._result(f"{key} of the API server", future) for key, future in waiting.items()
        }
        usage = container_usage(found["usage"])
        pods = [pod_row(now, pod, usage) for pod in found["pods"]["items"]]
        running = {
            pod["metadata"]["name"] for pod in found["pods"]["items"] if pod["status"].get("podIP")
        }
        scrapes = {
            row["pod"]: self._scrapers.submit(self._scrape, row["pod"])
            for row in pods
            if row["pod"] in running
        }
        for row in pods:
            if row["pod"] in scrapes:
                row |= (
                    self._result(
                        f"/metrics of {row['service']} pods",
                        scrapes[row["pod"]],
                        expected=row["ready"],
                    )
                    or {}
                )
        self._write(now, found, pods)

    def _scrape(self, pod):
        begin = time.time()
        text = self._api.text(
            f"/api/v1/namespaces/{self._release.namespace}/pods/{pod}:{OPS_PORT}/proxy/metrics",
            timeout=1,
        )
        return {"scraped": round((begin + time.time()) / 2, 3), **parse_metrics(text)}

    def _result(self, what, future, expected=True):
        try:
            return future.result()
        except OSError as error:
            if expected:
                self._problem(what, error)
            return {"items": []} if "API server" in what else None

    def _problem(self, what, error):
        count, _ = self.problems.get(what, (0, ""))
        self.problems[what] = (count + 1, str(error))

    def _write(self, now, found, pods):
        for service in SERVICES:
            name = f"{self._release.fullname}-{service}"
            hpa = named(found["hpas"], name) or named(found["hpas"], KEDA_PREFIX + name)
            row = service_row(now, service, named(found["deployments"], name), hpa)
            if row:
                self._services.writerow(row)
                self.latest[service] = {
                    **row,
                    "rps": self._rate([pod for pod in pods if pod["service"] == service]),
                }
        for row in pods:
            self._pods.writerow(row)
        for file in self._files:
            file.flush()
        self.samples += 1

    def _rate(self, pods):
        rate = 0
        for row in pods:
            if row.get("requests") is None:
                continue
            time_before, before = self._before.get(row["pod"], (row["scraped"], row["requests"]))
            rate += max(0, row["requests"] - before) / max(0.2, row["scraped"] - time_before)
            self._before[row["pod"]] = (row["scraped"], row["requests"])
        return rate


def named(answer, name):
    return next((item for item in answer["items"] if item["metadata"]["name"] == name), None)


def service_row(now, service, deployment, hpa):
    if not deployment:
        return None
    status = deployment["status"]
    row = {
        "time": now,
        "service": service,
        "desired": deployment["spec"]["replicas"],
        "existing": status.get("replicas", 0),
        "ready": status.get("readyReplicas", 0),
    }
    if hpa:
        spec, status = hpa["spec"], hpa["status"]
        row |= {
            "hpa_desired": status.get("desiredReplicas"),
            "hpa_min": spec.get("minReplicas", 1),
            "hpa_max": spec["maxReplicas"],
        }
        row |= {
            "hpa_cpu_percent": cpu_metric(status.get("currentMetrics"), "current"),
            "hpa_target_percent": cpu_metric(spec.get("metrics"), "target"),
        }
        loads = metric_loads(hpa)
        if loads:
            metric = max(loads, key=loads.get)
            row |= {"hpa_load_percent": round(loads[metric], 1), "hpa_load_metric": metric}
    return row


def metric_loads(hpa):
    """What the autoscaler sees, in percent of its target, by the metric's name; those that it does
    not see yet are missing."""
    targets = metric_values(hpa["spec"].get("metrics"), "target")
    seen = metric_values(hpa["status"].get("currentMetrics"), "current")
    return {name: 100 * seen[name] / target for name, target in targets.items() if name in seen}


def metric_values(metrics, part):
    """The mean of a pod by the metric's name."""
    found = {}
    for metric in metrics or []:
        source = next((value for value in metric.values() if isinstance(value, dict)), {})
        name = source.get("name") or source.get("metric", {}).get("name")
        value = source.get(part) or {}
        number = value.get("averageUtilization", value.get("averageValue"))
        if name and number is not None:
            found[name] = parse_quantity(str(number))
    return found


def cpu_metric(metrics, part):
    """averageUtilization of the CPU of the service's container."""
    for metric in metrics or []:
        source = metric.get("containerResource") or {}
        if source.get("name") == "cpu":
            return source[part].get("averageUtilization")
    return None


def container_usage(answer):
    """{(pod, container): (cores, bytes)} of the metrics API."""
    return {
        (item["metadata"]["name"], container["name"]): (
            parse_quantity(container["usage"]["cpu"]),
            parse_quantity(container["usage"]["memory"]),
        )
        for item in answer["items"]
        for container in item["containers"]
    }


def pod_row(now, pod, usage):
    name, service = (
        pod["metadata"]["name"],
        pod["metadata"]["labels"]["app.kubernetes.io/component"],
    )
    ready = any(
        c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", [])
    )
    cpu, memory = usage.get((name, service), (None, None))
    return {
        "time": now,
        "service": service,
        "pod": name,
        "ready": int(ready),
        "ending": int("deletionTimestamp" in pod["metadata"]),
        "cpu_api": cpu,
        "memory_api": memory,
    }
