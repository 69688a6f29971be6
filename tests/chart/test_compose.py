"""compose.yaml runs what the chart runs, and leaves no mark of the local stack's templates."""

import re

import yaml

from rendering import CHART, ROOT

SERVICES = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]


def test_the_stores_are_those_of_the_chart():
    images = yaml.safe_load((CHART / "values.yaml").read_text())["images"]
    assert SERVICES["postgres"]["image"] == images["postgres"]
    assert SERVICES["redis"]["image"] == images["redis"]


def test_ports_are_bound_to_this_machine():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 3 and all(port.startswith("127.0.0.1:${") for port in ports)


def test_each_placeholder_is_filled():
    for template, script in (
        ("nginx.conf.in", "start-nginx"),
        ("pgbouncer.ini.in", "start-pgbouncer"),
    ):
        names = set(re.findall(r"@[A-Z_]+@", (ROOT / "local" / template).read_text()))
        filled = (ROOT / "local/compose" / script).read_text()
        assert not [n for n in names if n not in filled]


def test_settings_are_known():
    rows = "".join((ROOT / f).read_text() for f in ("common/service/service.h",
                                                    "common/service/stores.h",
                                                    "read-svc/settings.c"))
    for service in ("read-1", "write-1"):
        for name in SERVICES[service]["environment"]:
            if name.startswith("FASTSTOCK_"):
                section, key = name.removeprefix("FASTSTOCK_").lower().split("_", 1)
                assert re.search(rf'"{section}",\s*"{key}"', rows), name
