"""The instances of a release in the cluster that kubectl reaches. They come and go while the load
lasts, so they are asked for anew with each sample."""

import functools
import time

from .sampler import kept

OPS_PORT = 9090
COMPONENTS = "app.kubernetes.io/component+in+(read-svc,write-svc)"


class Pods:
    """Reads through the API server, until it is closed."""

    def __init__(self, namespace, release):
        # of ./dev experiment, which the report of a load on this machine does not need
        from experiment.cluster import Api

        self._path = f"/api/v1/namespaces/{namespace}/pods"
        self._selector = f"labelSelector=app.kubernetes.io/instance%3D{release},{COMPONENTS}"
        self._prefix = f"{release}-"
        self._api = Api()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._api.close()

    def instances(self):
        """{name: function that scrapes it} of the pods that have an address."""
        pods = self._api.json(f"{self._path}?{self._selector}")["items"]
        names = [pod["metadata"]["name"] for pod in pods if pod["status"].get("podIP")]
        return {
            name.removeprefix(self._prefix): functools.partial(self._scrape, name) for name in names
        }

    def _scrape(self, pod):
        begin = time.time()
        text = self._api.text(f"{self._path}/{pod}:{OPS_PORT}/proxy/metrics", timeout=1)
        return {"scraped": round((begin + time.time()) / 2, 3), "values": kept(text)}

    def describe(self):
        """The nodes, for the manifest."""
        nodes = self._api.json("/api/v1/nodes", timeout=10)["items"]
        version = self._api.json("/version", timeout=10)["gitVersion"]
        status, info = nodes[0]["status"], nodes[0]["status"]["nodeInfo"]
        return {
            "machine": {
                "cpus": status["allocatable"]["cpu"],
                "cpu": "CPU of each node",
                "memory": status["allocatable"]["memory"],
                "os": info["osImage"],
                "kernel": info["kernelVersion"],
                "architecture": info["architecture"],
            },
            "where": (
                f"k6 in the cluster, Kubernetes {version}, {len(nodes)} node(s) of"
                f" {status['allocatable']['cpu']} CPU"
            ),
        }
