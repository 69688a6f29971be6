"""skaffold.yaml builds the Dockerfile's targets and sets values that the chart has."""

import re

import yaml

from rendering import CHART, ROOT, render_text

CONFIG = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
(RELEASE,) = CONFIG["deploy"]["helm"]["releases"]


def test_targets():
    stages = set(re.findall(r"^FROM \S+ AS (\S+)$", (ROOT / "Dockerfile").read_text(), re.M))
    artifacts = {a["image"]: a["docker"]["target"] for a in CONFIG["build"]["artifacts"]}
    assert artifacts == {
        f"faststock-{target}": target
        for target in ("read-svc", "write-svc", "migrate", "pgbouncer")
    }
    assert set(artifacts.values()) <= stages


def test_values():
    """Each template names an artifact (with _ for -), and its value ends up as that image."""
    artifacts = {a["image"].replace("-", "_"): a["image"] for a in CONFIG["build"]["artifacts"]}
    settings = []
    for key, template in RELEASE["setValueTemplates"].items():
        image = artifacts.pop(re.fullmatch(r"\{\{\.IMAGE_FULLY_QUALIFIED_(\w+)\}\}", template)[1])
        settings += ["--set", f"{key}=built/{image}:1"]
    assert not artifacts
    text = render_text(*settings)
    assert {
        "built/faststock-read-svc:1",
        "built/faststock-write-svc:1",
        "built/faststock-migrate:1",
        "built/faststock-pgbouncer:1",
    } <= set(re.findall(r"image: (\S+)", text))


def test_profile_kind():
    (profile,) = CONFIG["profiles"]
    assert profile["name"] == "kind" and profile["build"]["local"]["push"] is False
    # Skaffold searches, it does not match.
    patterns = [condition["kubeContext"] for condition in profile["activation"]]
    active = {
        c
        for c in ("kind-faststock", "minikube", "prod", "mankind-1", "minikube-2")
        if any(re.search(p, c) for p in patterns)
    }
    assert active == {"kind-faststock", "minikube"}
    (patch,) = profile["patches"]
    assert patch["path"] == "/deploy/helm/releases/0/valuesFiles"
    assert all((ROOT / file).exists() for file in patch["value"])
    assert (ROOT / RELEASE["chartPath"]).resolve() == CHART
