"""The page of one run, or of two laid over each other: numbers, then charts on one time axis."""

import json

from reporting import counters, plot
from reporting.page import (
    cell,
    flattened,
    heads,
    joined,
    labelled,
    number,
    shown,
    signed,
    table,
    table_row,
    text,
    write_page,
)
from reporting.plot import BLACK, BLUE, GREEN, GREY, MANY, ORANGE, PURPLE, RED, SKY, Panel, Series

from . import measures, profiles

# the requests of k6/ramp.js
ROUTES = {
    "read-svc": "GET /api/products/{id}/stock",
    "write-svc": "POST /api/products/{id}/update-stock",
}
CPU_WINDOW_S = 5  # CPU by the services' own counters is a mean over so long


def write(run):
    """Writes figures.json and report.html into the run's folder, and returns the page's path."""
    groups = measures.figures(run)
    (run.folder / "figures.json").write_text(json.dumps(measures.as_dict(groups), indent=2) + "\n")
    title = f"Autoscaling of {run.service}: {run.name}"
    body = [
        f"<h1>{text(title)}</h1>",
        f'<p class="lead">{text(setup(run))}</p>',
        verdict(run, groups),
        figure_tables(groups),
        "<h2>Over time</h2>",
        time_note("Shaded: seconds out of SLO."),
        charts_of_run(run),
        "<h2>Pods</h2>",
        pod_table(run),
        "<h2>What the autoscaler said</h2>",
        event_table(run),
        "<h2>What was run</h2>",
        manifest_section(run),
    ]
    return write_page(run.folder / "report.html", title, body)


def write_comparison(a, b, file):
    services = " and ".join(dict.fromkeys([a.service, b.service]))
    title = f"Autoscaling of {services}: {a.name} and {b.name}"
    body = [
        "<h1>" + text(title) + "</h1>",
        (
            f'<p class="lead"><b>A</b> {text(a.name)}: {text(setup(a))}<br><b>B</b> {text(b.name)}:'
            f" {text(setup(b))}</p>"
        ),
        comparison_table(a, b),
        "<h2>What differs in the settings</h2>",
        differences_table(a, b),
        "<h2>Over time</h2>",
        time_note(),
        charts_of_two(a, b),
        "<h2>Pods of A</h2>",
        pod_table(a),
        "<h2>Pods of B</h2>",
        pod_table(b),
    ]
    return write_page(file, title, body)


def setup(run):
    m, hpa = run.manifest, run.manifest["hpa"]
    node = m["cluster"]["nodes"][0]
    limit = f", limit {cores(hpa['cpu_limit'])}" if hpa["cpu_limit"] else ""
    return (
        f"{m['profile']} to {m['rate']}/s of {ROUTES[run.service]} through"
        f" {'the ingress' if m['to'] == 'ingress' else m['to']}; {hpa['min']} to {hpa['max']}"
        f" replicas, {target(run)}{limit};"
        f" SLO p95 ≤ {m['slo_ms']:g} ms. Kubernetes {m['cluster']['kubernetes']},"
        f" {len(m['cluster']['nodes'])} node(s) of {node['cpu']} CPU. {m['begin']}."
    )


def target(run):
    """What its autoscaler goes by."""
    hpa = run.manifest["hpa"]
    if hpa["cpu_target"]:
        found = [f"CPU target {hpa['cpu_target']} % of {cores(hpa['cpu_request'])}"]
    else:
        found = [f"no CPU target, {cores(hpa['cpu_request'])} requested"]
    return " and ".join(found + sorted(metrics_seen(run) - {"cpu"}))


def metrics_seen(run):
    """The names of what moved its autoscaler; older recordings know CPU alone."""
    return {row.get("hpa_load_metric") for row in measures.replicas(run)} - {None}


def cores(value):
    return f"{value * 1000:.0f}m CPU" if value else "no request"


def verdict(run, groups):
    found = measures.as_dict(groups)
    peak, least = found["replicas_peak"], run.manifest["hpa"]["min"]
    if peak > least:
        back = "and back" if found["scale_down_lag_s"] is not None else "and not back"
        way = f"{least:g} → {peak:g} replicas {back}"
    else:
        way = f"never more than {least:g} replica{'' if least == 1 else 's'}"
    bad = found["failed"] or found["wrong"] or found["dropped"]
    return (
        f'<p class="verdict{" bad" if bad else ""}"><b>{way}; {shown(found["failed"])} of'
        f' {shown(found["requests"])} requests failed'
        f"</b>, {shown(found['dropped'])} arrivals dropped, {shown(found['out_of_slo_s'])} of"
        f" {profiles.length(run.stages)} seconds out of SLO.</p>"
    )


def figure_tables(groups):
    tables = "".join(figure_table(title, group) for title, group in groups)
    return f'<div class="groups">{tables}</div>'


def figure_table(title, group):
    rows = [
        table_row(labelled(f.label, f.meaning), number(shown(f.value, f.unit)), bad=is_bad(f))
        for f in group
    ]
    return table(rows, f"<caption>{text(title)}</caption>")


def is_bad(figure):
    return figure.key in ("failed", "wrong", "dropped") and bool(figure.value)


def time_note(more=""):
    return (
        '<p class="unit">Minutes:seconds since the load began; move the pointer over a chart for'
        f" the values of a moment. {more}</p>"
    )


# --- the charts of one run


def charts_of_run(run):
    begin, end = time_axis(run)
    panels = [
        rate_panel(run),
        replica_panel(run),
        *load_panels(run),
        cpu_panel(run),
        latency_panel(run),
        failure_panel(run),
        pod_rate_panel(run),
        *([tier_panel(run), age_panel(run)] if run.service == "read-svc" else []),
        wait_panel(run),
    ]
    bands = joined([(time - 1, time) for time in measures.out_of_slo(run)])
    for panel in panels[:4]:
        panel.bands = bands
    return plot.charts(panels, begin, end, landmarks(run))


def time_axis(*runs):
    """From the first sample to the last, but at least over the load."""
    rows = [measures.replicas(run) for run in runs]
    return min(0, *(r[0]["time"] for r in rows)), max(
        *(profiles.length(run.stages) for run in runs), *(r[-1]["time"] for r in rows)
    )


def landmarks(run):
    marks = profiles.landmarks(run.stages)
    named = [
        (0, "load begins"),
        (marks["rise"], "rises"),
        (marks["peak"], "peak"),
        (marks["fall"], "falls"),
        (marks["base"], "base"),
    ]
    ends = (profiles.length(run.stages), "load ends")
    apart = [named[0]]
    for mark in [*named[1:], ends]:  # a jump has one name
        if mark[0] - apart[-1][0] >= 1:
            apart.append(mark)
    return apart


def planned(run):
    return [
        (time / 2, profiles.rate_at(run.stages, time / 2))
        for time in range(2 * profiles.length(run.stages) + 1)
    ]


def load_points(run, value):
    """A second's value, drawn in its middle."""
    return [(row["time"] - 0.5, value(row)) for row in run.load]


def service_points(run, column):
    return [(row["time"], row[column]) for row in measures.replicas(run)]


def rate_panel(run):
    return Panel(
        "Load",
        "requests a second",
        [
            Series("offered (planned arrivals)", planned(run), GREY, width=3),
            Series(
                "served (answered with 200)",
                load_points(run, lambda row: row["requests"] - row["failed"]),
                BLUE,
            ),
        ],
    )


def replica_panel(run):
    hpa = run.manifest["hpa"]
    rows = measures.replicas(run)
    ends = (rows[0]["time"], rows[-1]["time"])
    other = next((name for name in run.services if name != run.service), None)
    beside = [(row["time"], row["ready"]) for row in run.services.get(other, [])]
    return Panel(
        "Replicas",
        "pods",
        [
            Series(
                f"{run.service} desired",
                service_points(run, "desired"),
                ORANGE,
                "step",
                width=2.4,
            ),
            Series(
                f"{run.service} ready",
                service_points(run, "ready"),
                BLUE,
                "step",
                width=1.8,
                fill_opacity=0.15,
            ),
            Series(
                "existing, ending ones too",
                sorted(measures.pod_counts(run).items()),
                SKY,
                "step",
                width=1,
                dash="2 2",
            ),
            Series(
                f"minimum {hpa['min']}, maximum {hpa['max']}",
                [(ends[0], hpa["max"]), (ends[1], hpa["max"])],
                GREY,
                dash="5 4",
            ),
            Series("", [(ends[0], hpa["min"]), (ends[1], hpa["min"])], GREY, dash="5 4"),
            *([Series(f"{other} ready", beside, PURPLE, "step", width=1.2)] if other else []),
        ],
        height=170,
    )


def cpu_panel(run):
    hpa, rows = run.manifest["hpa"], measures.replicas(run)
    series = []
    if hpa["cpu_request"]:
        for i, pod_rows in enumerate(measures.pods_of(run).values()):
            points = [
                (
                    row["time"],
                    (
                        row["cpu_api"] / hpa["cpu_request"] * 100
                        if row["cpu_api"] is not None
                        else None
                    ),
                )
                for row in pod_rows
            ]
            series.append(
                Series("each pod (metrics API)" if i == 0 else "", points, SKY, "step", width=0.9)
            )
        series.append(
            Series(
                f"mean by the pods' own counters, {CPU_WINDOW_S} s",
                own_cpu_points(run),
                GREEN,
                width=1.4,
            )
        )
    if hpa["cpu_target"]:
        series.append(
            Series(
                "mean as the autoscaler sees it",
                service_points(run, "hpa_cpu_percent"),
                BLUE,
                "step",
                width=2.4,
            )
        )
        series.append(
            Series(
                f"target {hpa['cpu_target']} %",
                [(r["time"], hpa["cpu_target"]) for r in (rows[0], rows[-1])],
                RED,
                width=2,
                dash="7 4",
            )
        )
    return Panel(
        f"CPU of {run.service}",
        "% of the request",
        series,
        note="the metrics API is some 10 to 60 s behind the pods' own counters",
    )


def load_panels(run):
    """What the autoscaler goes by, where that is more than CPU."""
    names = sorted(metrics_seen(run))
    if not set(names) - {"cpu"}:
        return []
    rows = measures.replicas(run)
    return [
        Panel(
            "Load as the autoscaler sees it",
            "% of its target",
            [
                Series(
                    name,
                    [
                        (
                            row["time"],
                            row["hpa_load_percent"] if row["hpa_load_metric"] == name else None,
                        )
                        for row in rows
                    ],
                    colour,
                    "step",
                    width=2.4,
                )
                for name, colour in zip(names, (BLUE, GREEN, ORANGE, PURPLE))
            ]
            + [Series("target", [(r["time"], 100) for r in (rows[0], rows[-1])], RED, dash="7 4")],
            note="of several metrics the one that asks for the most pods",
        )
    ]


def own_cpu_points(run):
    """Mean utilisation of the running pods, by their counters, over the last CPU_WINDOW_S."""
    request, found = run.manifest["hpa"]["cpu_request"], {}
    for rows in measures.pods_of(run).values():
        counted = [row for row in rows if row["cpu_seconds"] is not None]
        for i, row in enumerate(counted):
            before = next(
                (
                    r
                    for r in counted[max(0, i - 2 * CPU_WINDOW_S) : i]
                    if row["scraped"] - r["scraped"] <= CPU_WINDOW_S + 0.5
                ),
                None,
            )
            if (
                before
                and row["scraped"] > before["scraped"]
                and row["cpu_seconds"] >= before["cpu_seconds"]
            ):
                used = (row["cpu_seconds"] - before["cpu_seconds"]) / (
                    row["scraped"] - before["scraped"]
                )
                found.setdefault(row["time"], []).append(used / request * 100)
    return [(time, sum(values) / len(values)) for time, values in sorted(found.items())]


def latency_panel(run):
    slo_ms = run.manifest["slo_ms"]
    return Panel(
        "Latency as clients see it",
        "ms, logarithmic",
        [
            Series("p50", load_points(run, lambda row: row["p50_ms"]), SKY),
            Series("p95", load_points(run, lambda row: row["p95_ms"]), BLUE, width=2.2),
            Series("p99", load_points(run, lambda row: row["p99_ms"]), PURPLE, width=1.2),
            Series(
                f"SLO: p95 ≤ {slo_ms:g} ms",
                [(0, slo_ms), (profiles.length(run.stages), slo_ms)],
                RED,
                width=2,
                dash="7 4",
            ),
        ],
        log=True,
    )


def failure_panel(run):
    failed, dropped = sum(row["failed"] for row in run.load), sum(
        row["dropped"] for row in run.load
    )
    return Panel(
        "Failures",
        "a second",
        [
            Series("failed requests", load_points(run, lambda row: row["failed"]), RED, "bar"),
            Series("dropped arrivals", load_points(run, lambda row: row["dropped"]), BLACK, "bar"),
        ],
        height=60,
        least_top=4,
        note=f"{failed:g} failed, {dropped:g} dropped",
    )


def pod_rate_panel(run):
    """A band for each pod, on top of those of the pods before it: equal shares are bands of equal
    height."""
    parts = []
    for i, (pod, rows) in enumerate(
        sorted(measures.pods_of(run).items(), key=lambda item: item[1][0]["time"])
    ):
        rates = zip(rows, counters.rates(rows, "requests"))
        found = {row["time"]: rate or 0 for row, rate in rates}
        parts.append((short_name(run, pod), found, MANY[i % len(MANY)]))
    return Panel(
        "Requests by pod",
        "requests a second, stacked",
        plot.stacked(parts),
        note=(
            f"as each pod counts them, over {counters.RATE_SAMPLES} s; shares are equal where bands"
            " are equally high"
        ),
    )


def short_name(run, pod):
    return pod.removeprefix(f"{run.manifest['fullname']}-{run.service}-")


def tier_panel(run):
    return Panel(
        "Where products come from",
        "a second",
        [
            Series("the pod's memory", summed_rate(run, "l1_hits"), SKY),
            Series("the same, stale", summed_rate(run, "l1_stale"), RED),
            Series("Redis", summed_rate(run, "redis_hits"), BLUE),
            Series("PostgreSQL", summed_rate(run, "db_hits"), ORANGE),
            Series("shared a load under way", summed_rate(run, "flights_shared"), GREEN),
        ],
        height=130,
        note="products, not requests: those asked for at once are loaded once",
    )


def age_panel(run):
    return Panel(
        "Age of what the pods know",
        "ms, the oldest pod",
        [Series("since the ledger was read", watermark_ages(run), PURPLE)],
        height=130,
        least_top=200,
        note="by the ledger of PostgreSQL; an answer from memory is no older",
    )


def watermark_ages(run):
    oldest = {}
    for rows in measures.pods_of(run).values():
        for row in rows:
            age = row.get("watermark_age_seconds")
            if age is not None and row["ready"]:
                oldest[row["time"]] = max(oldest.get(row["time"], 0), 1000 * age)
    return sorted(oldest.items())


def wait_panel(run):
    return Panel(
        "Waiting for a pooled connection",
        "ms a use, mean",
        [
            Series("PostgreSQL, through PgBouncer", mean_wait(run, "postgres"), ORANGE),
            Series("Redis", mean_wait(run, "redis"), BLUE),
            Series("gave up waiting, a second", summed_rate(run, "pool_timeouts"), RED),
        ],
        height=130,
        least_top=0.1,
    )


def summed_rate(run, counter):
    """The rate of a counter over all pods of the service."""
    totals = {}
    for rows in measures.pods_of(run).values():
        for row, rate in zip(rows, counters.rates(rows, counter)):
            if rate is not None:
                totals[row["time"]] = totals.get(row["time"], 0) + rate
    return sorted(totals.items())


def mean_wait(run, store):
    waits, seconds = dict(summed_rate(run, f"{store}_waits")), summed_rate(
        run, f"{store}_wait_seconds"
    )
    return [(time, 1000 * value / waits[time] if waits.get(time) else 0) for time, value in seconds]


# --- the charts of two runs


def load_percent(row):
    """Of a row of services.csv; older recordings know CPU alone."""
    if "hpa_load_percent" in row:
        return row["hpa_load_percent"]
    if row["hpa_cpu_percent"] is None:
        return None
    return 100 * row["hpa_cpu_percent"] / row["hpa_target_percent"]


def charts_of_two(a, b):
    begin, end = time_axis(a, b)
    both = [("A", a, BLUE), ("B", b, ORANGE)]

    def lines(points, style="line", label="", **options):
        return [
            Series(f"{name} {label}".strip(), points(run), colour, style, **options)
            for name, run, colour in both
        ]

    panels = [
        Panel(
            "Served",
            "requests a second",
            lines(planned, label="offered", width=3, dash="1 3")
            + lines(
                lambda run: load_points(run, lambda row: row["requests"] - row["failed"]),
                label="served",
            ),
        ),
        Panel(
            "Replicas",
            "pods",
            lines(
                lambda run: service_points(run, "desired"), "step", "desired", width=1.2, dash="4 3"
            )
            + lines(lambda run: service_points(run, "ready"), "step", "ready", width=2.2),
        ),
        Panel(
            "Load as the autoscaler sees it",
            "% of its target",
            [
                Series(
                    f"{name}: {target(run)}",
                    [(row["time"], load_percent(row)) for row in measures.replicas(run)],
                    colour,
                    "step",
                )
                for name, run, colour in both
            ]
            + [Series("target", [(begin, 100), (end, 100)], RED, dash="7 4")],
        ),
        Panel(
            "Latency p95",
            "ms, logarithmic",
            lines(lambda run: load_points(run, lambda row: row["p95_ms"]))
            + [
                Series(
                    f"{name} SLO {run.manifest['slo_ms']:g} ms",
                    [(begin, run.manifest["slo_ms"]), (end, run.manifest["slo_ms"])],
                    colour,
                    dash="7 4",
                )
                for name, run, colour in both
            ],
            log=True,
        ),
        Panel(
            "Failures",
            "failed or dropped a second",
            lines(lambda run: load_points(run, lambda row: row["failed"] + row["dropped"]), "bar"),
            height=60,
            least_top=4,
        ),
    ]
    return plot.charts(
        panels, begin, end, landmarks(a) if a.stages == b.stages else [(0, "load begins")]
    )


# --- tables

EVENT_COLUMNS = ("service", "reason", "message")


def comparison_table(a, b):
    rows = []
    for (title, of_a), (_, of_b) in zip(measures.figures(a), measures.figures(b)):
        rows.append(heads([title], ["A", "B", "B − A"]))
        for x, y in zip(of_a, of_b):
            difference = y.value - x.value if x.value is not None and y.value is not None else None
            values = (shown(x.value, x.unit), shown(y.value, y.unit))
            rows.append(
                table_row(
                    labelled(x.label, x.meaning if x.meaning == y.meaning else ""),
                    *(number(value) for value in values),
                    number(signed(difference, x.unit)),
                )
            )
    return table(rows)


def differences_table(a, b):
    x, y = flattened(settings_of(a)), flattened(settings_of(b))
    rows = [
        table_row(cell(key), cell(x.get(key, "–")), cell(y.get(key, "–")))
        for key in sorted(x.keys() | y.keys())
        if x.get(key) != y.get(key)
    ]
    if not rows:
        return "<p>Nothing: the same run twice.</p>"
    return table(rows, heads(["setting", "A", "B"]))


def settings_of(run):
    m = run.manifest
    return {
        **{key: m[key] for key in ("profile", "rate", "to", "slo_ms", "stages")},
        "cluster": m["cluster"],
    }


def pod_table(run):
    columns = [
        "appeared",
        "ready after",
        "gone",
        "requests",
        "RPS beside others",
        "equal share",
        "got of it",
        "own CPU",
    ]
    rows = []
    for share in measures.pod_shares(run):
        values = [
            "before" if share.seen <= 0 else plot.clock(share.seen),
            shown(share.ready_after, "s") if share.seen > 0 else "–",
            plot.clock(share.gone) if share.gone is not None else "stayed",
            shown(share.requests),
            shown(share.rps, "/s"),
            shown(share.fair, "/s"),
            shown(measures.percent(share.share), "%"),
            shown(share.own_cpu and share.own_cpu * 1000, "m"),
        ]
        rows.append(
            table_row(cell(short_name(run, share.pod)), *(number(value) for value in values))
        )
    note = (
        "Shares count the moments in which all ready pods had been ready for"
        f" {measures.SETTLED_S} s."
    )
    return table(rows, heads(["pod"], columns)) + f'<p class="unit">{note}</p>'


def event_table(run):
    if not run.events:
        return "<p>Nothing.</p>"
    rows = [
        table_row(number(plot.clock(event["time"])), *(cell(event[key]) for key in EVENT_COLUMNS))
        for event in run.events
    ]
    return table(rows, heads([], ["time"], EVENT_COLUMNS))


def manifest_section(run):
    m = run.manifest
    nodes = ", ".join(
        f"{node['cpu']} CPU, {node['memory']} ({node['architecture']}, {node['os']})"
        for node in m["cluster"]["nodes"]
    )
    rows = [
        ("command", m["command"]),
        ("begin, end", f"{m['begin']}, {m['end']}"),
        ("stages (length:rate)", profiles.stages_text(run.stages)),
        ("nodes", nodes),
        ("chart", m["cluster"]["release"]["chart"]),
        ("commit", m["cluster"]["commit"] or "–"),
        (
            "could not be had",
            ", ".join(f"{what} ({count}×)" for what, (count, _) in m["problems"].items())
            or "nothing",
        ),
    ]
    rows += [("image", f"{image} {digest}") for image, digest in m["cluster"]["images"].items()]
    return (
        table(table_row(cell(name), cell(value)) for name, value in rows)
        + "<details><summary>manifest.json</summary>"
        f"<pre>{text(json.dumps(m, indent=2))}</pre></details>"
    )
