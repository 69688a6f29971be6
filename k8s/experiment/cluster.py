"""The cluster as the experiment sees it: kubectl and helm for single steps, the API server for the
reads of each second."""

import http.client
import json
import os
import pathlib
import socket
import subprocess
import tempfile
import threading
import time

from reporting.origin import commit

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "helm/faststock"


class ClusterError(Exception):
    """Something about the cluster that the user must know; its text is the message."""


def run(*command, timeout=120):
    """Runs it and returns its output. It does not hear the terminal's Ctrl-C: a helm that is cut
    off leaves its release locked."""
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, start_new_session=True
        )
    except FileNotFoundError:
        raise ClusterError(f"{command[0]} is not on the PATH") from None
    except subprocess.TimeoutExpired:
        raise ClusterError(f"{' '.join(command[:4])} ...: no end after {timeout} s") from None
    if result.returncode != 0:
        raise ClusterError(f"{' '.join(command[:4])} ...: {result.stderr.strip() or 'failed'}")
    return result.stdout


def need_cluster():
    """kubectl's own words about this are six lines."""
    try:
        run("kubectl", "version", timeout=30)
    except ClusterError as error:
        if "not on the PATH" in str(error):
            raise
        raise ClusterError("kubectl reaches no cluster; ./dev kind up makes one") from None


class Release:
    """A release of the chart: its names, its values, and the changing of them."""

    def __init__(self, name, namespace):
        self.name, self.namespace = name, namespace
        need_cluster()
        found = self.get(
            "deployments", f"app.kubernetes.io/instance={name},app.kubernetes.io/component=read-svc"
        )
        if not found:
            raise ClusterError(
                f"no release '{name}' in namespace '{namespace}': ./dev deploy makes it"
            )
        self.fullname = found[0]["metadata"]["name"].removesuffix("-read-svc")

    def kubectl(self, *arguments):
        return run("kubectl", "--namespace", self.namespace, *arguments)

    def helm(self, *arguments):
        return run("helm", *arguments, "--namespace", self.namespace)

    def get(self, kind, selector):
        return json.loads(self.kubectl("get", kind, "--selector", selector, "--output", "json"))[
            "items"
        ]

    def values(self):
        return json.loads(self.helm("get", "values", self.name, "--all", "--output", "json"))

    def revision(self):
        return json.loads(self.helm("history", self.name, "--max", "1", "--output", "json"))[-1][
            "revision"
        ]

    def change(self, settings, files=()):
        """Sets values over those of the release. Its Jobs (migrate, seed) need not run for that."""
        arguments = [part for file in files for part in ("--values", str(file))]
        arguments += [part for setting in settings for part in ("--set", setting)]
        self.helm(
            "upgrade", self.name, str(CHART), "--reset-then-reuse-values", "--no-hooks", *arguments
        )

    def restore(self, revision):
        self.helm("rollback", self.name, str(revision), "--no-hooks")

    def scale(self, service, replicas):
        self.kubectl("scale", f"deployment/{self.fullname}-{service}", f"--replicas={replicas}")


class Api:
    """Reads of the API server through one `kubectl proxy`, on a socket in a folder that only the
    user can enter.

    The proxy takes kubectl's credentials of any kind, and costs far less than a kubectl for
    each read. It only reads. May be used by several threads, each of which has a connection of its
    own.
    """

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="faststock-experiment-")
        self._path = os.path.join(self._folder.name, "api.sock")
        self._local = threading.local()
        self._proxy = subprocess.Popen(
            [
                "kubectl",
                "proxy",
                f"--unix-socket={self._path}",
                "--reject-methods=^(POST|PUT|PATCH|DELETE)$",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        deadline = time.monotonic() + 10
        while not os.path.exists(self._path):
            if self._proxy.poll() is not None or time.monotonic() > deadline:
                self._proxy.kill()
                raise ClusterError(
                    f"kubectl proxy does not start: {self._proxy.stderr.read().strip()}"
                )
            time.sleep(0.05)

    def close(self):
        self._proxy.terminate()
        self._proxy.wait()
        self._proxy.stderr.close()
        self._folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def text(self, path, timeout=2):
        """The body of a GET. Raises OSError when there is no answer in time or it is not 200."""
        connection = getattr(self._local, "connection", None) or _UnixConnection(self._path)
        self._local.connection = connection
        connection.set_timeout(timeout)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read().decode()
        except (http.client.HTTPException, OSError) as error:
            connection.close()
            raise OSError(f"{path}: {error}") from error
        if response.status != 200:
            raise OSError(f"{path}: status {response.status}: {body[:200]}")
        return body

    def json(self, path, timeout=2):
        return json.loads(self.text(path, timeout))


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self._path = path

    def set_timeout(self, timeout):
        self.timeout = timeout
        if self.sock:
            self.sock.settimeout(timeout)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def describe(api, release):
    """The versions of the cluster and of the release, for the manifest."""
    nodes = api.json("/api/v1/nodes", timeout=10)["items"]
    chart = json.loads(release.helm("list", "--filter", f"^{release.name}$", "--output", "json"))[0]
    return {
        "kubernetes": api.json("/version", timeout=10)["gitVersion"],
        "nodes": [describe_node(node) for node in nodes],
        "release": {
            "name": release.name,
            "namespace": release.namespace,
            "chart": chart["chart"],
            "values": without_env(release.values()),
        },
        "images": image_digests(api, release),
        "commit": commit(),
    }


def describe_node(node):
    status, info = node["status"], node["status"]["nodeInfo"]
    return {
        "cpu": status["allocatable"]["cpu"],
        "memory": status["allocatable"]["memory"],
        "instance_type": (
            node["metadata"].get("labels", {}).get("node.kubernetes.io/instance-type", "")
        ),
        "architecture": info["architecture"],
        "os": info["osImage"],
        "kernel": info["kernelVersion"],
        "runtime": info["containerRuntimeVersion"],
        "kubelet": info["kubeletVersion"],
    }


def without_env(values):
    """The values without the services' `env`, because that may be secret."""
    services = {
        name: {**values[name], "env": [e["name"] for e in values[name].get("env", [])]}
        for name in ("readSvc", "writeSvc")
    }
    return {**values, **services}


def image_digests(api, release):
    """{image: id} of the containers in the release's pods."""
    found = {}
    selector = f"app.kubernetes.io/instance%3D{release.name}"
    for pod in api.json(
        f"/api/v1/namespaces/{release.namespace}/pods?labelSelector={selector}", timeout=10
    )["items"]:
        for kind in ("initContainerStatuses", "containerStatuses"):
            found |= {
                status["image"]: status["imageID"]
                for status in pod["status"].get(kind, [])
                if status["imageID"]
            }
    return dict(sorted(found.items()))
