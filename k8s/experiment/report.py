"""The page of one run, or of two laid over each other: numbers first, then charts on one time axis."""

import html
import json
import pathlib
import string

from . import figures as numbers
from . import plot, profiles
from .plot import BLACK, BLUE, GREEN, GREY, MANY, ORANGE, PURPLE, RED, SKY, Panel, Series

PAGE = pathlib.Path(__file__).with_name("page.html")
CPU_WINDOW_S = 5  # CPU by the services' own counters is a mean over so long


def write(run):
    """Writes figures.json and report.html into the folder of the run, and returns the page's path."""
    groups = numbers.figures(run)
    (run.folder / "figures.json").write_text(json.dumps(numbers.as_dict(groups), indent=2) + "\n")
    title = f"Autoscaling of {numbers.SERVICE}: {run.name}"
    body = [
        f"<h1>{text(title)}</h1>", f'<p class="lead">{text(setup(run))}</p>', verdict(run, groups), figure_tables(groups),
        "<h2>Over time</h2>", time_note("Shaded: seconds out of SLO."), charts_of_run(run),
        "<h2>Pods</h2>", pod_table(run), "<h2>What the autoscaler said</h2>", event_table(run), "<h2>What was run</h2>", manifest_section(run),
    ]  # fmt: skip
    return write_page(run.folder / "report.html", title, body)


def write_comparison(a, b, file):
    title = f"Autoscaling of {numbers.SERVICE}: {a.name} and {b.name}"
    body = [
        "<h1>" + text(title) + "</h1>",
        f'<p class="lead"><b>A</b> {text(a.name)}: {text(setup(a))}<br><b>B</b> {text(b.name)}: {text(setup(b))}</p>',
        comparison_table(a, b), "<h2>What differs in the settings</h2>", differences_table(a, b),
        "<h2>Over time</h2>", time_note(), charts_of_two(a, b),
        "<h2>Pods of A</h2>", pod_table(a), "<h2>Pods of B</h2>", pod_table(b),
    ]  # fmt: skip
    return write_page(file, title, body)


def write_page(file, title, body):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(string.Template(PAGE.read_text()).substitute(title=text(title), body="\n".join(body)))
    return file


def text(value):
    return html.escape(str(value))


def shown(value, unit=""):
    """A figure for people."""
    if value is None:
        return "–"
    digits = 0 if abs(value) >= 100 or value == round(value) or unit == "%" else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}".replace(",", " ") + (f" {unit}" if unit else "")


def setup(run):
    m, hpa = run.manifest, run.manifest["hpa"]
    node = m["cluster"]["nodes"][0]
    return (
        f"{m['profile']} to {m['rate']}/s of GET /api/products/{{id}}/stock through {'the ingress' if m['to'] == 'ingress' else m['to']}; "
        f"{hpa['min']} to {hpa['max']} replicas, CPU target {hpa['cpu_target']} % of {cores(hpa['cpu_request'])}"
        f"{', limit ' + cores(hpa['cpu_limit']) if hpa['cpu_limit'] else ''}; SLO p95 ≤ {m['slo_ms']:g} ms. "
        f"Kubernetes {m['cluster']['kubernetes']}, {len(m['cluster']['nodes'])} node(s) of {node['cpu']} CPU. {m['begin']}."
    )


def cores(value):
    return f"{value * 1000:.0f}m CPU" if value else "no request"


def verdict(run, groups):
    found = numbers.as_dict(groups)
    peak, least = found["replicas_peak"], run.manifest["hpa"]["min"]
    way = f"{least:g} → {peak:g} replicas" if peak > least else f"never more than {least:g} replicas"
    back = "and back" if found["scale_down_lag_s"] is not None else "and not back" if peak > least else ""
    bad = found["failed"] or found["wrong"] or found["dropped"]
    return (
        f'<p class="verdict{" bad" if bad else ""}"><b>{way} {back}; {shown(found["failed"])} of {shown(found["requests"])} requests failed'
        f"</b>, {shown(found['dropped'])} arrivals dropped, {shown(found['out_of_slo_s'])} of {profiles.length(run.stages)} seconds out of SLO.</p>"
    )


def figure_tables(groups):
    return f'<div class="groups">{"".join(figure_table(title, group) for title, group in groups)}</div>'


def figure_table(title, group):
    rows = "".join(
        f'<tr{bad(f)}><td>{text(f.label)}<small>{text(f.meaning)}</small></td><td class="n">{text(shown(f.value, f.unit))}</td></tr>' for f in group
    )
    return f"<table><caption>{text(title)}</caption>{rows}</table>"


def bad(figure):
    return ' class="bad"' if figure.key in ("failed", "wrong", "dropped") and figure.value else ""


def time_note(more=""):
    return f'<p class="unit">Minutes:seconds since the load began; move the pointer over a chart for the values of a moment. {more}</p>'


# --- the charts of one run


def charts_of_run(run):
    begin, end = time_axis(run)
    panels = [
        rate_panel(run), replica_panel(run), cpu_panel(run), latency_panel(run), failure_panel(run), pod_rate_panel(run), tier_panel(run),
        wait_panel(run),
    ]  # fmt: skip
    bands = joined([(time - 1, time) for time in numbers.out_of_slo(run)])
    for panel in panels[:4]:
        panel.bands = bands
    return plot.charts(panels, begin, end, landmarks(run))


def time_axis(*runs):
    """From the first sample to the last, but at least over the load."""
    rows = [numbers.replicas(run) for run in runs]
    return min(0, *(r[0]["time"] for r in rows)), max(*(profiles.length(run.stages) for run in runs), *(r[-1]["time"] for r in rows))


def landmarks(run):
    marks = profiles.landmarks(run.stages)
    named = [(0, "load begins"), (marks["rise"], "rises"), (marks["peak"], "peak"), (marks["fall"], "falls"), (marks["base"], "base")]
    ends = (profiles.length(run.stages), "load ends")
    apart = [named[0]]
    for mark in [*named[1:], ends]:  # a jump has one name
        if mark[0] - apart[-1][0] >= 1:
            apart.append(mark)
    return apart


def joined(spans):
    """Spans that follow each other as one."""
    result = []
    for begin, end in spans:
        if result and begin - result[-1][1] < 0.5:
            result[-1] = (result[-1][0], end)
        else:
            result.append((begin, end))
    return result


def planned(run):
    return [(time / 2, profiles.rate_at(run.stages, time / 2)) for time in range(2 * profiles.length(run.stages) + 1)]


def load_points(run, value):
    """A second's value, drawn in its middle."""
    return [(row["time"] - 0.5, value(row)) for row in run.load]


def service_points(run, column):
    return [(row["time"], row[column]) for row in numbers.replicas(run)]


def rate_panel(run):
    return Panel(
        "Load", "requests a second",
        [
            Series("offered (planned arrivals)", planned(run), GREY, width=3),
            Series("served (answered with 200)", load_points(run, lambda row: row["requests"] - row["failed"]), BLUE),
        ],
    )  # fmt: skip


def replica_panel(run):
    hpa = run.manifest["hpa"]
    rows = numbers.replicas(run)
    ends = (rows[0]["time"], rows[-1]["time"])
    writes = [(row["time"], row["ready"]) for row in run.services.get("write-svc", [])]
    return Panel(
        "Replicas", "pods",
        [
            Series(f"{numbers.SERVICE} desired", service_points(run, "desired"), ORANGE, "step", width=2.4),
            Series(f"{numbers.SERVICE} ready", service_points(run, "ready"), BLUE, "step", width=1.8, fill_opacity=0.15),
            Series("existing, ending ones too", sorted(numbers.pod_counts(run).items()), SKY, "step", width=1, dash="2 2"),
            Series(f"minimum {hpa['min']}, maximum {hpa['max']}", [(ends[0], hpa["max"]), (ends[1], hpa["max"])], GREY, dash="5 4"),
            Series("", [(ends[0], hpa["min"]), (ends[1], hpa["min"])], GREY, dash="5 4"),
            Series("write-svc ready", writes, PURPLE, "step", width=1.2),
        ],
        height=170,
    )  # fmt: skip


def cpu_panel(run):
    hpa, rows = run.manifest["hpa"], numbers.replicas(run)
    series = []
    if hpa["cpu_request"]:
        for i, pod_rows in enumerate(numbers.pods_of(run).values()):
            points = [(row["time"], row["cpu_api"] / hpa["cpu_request"] * 100 if row["cpu_api"] is not None else None) for row in pod_rows]
            series.append(Series("each pod (metrics API)" if i == 0 else "", points, SKY, "step", width=0.9))
        series.append(Series(f"mean by the pods' own counters, {CPU_WINDOW_S} s", own_cpu_points(run), GREEN, width=1.4))
    series.append(Series("mean as the autoscaler sees it", service_points(run, "hpa_cpu_percent"), BLUE, "step", width=2.4))
    series.append(Series(f"target {hpa['cpu_target']} %", [(r["time"], hpa["cpu_target"]) for r in (rows[0], rows[-1])], RED, width=2, dash="7 4"))
    return Panel(f"CPU of {numbers.SERVICE}", "% of the request", series, note="the metrics API is some 10 to 60 s behind the pods' own counters")


def own_cpu_points(run):
    """Mean utilisation of the pods that are there, by their counters, over the last CPU_WINDOW_S."""
    request, found = run.manifest["hpa"]["cpu_request"], {}
    for rows in numbers.pods_of(run).values():
        counted = [row for row in rows if row["cpu_seconds"] is not None]
        for i, row in enumerate(counted):
            before = next((r for r in counted[max(0, i - 2 * CPU_WINDOW_S) : i] if row["scraped"] - r["scraped"] <= CPU_WINDOW_S + 0.5), None)
            if before and row["scraped"] > before["scraped"] and row["cpu_seconds"] >= before["cpu_seconds"]:
                used = (row["cpu_seconds"] - before["cpu_seconds"]) / (row["scraped"] - before["scraped"])
                found.setdefault(row["time"], []).append(used / request * 100)
    return [(time, sum(values) / len(values)) for time, values in sorted(found.items())]


def latency_panel(run):
    slo_ms = run.manifest["slo_ms"]
    return Panel(
        "Latency as clients see it", "ms, logarithmic",
        [
            Series("p50", load_points(run, lambda row: row["p50_ms"]), SKY),
            Series("p95", load_points(run, lambda row: row["p95_ms"]), BLUE, width=2.2),
            Series("p99", load_points(run, lambda row: row["p99_ms"]), PURPLE, width=1.2),
            Series(f"SLO: p95 ≤ {slo_ms:g} ms", [(0, slo_ms), (profiles.length(run.stages), slo_ms)], RED, width=2, dash="7 4"),
        ],
        log=True,
    )  # fmt: skip


def failure_panel(run):
    failed, dropped = sum(row["failed"] for row in run.load), sum(row["dropped"] for row in run.load)
    return Panel(
        "Failures", "a second",
        [
            Series("failed requests", load_points(run, lambda row: row["failed"]), RED, "bar"),
            Series("dropped arrivals", load_points(run, lambda row: row["dropped"]), BLACK, "bar"),
        ],
        height=60, least_top=4, note=f"{failed:g} failed, {dropped:g} dropped",
    )  # fmt: skip


def pod_rate_panel(run):
    """A band for each pod, on top of those of the pods before it: equal shares are bands of equal height."""
    tops, series = {row["time"]: 0 for row in numbers.replicas(run)}, []
    for i, (pod, rows) in enumerate(sorted(numbers.pods_of(run).items(), key=lambda item: item[1][0]["time"])):
        rates = {row["time"]: rate or 0 for row, rate in zip(rows, numbers.rates(rows, "requests"))}
        tops = {time: top + rates.get(time, 0) for time, top in tops.items()}
        colour = MANY[i % len(MANY)]
        series.insert(0, Series(short_name(run, pod), list(tops.items()), colour, width=0.6, fill_opacity=1, values=list(rates.items())))
    return Panel("Requests by pod", "requests a second, stacked", series, note=f"as each pod counts them, over {numbers.RATE_SAMPLES} s; shares are equal where bands are equally high")


def short_name(run, pod):
    return pod.removeprefix(f"{run.manifest['fullname']}-{numbers.SERVICE}-")


def tier_panel(run):
    return Panel(
        "Where products come from", "a second",
        [
            Series("Redis", summed_rate(run, "redis_hits"), BLUE),
            Series("PostgreSQL", summed_rate(run, "db_hits"), ORANGE),
            Series("shared a load under way", summed_rate(run, "flights_shared"), GREEN),
        ],
        height=130, note="products, not requests: those asked for at once are loaded once",
    )  # fmt: skip


def wait_panel(run):
    return Panel(
        "Waiting for a pooled connection", "ms a use, mean",
        [
            Series("PostgreSQL, through PgBouncer", mean_wait(run, "postgres"), ORANGE),
            Series("Redis", mean_wait(run, "redis"), BLUE),
            Series("gave up waiting, a second", summed_rate(run, "pool_timeouts"), RED),
        ],
        height=130, least_top=0.1,
    )  # fmt: skip


def summed_rate(run, counter):
    """The rate of a counter over all pods of the service."""
    totals = {}
    for rows in numbers.pods_of(run).values():
        for row, rate in zip(rows, numbers.rates(rows, counter)):
            if rate is not None:
                totals[row["time"]] = totals.get(row["time"], 0) + rate
    return sorted(totals.items())


def mean_wait(run, store):
    waits, seconds = dict(summed_rate(run, f"{store}_waits")), summed_rate(run, f"{store}_wait_seconds")
    return [(time, 1000 * value / waits[time] if waits.get(time) else 0) for time, value in seconds]


# --- the charts of two runs


def charts_of_two(a, b):
    begin, end = time_axis(a, b)
    both = [("A", a, BLUE), ("B", b, ORANGE)]

    def lines(points, style="line", label="", **options):
        return [Series(f"{name} {label}".strip(), points(run), colour, style, **options) for name, run, colour in both]

    panels = [
        Panel("Served", "requests a second", lines(planned, label="offered", width=3, dash="1 3")
              + lines(lambda run: load_points(run, lambda row: row["requests"] - row["failed"]), label="served")),
        Panel("Replicas", "pods", lines(lambda run: service_points(run, "desired"), "step", "desired", width=1.2, dash="4 3")
              + lines(lambda run: service_points(run, "ready"), "step", "ready", width=2.2)),
        Panel("CPU as the autoscaler sees it", "% of the request", lines(lambda run: service_points(run, "hpa_cpu_percent"), "step")
              + [Series(f"{name} target {run.manifest['hpa']['cpu_target']} %", [(begin, run.manifest["hpa"]["cpu_target"]), (end, run.manifest["hpa"]["cpu_target"])],
                        colour, dash="7 4") for name, run, colour in both]),
        Panel("Latency p95", "ms, logarithmic", lines(lambda run: load_points(run, lambda row: row["p95_ms"]))
              + [Series(f"{name} SLO {run.manifest['slo_ms']:g} ms", [(begin, run.manifest["slo_ms"]), (end, run.manifest["slo_ms"])], colour, dash="7 4")
                 for name, run, colour in both], log=True),
        Panel("Failures", "failed or dropped a second", lines(lambda run: load_points(run, lambda row: row["failed"] + row["dropped"]), "bar"), height=60, least_top=4),
    ]  # fmt: skip
    return plot.charts(panels, begin, end, landmarks(a) if a.stages == b.stages else [(0, "load begins")])


# --- tables


def comparison_table(a, b):
    rows = []
    for (title, of_a), (_, of_b) in zip(numbers.figures(a), numbers.figures(b)):
        rows.append(f'<tr><th>{text(title)}</th><th class="n">A</th><th class="n">B</th><th class="n">B − A</th></tr>')
        for x, y in zip(of_a, of_b):
            difference = y.value - x.value if x.value is not None and y.value is not None else None
            sign = "+" if difference and difference > 0 else ""
            rows.append(
                f'<tr><td>{text(x.label)}<small>{text(x.meaning if x.meaning == y.meaning else "")}</small></td><td class="n">{shown(x.value, x.unit)}</td>'
                f'<td class="n">{shown(y.value, y.unit)}</td><td class="n">{sign}{shown(difference, x.unit)}</td></tr>'
            )
    return f"<table>{''.join(rows)}</table>"


def differences_table(a, b):
    x, y = flattened(settings_of(a)), flattened(settings_of(b))
    rows = [
        f"<tr><td>{text(key)}</td><td>{text(x.get(key, '–'))}</td><td>{text(y.get(key, '–'))}</td></tr>"
        for key in sorted(x.keys() | y.keys()) if x.get(key) != y.get(key)
    ]  # fmt: skip
    if not rows:
        return "<p>Nothing: the same run twice.</p>"
    return f"<table><tr><th>setting</th><th>A</th><th>B</th></tr>{''.join(rows)}</table>"


def settings_of(run):
    m = run.manifest
    return {**{key: m[key] for key in ("profile", "rate", "to", "slo_ms", "stages")}, "cluster": m["cluster"]}


def flattened(value, path=""):
    if isinstance(value, dict):
        return {key: leaf for name, part in value.items() for key, leaf in flattened(part, f"{path}.{name}" if path else name).items()}
    return {path: json.dumps(value) if isinstance(value, list) else value}


def pod_table(run):
    head = ["pod", "appeared", "ready after", "gone", "requests", "RPS beside others", "equal share", "got of it", "own CPU"]
    rows = []
    for share in numbers.pod_shares(run):
        cells = [
            "before" if share.seen <= 0 else plot.clock(share.seen), shown(share.ready_after, "s") if share.seen > 0 else "–",
            plot.clock(share.gone) if share.gone is not None else "stayed", shown(share.requests), shown(share.rps, "/s"), shown(share.fair, "/s"),
            shown(numbers.percent(share.share), "%"), shown(share.own_cpu and share.own_cpu * 1000, "m"),
        ]  # fmt: skip
        rows.append(f"<tr><td>{text(short_name(run, share.pod))}</td>" + "".join(f'<td class="n">{text(cell)}</td>' for cell in cells) + "</tr>")
    heads = "".join(f'<th{" class=" + chr(34) + "n" + chr(34) if i else ""}>{text(name)}</th>' for i, name in enumerate(head))
    note = f"Shares count the moments in which all ready pods had been ready for {numbers.SETTLED_S} s."
    return f'<table><tr>{heads}</tr>{"".join(rows)}</table><p class="unit">{note}</p>'


def event_table(run):
    if not run.events:
        return "<p>Nothing.</p>"
    rows = "".join(
        f'<tr><td class="n">{plot.clock(row["time"])}</td><td>{text(row["service"])}</td><td>{text(row["reason"])}</td><td>{text(row["message"])}</td></tr>'
        for row in run.events
    )
    return f'<table><tr><th class="n">time</th><th>service</th><th>reason</th><th>message</th></tr>{rows}</table>'


def manifest_section(run):
    m = run.manifest
    nodes = ", ".join(f"{node['cpu']} CPU, {node['memory']} ({node['architecture']}, {node['os']})" for node in m["cluster"]["nodes"])
    rows = [
        ("command", m["command"]), ("begin, end", f"{m['begin']}, {m['end']}"), ("stages (length:rate)", profiles.stages_text(run.stages)),
        ("nodes", nodes), ("chart", m["cluster"]["release"]["chart"]), ("commit", m["cluster"]["commit"] or "–"),
        ("could not be had", ", ".join(f"{what} ({count}×)" for what, (count, _) in m["problems"].items()) or "nothing"),
    ]  # fmt: skip
    rows += [("image", f"{image} {digest}") for image, digest in m["cluster"]["images"].items()]
    table = "".join(f"<tr><td>{text(name)}</td><td>{text(value)}</td></tr>" for name, value in rows)
    return f"<table>{table}</table><details><summary>manifest.json</summary><pre>{text(json.dumps(m, indent=2))}</pre></details>"
