"""./dev deploy calls helm rightly, with programs in place of kubectl and helm."""

import os
import subprocess

import pytest
from rendering import CHART, ROOT, render_text


@pytest.fixture
def helm_arguments(tmp_path):
    """Of the installation, for a tag and a registry."""

    def deploy(**settings):
        for name, text in {
            "kubectl": "echo other",
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
