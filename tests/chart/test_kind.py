"""The kind cluster fits the gateway and the values of ingress-nginx, its autoscaler is patched the
same in both versions of kubeadm's configuration, and ./dev kind installs the one that is asked
for."""

import os
import subprocess

import pytest
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


def test_gateway_finds_its_node():
    text = (ROOT / "k8s/envoy-gateway.yaml").read_text()
    proxy, gateway_class, gateway = yaml.safe_load_all(text)
    patch = proxy["spec"]["provider"]["kubernetes"]["envoyDeployment"]["patch"]["value"]
    pod = patch["spec"]["template"]["spec"]
    (node,) = CONFIG["nodes"]
    assert pod["nodeSelector"].items() <= node["labels"].items()
    ((port,),) = [container["ports"] for container in pod["containers"]]
    (listener,) = gateway["spec"]["listeners"]
    # Envoy Gateway adds 10000 to a port below 1024
    assert (port["containerPort"], port["hostPort"]) == (listener["port"] + 10000, listener["port"])
    assert port["hostPort"] in [mapping["containerPort"] for mapping in node["extraPortMappings"]]
    assert gateway["spec"]["gatewayClassName"] == gateway_class["metadata"]["name"]
    reference = gateway_class["spec"]["parametersRef"]
    assert (reference["namespace"], reference["name"]) == (
        proxy["metadata"]["namespace"],
        proxy["metadata"]["name"],
    )


@pytest.fixture
def kind(tmp_path):
    """./dev kind with programs that tell how they were called; the namespaces `there` exist."""

    def run(*arguments, there="none"):
        for name in ("kind", "kubectl", "helm", "docker"):
            absent = f'case "$*" in *"get namespace {there}"*) ;; *"get namespace"*) exit 1 ;; esac'
            text = f'#!/bin/sh\necho {name} "$@" >>{tmp_path}/calls\n{absent}\n'
            (tmp_path / name).write_text(text)
            (tmp_path / name).chmod(0o755)
        environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        command = [ROOT / "scripts/kind", *arguments]
        result = subprocess.run(command, capture_output=True, text=True, env=environment)
        calls = tmp_path / "calls"
        return result, calls.read_text() if calls.exists() else ""

    return run


@pytest.mark.parametrize(
    "arguments, chart, other",
    [
        (["up"], "gateway-helm", "ingress-nginx"),
        (["up", "--routing", "gateway"], "gateway-helm", "ingress-nginx"),
        (["up", "--routing", "ingress-nginx"], "ingress-nginx ingress-nginx", "gateway-helm"),
    ],
)
def test_routing(kind, arguments, chart, other):
    result, calls = kind(*arguments)
    assert result.returncode == 0, result.stderr
    installed = "\n".join(line for line in calls.splitlines() if line.startswith("helm"))
    assert chart in installed and other not in installed
    assert ("envoy-gateway.yaml" in calls) == (chart == "gateway-helm")
    assert ("retired" in result.stderr) == (chart != "gateway-helm")


def test_two_cannot_have_the_ports(kind):
    result, calls = kind("up", there="ingress-nginx")
    assert result.returncode != 0 and "ingress-nginx has its ports" in result.stderr
    assert "helm" not in calls


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["up", "--routing", "f5"], "gateway or ingress-nginx, not 'f5'"),
        (["up", "--routing"], "gateway or ingress-nginx, not ''"),
        (["up", "again"], "unexpected argument 'again'"),
        (["down", "--routing", "gateway"], "unexpected argument '--routing'"),
        ([], "say up or down"),
    ],
)
def test_wrong_arguments(kind, arguments, says):
    result, calls = kind(*arguments)
    assert result.returncode != 0 and says in result.stderr and not calls


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
