"""What `./dev outages --cluster` does to a release, with a release that only takes notes."""

import json
import pathlib
import subprocess
import sys

import pytest

from rendering import ROOT, kinds, render

sys.path.insert(0, str(ROOT / "scripts"))
from lib import cluster_outages


class Release:
    name, namespace, fullname = "fs", "stock", "fs-faststock"

    def __init__(self, *_):
        self.commands, self.pods, self.mode = [], {"read-svc": ["a", "b"]}, "bundled"

    def values(self):
        return {
            "redis": {"mode": self.mode}, "postgres": {"mode": "bundled"},
            "routing": {"mode": "none", "hosts": ["stock.example.com"]},
        }  # fmt: skip

    def get(self, kind, selector):
        names = self.pods.get(selector.rpartition("=")[2], [])
        return [{"metadata": {"name": name}} for name in names]

    def helm(self, *arguments):
        assert arguments[:2] == ("get", "manifest")
        policies = kinds(render(), "NetworkPolicy")
        return "---\n" + "\n---\n".join(
            f"kind: NetworkPolicy\nmetadata:\n  name: {policy['metadata']['name']}\n"
            for policy in policies
        )

    def kubectl(self, *arguments):
        self.commands.append(arguments)
        if "--filename" in arguments:
            text = pathlib.Path(arguments[-1]).read_text()
            self.commands[-1] += (text,)
        if arguments[0] == "create":  # --dry-run: YAML to JSON
            name = text.partition("name: ")[2].split()[0]
            return json.dumps({"kind": "NetworkPolicy", "metadata": {"name": name}})
        return ""


@pytest.fixture
def cluster(monkeypatch, tmp_path):
    monkeypatch.setenv("FASTSTOCK_RUN_DIR", str(tmp_path))
    monkeypatch.setattr(cluster_outages, "Release", Release)
    monkeypatch.setattr(cluster_outages.Cluster, "must_answer", lambda self: None)
    return cluster_outages.Cluster([], "http://127.0.0.1:1")


def test_a_deleted_pod_that_was_the_only_one_is_told(cluster):
    cluster.stop("read-pod")
    assert cluster.release.commands == [("delete", "pod", "a", "--wait=false")]
    assert cluster.note("read-pod") == ""
    cluster.release.pods["read-svc"] = ["a"]
    cluster.stop("read-pod")
    assert "the only pod of read-svc" in cluster.note("read-pod")


def test_a_store_is_scaled_away_and_back(cluster):
    cluster.stop("postgres")
    cluster.start("postgres")
    assert [command[:3] for command in cluster.release.commands] == [
        ("scale", "statefulset/fs-faststock-postgres", "--replicas=0"),
        ("scale", "statefulset/fs-faststock-postgres", "--replicas=1"),
        ("rollout", "status", "statefulset/fs-faststock-postgres"),
    ]


def test_a_cut_takes_the_policy_that_allows_and_helm_gets_it_back(cluster):
    cluster.stop("redis-cut")
    denies, removed = cluster.release.commands
    policy = json.loads(denies[-1])
    assert policy["spec"]["policyTypes"] == ["Ingress"] and "ingress" not in policy["spec"]
    assert policy["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "redis"
    assert removed[:3] == ("delete", "networkpolicy", "fs-faststock-redis")
    cluster.release.commands.clear()
    cluster.start("redis-cut")
    _, applied, removed = cluster.release.commands
    assert applied[:3] == ("apply", "--server-side", "--field-manager=helm")
    back = json.loads(applied[-1])["metadata"]
    assert back["name"] == "fs-faststock-redis"
    assert back["annotations"]["meta.helm.sh/release-name"] == "fs"
    assert removed[2] == policy["metadata"]["name"]


def test_a_cut_that_the_readers_do_not_feel_is_told(cluster, monkeypatch):
    for state, told in [("up", True), ("down", False)]:
        answer = json.dumps({"dependencies": {"redis": {"state": state}}})
        monkeypatch.setattr(cluster_outages, "run", lambda *_, answer=answer: answer)
        assert ("is the policy enforced" in cluster.note("redis-cut")) == told

    def unready(*_):
        raise cluster_outages.ClusterError("503")

    monkeypatch.setattr(cluster_outages, "run", unready)
    assert cluster.note("redis-cut") == ""


def test_a_store_of_somebody_else_is_left_alone(cluster, monkeypatch):
    monkeypatch.setattr(Release, "values", lambda self: {"redis": {"mode": "external"}})
    for part in ("redis", "redis-cut"):
        with pytest.raises(cluster_outages.ClusterError, match="not the release's own"):
            cluster_outages.Cluster([part], "http://127.0.0.1:1")


def test_an_address_that_is_none_is_refused(cluster):
    for url in ("https://stock.example.com", "stock"):
        with pytest.raises(cluster_outages.ClusterError, match="--url is http"):
            cluster_outages.Cluster([], url)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--cluster", "read-1"], "expected some of: read-pod"),
        (["read-pod"], "expected some of: redis"),
        (["--url", "http://127.0.0.1"], "--url is for --cluster"),
    ],
)
def test_wrong_arguments(arguments, message):
    result = subprocess.run([ROOT / "dev", "outages", *arguments], capture_output=True, text=True)
    assert result.returncode == 2 and message in result.stderr
