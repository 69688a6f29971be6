"""The configuration that the chart writes is one that the services take. Needs their binaries
(./dev build)."""

import json
import os
import re
import subprocess

import pytest

from rendering import CHART, ROOT, VALUES, one, render

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
    config.write_text(
        one(render(*VALUES[values]), "ConfigMap", f"-{service}")["data"]["service.yaml"]
    )
    environment = {
        "DATABASE_URL": "postgresql://faststock@127.0.0.1:6432/faststock?sslmode=disable"
    }
    result = subprocess.run(
        [binary(service), "--config", config, "--check-config"],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert result.returncode == 0, result.stderr


# The settings that the chart gives itself, in the file or in the environment: a value would be
# without effect.
OWNED = {
    "http.port", "ops.port", "database.url", "database.direct_url", "database.replica_url",
    "database.pool_size",
    "redis.url", "redis.replica_url", "auth.tokens_file",
    "redis.tls_ca_file", "redis.tls_cert_file", "redis.tls_key_file", "redis.tls_server_name",
    "redis.sentinel_user", "redis.sentinel_password",
    "otel.endpoint",
}


def schema_of(kind):
    """The value of a setting, made from the values that --help allows."""
    if match := re.match(r"a whole number from (-?\d+) to (\d+)", kind):
        return {"type": "integer", "minimum": int(match[1]), "maximum": int(match[2])}
    if kind.startswith("on or off"):
        return {"enum": ["off", "on", False, True]}
    if kind.startswith("one of "):
        return {"enum": kind.removeprefix("one of ").split(", ")}
    limit = re.match(r"text of at most (\d+) bytes", kind)
    return {"type": "string", **({"maxLength": int(limit[1])} if limit else {})}


@pytest.mark.parametrize("service, key", [("read-svc", "readSvc"), ("write-svc", "writeSvc")])
def test_schema_has_the_settings_of_the_service(service, key):
    """All but those that the chart sets, with the same limits."""
    text = subprocess.run([binary(service), "--help"], capture_output=True, text=True).stdout
    settings = {
        name: schema_of(kind)
        for name, kind in re.findall(r"^  ([a-z0-9]+\.[a-z_]+)\n +.*\n +(.*?);", text, re.M)
    }
    assert "log.level" in settings
    values = json.loads((CHART / "values.schema.json").read_text())["properties"][key]["properties"]
    sections = values["config"]["properties"]
    assert all(section["additionalProperties"] is False for section in sections.values())
    found = {
        f"{name}.{setting}": schema
        for name, section in sections.items()
        for setting, schema in section["properties"].items()
    }
    assert found == {name: schema for name, schema in settings.items() if name not in OWNED}
    assert values["poolSize"] == settings["database.pool_size"]
