"""The kind cluster fits the values of ingress-nginx, and its autoscaler is patched the same in both
versions of kubeadm's configuration."""

import yaml
from rendering import ROOT

CONFIG = yaml.safe_load((ROOT / "k8s/kind.yaml").read_text())


def test_ingress_finds_its_node():
    controller = yaml.safe_load((ROOT / "k8s/ingress-nginx-values.yaml").read_text())["controller"]
    (node,) = CONFIG["nodes"]
    assert controller["hostPort"]["enabled"]
    assert [mapping["containerPort"] for mapping in node["extraPortMappings"]] == [80, 443]
    known = node["labels"] | {"kubernetes.io/os": "linux"}
    assert controller["nodeSelector"].items() <= known.items()


def test_autoscaler():
    """v1beta3 has a map of strings, v1beta4 a list of names and values."""
    patches = {p["apiVersion"]: p for p in map(yaml.safe_load, CONFIG["kubeadmConfigPatches"])}
    assert patches.keys() == {"kubeadm.k8s.io/v1beta3", "kubeadm.k8s.io/v1beta4"}
    assert {p["kind"] for p in patches.values()} == {"ClusterConfiguration"}
    old, new = (
        patches[f"kubeadm.k8s.io/{version}"]["controllerManager"]["extraArgs"]
        for version in ("v1beta3", "v1beta4")
    )
    assert old and all(isinstance(value, str) for value in old.values())
    assert old == {argument["name"]: argument["value"] for argument in new}
