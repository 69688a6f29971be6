"""The parts of a release on a cluster that `./dev outages --cluster` takes away and brings back."""

import http.client
import json
import os
import sys
import time
import urllib.parse

from lib.env import ROOT

sys.path.insert(0, os.path.join(ROOT, "scripts/lib"))  # for the experiment
sys.path.insert(0, os.path.join(ROOT, "k8s"))
from experiment.cluster import ClusterError, Release, run

STORES = {"redis": "deployment", "postgres": "statefulset"}
SERVICES = {"read-pod": "read-svc", "write-pod": "write-svc"}
CUTS = {f"{store}-cut": store for store in STORES}
PARTS = ["read-pod", "write-pod", *STORES, *CUTS]
WAIT_S = 120


class Cluster:
    """A release. `url` is where the clients ask; by default the address that its Ingress or Gateway
    says it has."""

    parts = PARTS

    def __init__(self, parts, url=None):
        self.release = Release(
            os.environ.get("FASTSTOCK_RELEASE", "faststock"),
            os.environ.get("FASTSTOCK_NAMESPACE", "faststock"),
        )
        values = self.release.values()
        for part in parts:
            store = CUTS.get(part, part)
            if store in STORES and values[store]["mode"] != "bundled":
                raise ClusterError(
                    f"{part}: {store} is not the release's own ({store}.mode is"
                    f" {values[store]['mode']}), so it is not for this command to take away"
                )
        self.host = next(iter(values["routing"]["hosts"]), None)
        self.url = urllib.parse.urlsplit(url or self.found_url(values["routing"]))
        if self.url.scheme != "http" or not self.url.hostname:
            raise ClusterError(f"--url is http://HOST[:PORT], not {self.url.geturl()}")
        self.alone = {}  # part -> whether its pod was the only one
        self.must_answer()

    def found_url(self, routing):
        """Where the machine of this command reaches the release."""
        if run("kubectl", "config", "current-context").strip().startswith("kind-"):
            return "http://localhost"  # k8s/kind.yaml
        if routing["mode"] == "gateway":
            parent = routing["gateway"]["parentRefs"][0]
            gateway = json.loads(
                run(
                    "kubectl", "get", "gateways.gateway.networking.k8s.io", parent["name"],
                    "--namespace", parent.get("namespace", self.release.namespace),
                    "--output", "json",
                )
            )  # fmt: skip
            for address in gateway.get("status", {}).get("addresses", []):
                return f"http://{address['value']}:{gateway['spec']['listeners'][0]['port']}"
        selector = f"app.kubernetes.io/instance={self.release.name}"
        for ingress in self.release.get("ingresses", selector):
            for address in ingress["status"].get("loadBalancer", {}).get("ingress", []):
                return f"http://{address.get('ip') or address.get('hostname')}"
        raise ClusterError("no Ingress or Gateway of the release has an address: say --url")

    def must_answer(self):
        connection = self.connect()
        try:
            connection.request("GET", "/api/products?limit=1", headers=self.headers())
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            raise ClusterError(f"{self.url.geturl()} does not answer ({error}): --url") from error
        finally:
            connection.close()
        if status != 200:
            raise ClusterError(f"{self.url.geturl()} answers {status}: is that the release? --url")

    def connect(self):
        return http.client.HTTPConnection(self.url.hostname, self.url.port or 80, timeout=10)

    def headers(self):
        return {"Host": self.host} if self.host else {}

    def stop(self, part):
        if part in SERVICES:
            pods = self.pods(SERVICES[part])
            self.alone[part] = len(pods) == 1
            if pods:
                self.release.kubectl("delete", "pod", pods[0], "--wait=false")
        elif part in STORES:
            self.scale(part, 0)
            self.wait(f"the pods of {part} are there still", lambda: not self.pods(part))
        else:
            self.cut(CUTS[part])

    def start(self, part):
        """Also brings back a part that is there."""
        if part in SERVICES:
            self.rolled_out("deployment", SERVICES[part])
        elif part in STORES:
            self.scale(part, 1)
            self.rolled_out(STORES[part], part)
        else:
            self.mend(CUTS[part])

    def note(self, part):
        """What else is to be said of a part while it is away. Only the network of the cluster
        knows whether it heeds a policy, so a reader is asked whether the store is there."""
        if self.alone.get(part):
            return f"{part}: it was the only pod of {SERVICES[part]}"
        if part not in CUTS:
            return ""
        path = (
            f"/api/v1/namespaces/{self.release.namespace}/services/"
            f"{self.release.fullname}-read-svc-ops:ops/proxy/readyz"
        )
        try:
            found = json.loads(run("kubectl", "get", "--raw", path))
            state = found["dependencies"][CUTS[part]]["state"]
        except (ClusterError, KeyError, ValueError):
            return ""  # a reader that is not ready answers 503: it misses the store
        if state != "up":
            return ""
        return f"{part}: the readers reach {CUTS[part]} all the same: is the policy enforced here?"

    def pods(self, component):
        instance = f"app.kubernetes.io/instance={self.release.name}"
        found = self.release.get("pods", f"{instance},app.kubernetes.io/component={component}")
        return [pod["metadata"]["name"] for pod in found]

    def scale(self, store, replicas):
        kind = STORES[store]
        self.release.kubectl(
            "scale", f"{kind}/{self.release.fullname}-{store}", f"--replicas={replicas}"
        )

    def rolled_out(self, kind, name):
        workload = f"{kind}/{self.release.fullname}-{name}"
        self.release.kubectl("rollout", "status", workload, f"--timeout={WAIT_S - 5}s")

    def cut(self, store):
        """Policies add up, so that one which denies changes nothing beside the chart's, which
        allows: that one goes for the time."""
        manifest = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": self.cut_name(store)},
            "spec": {
                "podSelector": {
                    "matchLabels": {
                        "app.kubernetes.io/instance": self.release.name,
                        "app.kubernetes.io/component": store,
                    }
                },
                "policyTypes": ["Ingress"],
            },
        }
        self.release.kubectl("apply", "--filename", self.written(json.dumps(manifest)))
        self.remove_policy(f"{self.release.fullname}-{store}")

    def mend(self, store):
        """The chart's policy comes back out of the release, as helm itself applies it: a field that
        another manager owns would make the next upgrade a conflict."""
        policy = self.policy_of_release(f"{self.release.fullname}-{store}")
        if policy:
            policy["metadata"].setdefault("annotations", {}).update(
                {
                    "meta.helm.sh/release-name": self.release.name,
                    "meta.helm.sh/release-namespace": self.release.namespace,
                }
            )
            self.release.kubectl(
                "apply", "--server-side", "--field-manager=helm",
                "--filename", self.written(json.dumps(policy)),
            )  # fmt: skip
        self.remove_policy(self.cut_name(store))

    def policy_of_release(self, name):
        for document in self.release.helm("get", "manifest", self.release.name).split("\n---\n"):
            if "kind: NetworkPolicy" in document and f"\n  name: {name}\n" in document:
                file = self.written(document)
                return json.loads(
                    self.release.kubectl(
                        "create", "--dry-run=client", "--output=json", "--filename", file
                    )
                )
        return None

    def remove_policy(self, name):
        self.release.kubectl("delete", "networkpolicy", name, "--ignore-not-found")

    def cut_name(self, store):
        return f"{self.release.fullname}-outage-{store}"

    def written(self, manifest):
        """The file, for kubectl."""
        folder = os.environ.get("FASTSTOCK_RUN_DIR", os.path.join(ROOT, ".run"))
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, "outage-policy.yaml")
        with open(path, "w") as file:
            file.write(manifest)
        return path

    def wait(self, complaint, is_done):
        deadline = time.monotonic() + WAIT_S
        while not is_done():
            if time.monotonic() > deadline:
                raise ClusterError(f"{complaint} after {WAIT_S} s")
            time.sleep(0.5)
