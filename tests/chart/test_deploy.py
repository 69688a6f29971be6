"""./dev deploy calls helm rightly, with programs in place of kubectl and helm."""

import os
import re
import subprocess

import pytest

from rendering import CHART, ROOT, render_text


@pytest.fixture
def helm_arguments(tmp_path):
    """Of the installation, for a tag and a registry."""

    def deploy(kubectl="echo other", **settings):
        for name, text in {
            "kubectl": kubectl,
            "helm": f'[ "$1" != upgrade ] || printf "%s\\n" "$@" >{tmp_path}/arguments',
        }.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
            (tmp_path / name).chmod(0o755)
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("FASTSTOCK_")
        }
        environment |= {"PATH": f"{tmp_path}:{os.environ['PATH']}", **settings}
        command = [ROOT / "scripts/deploy", "--no-build", "--no-load", "--no-test"]
        result = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert result.returncode == 0, result.stderr
        return (tmp_path / "arguments").read_text().splitlines()

    return deploy


@pytest.mark.parametrize("tag", ["20261122", "1.10", "dev-0123456789ab"])
def test_tags_stay_as_they_are(helm_arguments, tag):
    """A build's number is no number to the chart."""
    arguments = helm_arguments(FASTSTOCK_TAG=tag, FASTSTOCK_REGISTRY="ghcr.io/acme")
    assert str(CHART) in arguments
    settings = [
        part
        for i, name in enumerate(arguments)
        if name.startswith("--set")
        for part in arguments[i : i + 2]
    ]
    assert f"ghcr.io/acme/faststock-read-svc:{tag}\n" in render_text(*settings)


KUBECTL = """case "$*" in
  *current-context) echo {context} ;;
  *addresses*) echo 10.0.0.1 ;;
  *listeners*) echo 8000 ;;
  *"--namespace infra get gateways"*edge*kind*) echo Gateway ;;
  *crd*) {crd} ;;
esac"""


@pytest.mark.parametrize(
    "context, crd, routing, expected",
    [
        ("kind-a", "true", "", {"routing.gateway.envoyPolicy.enabled=true"}),
        ("other", "true", "gateway", {"routing.gateway.envoyPolicy.enabled=true"}),
        ("other", "false", "gateway", set()),
    ],
)
def test_routing_by_a_gateway(helm_arguments, context, crd, routing, expected):
    arguments = helm_arguments(
        KUBECTL.format(context=context, crd=crd),
        FASTSTOCK_TAG="1",
        FASTSTOCK_ROUTING=routing,
        FASTSTOCK_GATEWAY="infra/edge",
    )
    assert {part for part in arguments if part.startswith("routing.")} == expected | {
        "routing.mode=gateway,routing.gateway.url=http://10.0.0.1:8000",
        "routing.gateway.parentRefs[0].namespace=infra",
        "routing.gateway.parentRefs[0].name=edge",
    }


def test_elsewhere_the_values_decide(helm_arguments):
    arguments = helm_arguments(KUBECTL.format(context="other", crd="true"), FASTSTOCK_TAG="1")
    assert not [part for part in arguments if part.startswith("routing.")]


@pytest.mark.parametrize("tool", ["kubectl", "helm", "kind"])
def test_a_missing_tool_is_told_with_its_home(tool):
    sources = "source scripts/lib/base.sh; source scripts/lib/cluster.sh"
    script = f"{sources}; PATH=/nothere; need_tools {tool}"
    result = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 1
    assert re.search(rf"^error: {tool} is not on the PATH.*: https://\S+$", result.stderr, re.M)
