"""The configuration that the chart writes is one that the services take. Needs their binaries (./dev build)."""

import json
import os
import re
import subprocess

import pytest
from conftest import CHART, ROOT, VALUES, one, render

PRESET = ROOT / "build" / os.environ.get("FASTSTOCK_PRESET", "release")
SERVICES = ["read-svc", "write-svc"]


def binary(service):
    path = PRESET / service / service
    if not path.exists():
        pytest.skip(f"{path.relative_to(ROOT)} is not built")
    return path


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("values", VALUES)
def test_service_takes_its_configuration(values, service, tmp_path):
    config = tmp_path / "service.yaml"
    config.write_text(one(render(*VALUES[values]), "ConfigMap", f"-{service}")["data"]["service.yaml"])
    environment = {"DATABASE_URL": "postgresql://faststock@127.0.0.1:6432/faststock?sslmode=disable"}
    result = subprocess.run([binary(service), "--config", config, "--check-config"], capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("service, key", [("read-svc", "readSvc"), ("write-svc", "writeSvc")])
def test_schema_allows_the_sections_of_the_service(service, key):
    settings = subprocess.run([binary(service), "--help"], capture_output=True, text=True).stdout
    sections = set(re.findall(r"^\s+([a-z]+)\.[a-z_]+", settings, re.M))
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert sections <= schema["properties"][key]["properties"]["config"]["properties"].keys()
