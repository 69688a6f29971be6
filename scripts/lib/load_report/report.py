"""The page of one run, or of two laid over each other: the verdict, then charts on one axis."""

import json
import re

from reporting import counters, plot
from reporting.page import (
    cell,
    flattened,
    heads,
    number,
    shown,
    table,
    table_row,
    text,
    write_page,
)
from reporting.plot import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    MANY,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    YELLOW,
    Panel,
    Series,
)

from . import measures
from .measures import LESS, LOOKUPS, SHARED, TIERS, label
from .sampler import MACHINE

TIER_COLOURS = [SKY, PURPLE, BLUE, ORANGE, RED]
COLOURS = {
    "postgres": ORANGE,
    "pgbouncer": YELLOW,
    "redis": RED,
    "read-1": BLUE,
    "read-2": SKY,
    "write-1": GREEN,
    "write-2": "#8cd3bd",
    "nginx": PURPLE,
    "k6": "#b5b9c0",
}
METRIC = re.compile(r"(\w+)(?:\{name:(.*)\})?")
LIMIT = re.compile(r"(.*?)(<=|>=|==|<|>)(.*)")
FILES = {
    "k6.html": "k6's own page of the run",
    "summary.txt": "what the command printed",
    "summary.json": "the same for programs",
    "figures.json": "the figures of this page for programs",
    "console.log": "k6's output, with the first wrong answers",
}
ALL = "all requests"
INTERRUPTED = 105  # k6 exits with it
NOTICEABLE = 1.1  # a ratio further from 1 is coloured


def write(run):
    """Writes figures.json and report.html into the run's folder, and returns the page's path."""
    groups = measures.figures(run)
    (run.folder / "figures.json").write_text(json.dumps(measures.as_dict(groups), indent=2) + "\n")
    title = f"Load test {run.scenario} on {run.manifest['target']}"
    body = [
        f"<h1>{text(title)}</h1>",
        f'<p class="lead">{text(setup(run))}</p>',
        verdict(run),
        threshold_table(run),
        tiles(run),
        "<h2>Latency by endpoint</h2>",
        endpoint_table(run),
        "<h2>Over time</h2>",
        time_note(),
        charts_of_run(run),
        *process_section(run),
        "<h2>What was run</h2>",
        manifest_section(run),
    ]
    return write_page(run.folder / "report.html", title, body)


def write_comparison(a, b, file):
    scenarios = " and ".join(dict.fromkeys([a.scenario, b.scenario]))
    title = f"Load tests {scenarios}: {a.name} and {b.name}"
    body = [
        f"<h1>{text(title)}</h1>",
        f'<p class="lead"><b>A</b> {text(a.manifest["target"])}: {text(setup(a))}<br>'
        f"<b>B</b> {text(b.manifest['target'])}: {text(setup(b))}</p>",
        verdict(a, "A: "),
        verdict(b, "B: "),
        "<h2>Ratios</h2>",
        '<p class="unit">B divided by A. Coloured where they differ by more than a tenth: green'
        " where B is better, red where it is worse. Users that wait for answers ask more of what is"
        " faster, so CPU is that of a thousand requests.</p>",
        ratio_tables(a, b),
        "<h2>What differs in the settings</h2>",
        differences_table(a, b),
        "<h2>Over time</h2>",
        time_note(),
        charts_of_two(a, b),
    ]
    return write_page(file, title, body)


def setup(run):
    """Where and how, in a line."""
    built = ", ".join(
        f"FastStock {version} at commit {commit}" for version, commit in measures.build(run)
    )
    pods = run.summary.get("pods")
    split = f", from {len(pods)} pods" if pods else ""
    return (
        f"{built or 'A target whose /metrics are not known'}. {run.manifest['begin']},"
        f" {run.summary['duration_s']:.0f} s, up to {run.summary['vus_max']} users at once{split};"
        f" {run.manifest['where']}."
    )


# --- verdict and thresholds


def verdict(run, prefix=""):
    rules = run.summary["thresholds"]
    failed = [rule for rule in rules if not rule["ok"]]
    cut_short = run.manifest.get("status") == INTERRUPTED
    if failed:
        what = f"Failed: {len(failed)} of {len(rules)} thresholds did not hold"
        found = list(dict.fromkeys(rule_text(run, rule) for rule in told_once(run, failed)))
        more = ": " + "; ".join(found[:6]) + ("; ..." if len(found) > 6 else ".")
        more += " The run was interrupted." if cut_short else ""
    elif cut_short:
        what, more = f"Interrupted: until then all {len(rules)} thresholds held", "."
    else:
        what, more = f"Passed: all {len(rules)} thresholds held", "."
    bad = failed or cut_short
    return f'<p class="verdict{" bad" if bad else ""}">{prefix}<b>{text(what)}</b>{text(more)}</p>'


def told_once(run, failed):
    """The failed thresholds that say something new: not of all requests what an endpoint says
    already, nor of answers that are wrong because the request failed."""
    found = [(rule, *METRIC.fullmatch(rule["metric"]).groups()) for rule in failed]
    of_endpoints = {metric for _, metric, name in found if name}
    for rule, metric, name in sorted(found, key=lambda one: one[1] != "http_req_failed"):
        about = endpoint_of(run, name or ALL)
        if metric == "checks" and about.get("wrong_answers") == about.get("failed") != 0:
            continue
        if name or metric not in of_endpoints:
            yield rule


def rule_text(run, rule):
    """A threshold that did not hold, in words."""
    metric, name = METRIC.fullmatch(rule["metric"]).groups()
    about = name or ALL
    if metric == "http_req_duration":
        kind, _, limit = LIMIT.fullmatch(rule["rule"]).groups()
        kind = re.sub(r"p\(([\d.]+)\)", r"p\1", kind)
        return f"{kind} of {about} is {shown(rule['value'], 'ms')}, the limit is {limit} ms"
    if metric in ("http_req_failed", "checks") and rule["rule"] in ("rate==0", "rate==1"):
        found = endpoint_of(run, about)
        count = found.get("failed" if metric == "http_req_failed" else "wrong_answers")
        what = "failed" if metric == "http_req_failed" else "had a wrong answer"
        requests = "requests" if about == ALL else f"requests of {about}"
        return f"{shown(count)} of {shown(found.get('requests'))} {requests} {what}"
    if rule["rule"] == "count>0":
        return f"{about} was never asked"
    return f"{rule['metric']} is {shown(rule['value'])}, not {rule['rule']}"


def endpoint_of(run, name):
    return run.summary["all"] if name == ALL else run.summary["endpoints"].get(name, {})


def value_text(metric, value):
    return shown(value, "ms" if metric.endswith("duration") else "")


KINDS = {  # of the thresholds that each endpoint has: the column
    "http_reqs": "asked",
    "http_req_duration": "p95",
    "http_req_failed": "none failed",
    "checks": "all answers right",
}


def threshold_table(run):
    """A row for each endpoint, as each is held to the same; then the thresholds of other kinds."""
    rows, others = {}, []
    for rule in run.summary["thresholds"]:
        found = METRIC.fullmatch(rule["metric"])
        if (
            found
            and found[1] in KINDS
            and rule["rule"] in ("rate==0", "rate==1", "count>0")
            or (found and found[1] == "http_req_duration")
        ):
            rows.setdefault(found[2] or ALL, {})[found[1]] = rule
        else:
            others.append(rule)
    lines = [
        table_row(cell(name), *(threshold_cell(run, name, kind, found.get(kind)) for kind in KINDS))
        for name, found in rows.items()
    ]
    main = table(lines, heads(["threshold"], KINDS.values()), "fit")
    if not others:
        return main
    extra = [
        table_row(
            cell(rule["metric"]), number(rule["rule"]), judged(value_text("", rule["value"]), rule)
        )
        for rule in others
    ]
    return main + table(extra, heads(["threshold"], ["limit", "is"]))


def threshold_cell(run, name, kind, rule):
    if rule is None:
        return number("")
    found = endpoint_of(run, name)
    if kind == "http_req_duration":
        limit = LIMIT.fullmatch(rule["rule"])
        return judged(f"{value_text(kind, rule['value'])} of {limit[3]} ms", rule)
    counts = {"http_reqs": "requests", "http_req_failed": "failed", "checks": "wrong_answers"}
    count = found.get(counts[kind])
    words = {"http_reqs": "times", "http_req_failed": "failed", "checks": "wrong"}
    return judged(f"{shown(count)} {words[kind]}", rule)


def judged(what, rule):
    mark, style = ("✓", "yes") if rule["ok"] else ("✗", "no")
    return f'<td class="n {style}">{text(what)} {mark}</td>'


def tiles(run):
    found, groups = run.summary["all"], measures.as_dict(measures.figures(run))
    entries = [
        (shown(found["rps"], "/s"), f"{shown(found['requests'])} requests in all", False),
        (shown(found.get("p50_ms"), "ms"), "p50, half are faster", False),
        (shown(found.get("p95_ms"), "ms"), "p95", False),
        (shown(found.get("p99_ms"), "ms"), "p99", False),
        (shown(found["failed"]), "failed requests", found["failed"] > 0),
        (shown(found["wrong_answers"]), "wrong answers", found["wrong_answers"] > 0),
    ]
    dropped = run.summary["dropped_arrivals"]
    if dropped or "RATE" in run.summary["settings"]:
        entries.append((shown(dropped), "dropped arrivals", dropped > 0))
    memory = groups.get(f"tier {TIERS[0][0]}")
    if memory is not None:
        entries.append((shown(memory, "%"), "of products from memory (L1)", False))
    if "machine" in groups:
        entries.append((shown(groups["machine"], "%"), "of this machine's CPU was busy", False))
    boxes = "".join(
        f'<div{" class=bad" if bad else ""}><b>{text(value)}</b><small>{text(name)}</small></div>'
        for value, name, bad in entries
    )
    return f'<div class="tiles">{boxes}</div>'


def endpoint_table(run):
    columns = ["requests", "a second", "p50", "p90", "p95", "p99", "max", "failed", "wrong"]
    rows = []
    for name, found in [*run.summary["endpoints"].items(), ("all", run.summary["all"])]:
        times = [shown(found.get(f"{key}_ms"), "ms") for key in ("p50", "p90", "p95", "p99", "max")]
        counts = [shown(found["failed"]), shown(found["wrong_answers"])]
        values = [shown(found["requests"]), shown(found["rps"]), *times, *counts]
        rows.append(
            table_row(
                swatch(run, name),
                *(number(value) for value in values),
                bad=found["failed"] or found["wrong_answers"],
            )
        )
    return table(rows, heads(["endpoint"], columns))


def swatch(run, name):
    """The endpoint with its colour in the charts."""
    colour = endpoint_colours(run).get(name)
    mark = f'<span class="swatch" style="background:{colour}"></span>' if colour else ""
    return f"<td>{mark}{text(name)}</td>"


def endpoint_colours(run):
    names = [*run.summary["endpoints"], *run.endpoints]
    return {name: MANY[i % len(MANY)] for i, name in enumerate(dict.fromkeys(names))}


def time_note():
    return (
        '<p class="unit">Minutes:seconds since k6 began; point at a chart for the values of a'
        " moment.</p>"
    )


# --- the charts of one run


def charts_of_run(run):
    panels = [
        rate_panel(run),
        user_panel(run),
        *(latency_panel(run, key) for key in ("p50", "p95", "p99")),
        failure_panel(run),
    ]
    if run.metrics:
        panels += [
            status_panel(run),
            instance_panel(run),
            tier_panel(run),
            wait_panel(run),
            trouble_panel(run),
            batch_panel(run),
            age_panel(run),
        ]
    panels += [cpu_panel(run), memory_panel(run)]
    begin, end = time_axis(run)
    return plot.charts([panel for panel in panels if panel], begin, end, landmarks(run))


def time_axis(*runs):
    """From the first sample to the last, but at least over the load."""
    times = [0, *(run.end for run in runs)]
    for run in runs:
        for rows in [*run.metrics.values(), *run.processes.values()]:
            times += [rows[0]["time"], rows[-1]["time"]]
    return min(times), max(times)


def landmarks(run):
    return [(0, "k6 begins"), (run.end, "ends")]


def of_load(rows, value):
    """A second's value, drawn in its middle."""
    return [(row["time"] - 0.5, value(row)) for row in rows]


def rate_panel(run):
    colours, parts = endpoint_colours(run), []
    for name, rows in run.endpoints.items():
        parts.append((name, dict(of_load(rows, lambda row: row["requests"])), colours[name]))
    return Panel("Requests", "a second, stacked by endpoint", plot.stacked(parts))


def user_panel(run):
    told = [row for row in run.load if row["vus"] is not None]
    users = of_load(told, lambda row: row["vus"])
    return Panel("Users", "at once", [Series("users of k6", users, GREY, "step")], height=60)


def latency_panel(run, key):
    colours = endpoint_colours(run)
    series = [
        Series(name, of_load(rows, lambda row: row[f"{key}_ms"]), colours[name])
        for name, rows in run.endpoints.items()
    ]
    limits = p95_limits(run) if key == "p95" else []
    begin, end = time_axis(run)
    for limit in limits:
        line = [(begin, limit), (end, limit)]
        series.append(Series(f"limit {limit:g} ms", line, RED, dash="7 4", width=2))
    note = "as clients see it" if key == "p50" else ""
    if "pods" in run.summary:
        note = "as clients see it, of the slowest of k6's pods"
    return Panel(f"Latency {key}", "ms, logarithmic", series, log=True, note=note, height=150)


def p95_limits(run):
    """The limits that are set, if they are few."""
    found = set()
    for rule in run.summary["thresholds"]:
        limit = re.fullmatch(r"p\(95\)<=?([\d.]+)", rule["rule"])
        if limit:
            found.add(float(limit[1]))
    return sorted(found) if len(found) <= 2 else []


def failure_panel(run):
    kinds = measures.failures(run)
    parts = [
        (kind, {time - 0.5: count for time, count in found.items()}, MANY[-1 - i % len(MANY)])
        for i, (kind, found) in enumerate(kinds)
    ]
    counts = [f"{sum(found.values()):g} × {kind}" for kind, found in kinds]
    return Panel(
        "Errors by kind",
        "a second, as clients see them",
        plot.stacked(parts, "bar"),
        height=60,
        least_top=4,
        note=", ".join(counts) or "none",
    )


def status_panel(run):
    """What is not a success: a refusal for lack of stock is one of these, and a right answer."""
    series = []
    for status in measures.labels_of(run, "http_requests_total", measures.STATUS):
        if status < "300":
            continue
        rates = measures.rate(run, "http_requests_total", label("status", status))
        colour = RED if status >= "500" else MANY[len(series) % len(MANY)]
        series.append(Series(f"status {status}", points(rates), colour))
    shed = measures.rate(run, "http_requests_shed_total")
    if any(shed.values()):
        series.append(Series("refused for overload (503)", points(shed), BLACK))
    if not any(value for one in series for _, value in one.points):
        return None
    return Panel(
        "Answers that are no success",
        "a second, as the services count them",
        series,
        height=100,
        least_top=4,
        note="409 may be the right answer: there is no stock left",
    )


def points(values):
    return sorted(values.items())


def instance_panel(run):
    colours = instance_colours(run)
    parts = [
        (name, measures.rate_of(measures.counted(rows, "http_requests_total")), colours[name])
        for name, rows in run.metrics.items()
    ]
    return Panel("Requests by instance", "a second, stacked", plot.stacked(parts), height=130)


def instance_colours(run):
    names = [*run.metrics, *run.processes]
    others = [colour for colour in MANY if colour not in COLOURS.values()]
    return {
        name: COLOURS.get(name) or others[i % len(others)]
        for i, name in enumerate(dict.fromkeys(names))
    }


def tier_panel(run):
    parts = [
        (name, measures.rate(run, LOOKUPS, labels), colour)
        for (name, labels), colour in zip(TIERS, TIER_COLOURS)
    ]
    parts.append(("shared a load under way", measures.rate(run, SHARED), GREEN))
    parts = [(name, values, colour) for name, values, colour in parts if any(values.values())]
    if not parts:
        return None
    return Panel(
        "Where products come from",
        "products a second, stacked",
        plot.stacked(parts),
        note="products, not requests: a list asks for many",
    )


def wait_panel(run):
    colours = {"redis": BLUE, "postgres": ORANGE}
    series = []
    for store in measures.stores(run):
        means = measures.mean(run, "faststock_pool_wait_seconds", label("store", store))
        colour = colours.get(store) or MANY[-1 - len(series)]
        series.append(Series(store, [(t, 1000 * v) for t, v in points(means)], colour))
    return Panel(
        "Waiting for a pooled connection",
        "ms a use, mean",
        series,
        height=110,
        least_top=0.1,
    )


def trouble_panel(run):
    """Only when there was any."""
    kinds = {
        "faststock_store_errors_total": "errors of",
        "faststock_pool_timeouts_total": "gave up waiting for",
    }
    series = []
    for metric, what in kinds.items():
        for store in measures.labels_of(run, metric, measures.STORE):
            found = measures.rate(run, metric, label("store", store))
            if any(found.values()):
                colour = MANY[(len(series) + 5) % len(MANY)]
                series.append(Series(f"{what} {store}", points(found), colour))
    return (
        Panel("Trouble with stores", "a second", series, height=80, least_top=4) if series else None
    )


def batch_panel(run):
    means = measures.mean(run, "faststock_write_wait_seconds")
    if not any(means.values()):
        return None
    sizes = measures.as_dict(measures.figures(run)).get("batch")
    return Panel(
        "Writes wait for their batch",
        "ms, mean",
        [Series("until its transaction began", [(t, 1000 * v) for t, v in points(means)], GREEN)],
        height=110,
        least_top=0.1,
        note=f"writes that share a commit, mean: {shown(sizes)}",
    )


def age_panel(run):
    oldest = {}
    for rows in run.metrics.values():
        for row in rows:
            age = row.get("faststock_watermark_age_seconds")
            if age is not None and age >= 0:
                oldest[row["time"]] = max(oldest.get(row["time"], 0), 1000 * age)
    if not oldest:
        return None
    return Panel(
        "Age of what the readers know",
        "ms, the oldest instance",
        [Series("since the ledger was read", points(oldest), PURPLE)],
        height=110,
        least_top=200,
        note="an answer from memory is no older",
    )


def cpu_panel(run):
    colours, cpus = instance_colours(run), run.manifest["machine"]["cpus"]
    found = measures.processes(run)
    parts = [
        (name, measures.rate_of(rows, "cpu_seconds"), colours[name])
        for name, rows in found.items()
        if name != MACHINE
    ]
    series = plot.stacked(in_order(parts))
    note = "as the instances count it"
    if MACHINE in found:
        busy = measures.rate_of(found[MACHINE], "cpu_seconds")
        begin, end = time_axis(run)
        series += [
            Series("all of this machine", points(busy), BLACK, dash="4 3"),
            Series(f"its {cpus} CPUs", [(begin, cpus), (end, cpus)], RED, dash="7 4", width=2),
        ]
        note = "of each process with its children; what k6 takes, the services do not have"
    return Panel("CPU", "cores, stacked", series, note=note, height=220, least_top=0.1)


def in_order(parts):
    """The stores at the bottom, k6 on top."""
    order = [*COLOURS, MACHINE]
    return sorted(parts, key=lambda part: order.index(part[0]) if part[0] in order else len(order))


def memory_panel(run):
    colours = instance_colours(run)
    parts = [
        (name, {row["time"]: row["memory_bytes"] / 2**20 for row in rows}, colours[name])
        for name, rows in measures.processes(run).items()
        if name != MACHINE
    ]
    note = "shared pages count by their share, so PostgreSQL's cache counts once"
    note = note if run.processes else "resident, as the instances count it"
    return Panel("Memory", "MiB, stacked", plot.stacked(in_order(parts)), note=note, height=170)


# --- the charts of two runs


def charts_of_two(a, b):
    begin, end = time_axis(a, b)
    both = [("A", a, BLUE), ("B", b, ORANGE)]

    def lines(of_run, **options):
        return [Series(name, of_run(run), colour, **options) for name, run, colour in both]

    def latency(key):
        def of_run(run):
            return of_load(run.load, lambda row: row[f"{key}_ms"])

        return Panel(f"Latency {key}", "ms, logarithmic", lines(of_run), log=True, height=130)

    def cores(name):
        return lambda run: points(
            measures.rate_of(measures.processes(run).get(name, []), "cpu_seconds")
        )

    panels = [
        Panel(
            "Requests",
            "a second",
            lines(lambda run: of_load(run.load, lambda row: row["requests"])),
        ),
        *(latency(key) for key in ("p50", "p95", "p99")),
        Panel(
            "Errors",
            "failed or dropped a second",
            lines(
                lambda run: of_load(run.load, lambda row: row["failed"] + row["dropped"]),
                style="bar",
            ),
            height=60,
            least_top=4,
        ),
        *(
            Panel(f"CPU of {name}", "cores", lines(cores(name)), height=80, least_top=0.1)
            for name in shared_processes(a, b)
        ),
    ]
    return plot.charts(panels, begin, end, [(0, "k6 begins")])


def shared_processes(a, b):
    found = [name for name in measures.processes(a) if name in measures.processes(b)]
    return [name for name in [*COLOURS, MACHINE] if name in found] or found


# --- tables


def ratio_tables(a, b):
    of_b = {(title, figure.key): figure for title, group in measures.figures(b) for figure in group}
    tables = []
    for title, group in measures.figures(a):
        rows = [
            ratio_row(figure, of_b[title, figure.key])
            for figure in group
            if (title, figure.key) in of_b
        ]
        if rows:
            head = f"<caption>{text(title)}</caption>{heads([''], ['B ÷ A', 'A', 'B'])}"
            tables.append(table(rows, head))
    return f'<div class="groups">{"".join(tables)}</div>'


def ratio_row(x, y):
    return table_row(
        cell(x.label),
        ratio_cell(x, y),
        number(shown(x.value, x.unit)),
        number(shown(y.value, y.unit)),
    )


def ratio_cell(x, y):
    if x.value is None or y.value is None:
        return number("–")
    if x.value == y.value:
        return '<td class="n same">equal</td>'
    if not x.value:
        return f'<td class="n {"no" if x.better == LESS else ""}">from 0</td>'
    ratio = y.value / x.value
    return f'<td class="n {ratio_style(ratio, x.better)}">{ratio:.2f}</td>'


def ratio_style(ratio, better):
    if 1 / NOTICEABLE < ratio < NOTICEABLE:
        return "same"
    if not better:
        return ""
    return "yes" if (ratio < 1) == (better == LESS) else "no"


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
        **{key: m[key] for key in ("scenario", "target", "machine")},
        "settings": run.summary["settings"],
        "commit": ", ".join(commit for _, commit in measures.build(run)) or "–",
        "commit of the load": m["commit"],
        "instances": len(run.metrics),
    }


def process_section(run):
    found = measures.processes(run)
    if not found:
        return []
    columns = ["CPU used", "cores, mean", "memory at most", "requests", "a second"]
    rows = []
    for name, samples in in_order(found.items()):
        values = [
            shown(counters.used(samples, "cpu_seconds"), "s"),
            f"{measures.mean_cores(run, name) or 0:.2f}",
            shown(measures.peak_memory(samples) / 2**20, "MiB"),
        ]
        values += requests_of(run, name)
        rows.append(table_row(cell(name), *(number(value) for value in values)))
    return ["<h2>Processes</h2>", table(rows, heads(["process"], columns))]


def requests_of(run, name):
    if name not in run.metrics:
        return ["", ""]
    rows = measures.counted(run.metrics[name], "http_requests_total")
    made = counters.used(rows, "value")
    return [shown(made), shown(made / run.summary["duration_s"])]


def manifest_section(run):
    m = run.manifest
    machine = m["machine"]
    problems = ", ".join(
        f"{what} ({count}×: {why})" for what, (count, why) in m["problems"].items()
    )
    settings = " ".join(f"{name}={value}" for name, value in run.summary["settings"].items())
    rows = [
        ("command", m["command"]),
        ("settings", settings),
        ("begin, end", f"{m['begin']}, {m.get('end', 'not known')}"),
        (
            "instances",
            ", ".join(run.metrics) or "none that are known: --metrics tells where they are",
        ),
        (
            "machine",
            f"{machine['cpus']} × {machine['cpu']}, {machine['memory']}, {machine['os']},"
            f" Linux {machine['kernel']}",
        ),
        ("commit of the load", m["commit"] or "–"),
        ("could not be had", problems or "nothing"),
    ]
    files = [
        f'<li><a href="{name}">{name}</a>: {text(about)}</li>'
        for name, about in files_of(run)
        if (run.folder / name).exists()
    ]
    return (
        table(table_row(cell(name), cell(value)) for name, value in rows)
        + f"<p>Beside this page:</p><ul>{''.join(files)}</ul>"
    )


def files_of(run):
    """(name, what it is) of what may stand beside the page."""
    yield from FILES.items()
    for i in range(len(run.summary.get("pods", []))):
        yield f"pod-{i}/k6.html", f"k6's own page of its pod {i}"
