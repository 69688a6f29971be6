"""`./dev monitor`: every query of the chart's dashboard has data on the local stack, and the page
draws the same panels."""

import contextlib
import json
import re
import socket
import subprocess
import sys
import urllib.parse
import urllib.request

import pytest

from support.load import Load
from support.stack import ROOT
from support.timing import eventually

sys.path.append(str(ROOT / "scripts/lib"))
import monitoring

pytestmark = pytest.mark.once

# Queries that can have no data here, by a part of each, and why
WITHOUT_DATA = {
    "kube_horizontalpodautoscaler": "of kube-state-metrics, which only a cluster has",
}


@pytest.fixture(scope="module")
def prometheus(stack):
    """The URL of the running Prometheus."""
    page = stack.dev("monitor", "up", timeout=300).split()[-1]
    assert page.endswith("/consoles/faststock.html")
    yield page.removesuffix("/consoles/faststock.html")
    stack.dev("monitor", "down")


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def data(prometheus, path, **parameters):
    return json.loads(get(f"{prometheus}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"))[
        "data"
    ]


def queries():
    return [
        monitoring.filled(target["expr"], "1m")
        for panel in monitoring.dashboard()["panels"]
        for target in panel.get("targets", [])
    ]


def lacking(prometheus):
    """The queries without a number among their results."""

    def has_number(query):
        result = data(prometheus, "query", query=query)["result"]
        return any(one["value"][1] not in ("NaN", "+Inf") for one in result)

    return [
        query
        for query in queries()
        if not any(part in query for part in WITHOUT_DATA) and not has_number(query)
    ]


def test_every_instance_is_scraped(prometheus):
    eventually(
        lambda: {
            one["labels"].get("pod"): one["health"]
            for one in data(prometheus, "targets")["activeTargets"]
        }
        == dict.fromkeys(["read-1", "read-2", "write-1", "write-2", None], "up"),
        "all targets are up",
    )


def test_every_query_of_the_dashboard_has_data(stack, database, prometheus):
    with Load(stack.edge.base_url, database) as load:
        assert stack.edge.get("/api/products/0").status == 400
        with contextlib.suppress(AssertionError):
            eventually(
                lambda: lacking(prometheus) == [], "each query has data", timeout=30, every=1
            )
    assert lacking(prometheus) == []
    assert load.records


def test_the_rules_are_loaded_and_healthy(prometheus):
    (group,) = eventually(
        lambda: [
            g
            for g in data(prometheus, "rules")["groups"]
            if all(rule["health"] == "ok" for rule in g["rules"])
        ],
        "the rules were evaluated",
    )
    assert "FastStockDown" in [rule["name"] for rule in group["rules"]]


def test_the_page_draws_the_panels_of_the_dashboard(prometheus):
    page = get(f"{prometheus}/consoles/faststock.html")
    panels = json.loads(re.search(r"^const PANELS = (.*);$", page, re.M).group(1))
    assert [panel["title"] for panel in panels] == [
        panel["title"] for panel in monitoring.dashboard()["panels"]
    ]
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//|@import|url\(", page)
    assert "@STYLE@" not in page and "<no value>" not in page


@pytest.mark.parametrize("before", ["down", "up"])
def test_a_taken_port_is_named_and_ends_nothing(stack, before):
    stack.dev("monitor", before)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = subprocess.run(
            ["env", f"FASTSTOCK_PORT_PROMETHEUS={taken.getsockname()[1]}", ROOT / "dev"]
            + ["monitor", "up"],
            capture_output=True,
            text=True,
        )
    assert result.returncode == 1
    assert "(FASTSTOCK_PORT_PROMETHEUS), wanted by prometheus, is taken by" in result.stderr
    assert ("prometheus" in stack.dev("status")) == (before == "up")


def test_status_and_the_end(stack):
    stack.dev("monitor", "up")
    assert "prometheus" in stack.dev("status")
    stack.dev("monitor", "down")
    assert "prometheus" not in stack.dev("status")
    result = subprocess.run([ROOT / "dev", "monitor", "open"], capture_output=True, text=True)
    assert result.returncode == 1 and "./dev monitor up" in result.stderr
