"""What `./dev monitor` gives Prometheus: its configuration, the chart's alert rules, and a page of
the panels of the chart's Grafana dashboard."""

import json
import pathlib
import re

from reporting import page, plot

ROOT = pathlib.Path(__file__).resolve().parents[3]
CHART = ROOT / "helm/faststock"
# The labels that the Prometheus operator would make of the chart's ServiceMonitor
NAMESPACE, RELEASE = "local", "faststock"
SCRAPE_SECONDS = 2


def configuration(folder, port, targets):
    """prometheus.yml, in JSON, which is YAML. `targets`: {instance: URL of its operations port}"""
    jobs = [
        {
            "targets": [url.removeprefix("http://")],
            "labels": {
                "namespace": NAMESPACE,
                "service": f"{RELEASE}-{name.split('-')[0]}-svc-ops",
                "pod": name,
            },
        }
        for name, url in targets.items()
    ]
    return {
        "global": {
            "scrape_interval": f"{SCRAPE_SECONDS}s",
            "scrape_timeout": f"{SCRAPE_SECONDS}s",
            "evaluation_interval": "5s",
        },
        "rule_files": [f"{folder}/prometheus.rules.yml"],
        "scrape_configs": [
            {"job_name": "faststock", "static_configs": jobs},
            {"job_name": "prometheus", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]},
        ],
    }


def limits():
    """The numbers of `monitoring.prometheusRule` in values.yaml."""
    values = (CHART / "values.yaml").read_text()
    block = re.search(r"^  prometheusRule:\n((?:    .*\n|\n)+)", values, re.M).group(1)
    return dict(re.findall(r"^    (\w+): ([\d.]+)\s*$", block, re.M))


def rules():
    """The groups of the chart's PrometheusRule. Its template uses little of Go's language, so that
    helm is not needed here; a test holds the result equal to helm's."""
    template = (CHART / "templates/monitoring.yaml").read_text()
    text = re.search(r"^spec:\n(  groups:\n.*?)^\{\{- end \}\}$", template, re.M | re.S).group(1)
    service = f'namespace="{NAMESPACE}",service="{RELEASE}-%s-svc-ops"'
    both = f'namespace="{NAMESPACE}",service=~"{RELEASE}-(read|write)-svc-ops"'
    known = {"fullname": RELEASE, "read": service % "read", "write": service % "write"}
    known["both"] = both
    known |= {f"limit.{name}": value for name, value in limits().items()}
    text = re.sub(r"^ *\{\{- (if|end)\b.*\}\}\n", "", text, flags=re.M)
    text = re.sub(
        r'\{\{- include "faststock.runbook" \(list \. "(\w+)"\).*?\}\}',
        lambda match: f'runbook: "docs/runbooks.md#{match[1].lower()}"',
        text,
    )
    return re.sub(
        r"\s*\{\{- \$([\w.]+) \}\}|\{\{ \$([\w.]+) \}\}|\{\{ `(.*?)` \}\}",
        lambda match: match[3] if match[3] is not None else known[match[1] or match[2]],
        text,
    )


def dashboard():
    return json.loads((CHART / "dashboards/faststock.json").read_text())


def filled(expression, rate_interval):
    """A query of the dashboard, with Grafana's variables replaced."""
    return (
        expression.replace("$namespace", NAMESPACE)
        .replace("$release", RELEASE)
        .replace("$__rate_interval", rate_interval)
    )


def panels():
    """What the page draws: rows, and panels with their queries."""
    return [
        {
            "title": panel["title"],
            "row": panel["type"] == "row",
            "note": panel.get("description", ""),
            "unit": panel.get("fieldConfig", {}).get("defaults", {}).get("unit", ""),
            "queries": [
                {"expr": filled(t["expr"], "RATE_INTERVAL"), "legend": t["legendFormat"]}
                for t in panel.get("targets", [])
            ],
        }
        for panel in dashboard()["panels"]
    ]


def in_script(value):
    """JSON within a script, without the braces of Prometheus's own templates."""
    return json.dumps(value).replace("<", "\\u003c").replace("{{", "\\u007b\\u007b")


def graphs():
    """The page, which Prometheus serves."""
    style = re.search(r"<style>\n(.*?)</style>", page.PAGE.read_text(), re.S).group(1)
    text = pathlib.Path(__file__).with_name("graphs.html").read_text()
    for name, value in {
        "@STYLE@": style,
        "@PANELS@": in_script(panels()),
        "@COLOURS@": in_script(plot.MANY),
        "@SCRAPE_SECONDS@": str(SCRAPE_SECONDS),
    }.items():
        text = text.replace(name, value)
    return text
