"""The pages: whole, without outside resources, and their text agrees with the numbers."""

import html.parser
import json
import os
import re
import subprocess

import pytest

from conftest import READ, ROOT
from load_report import report

COMMAND = ROOT / "scripts/load"
VOID = {"meta", "br", "line", "path", "rect", "circle"}
BESIDE = {"k6.html", "summary.txt", "summary.json", "figures.json", "console.log"}


class Page(html.parser.HTMLParser):
    """Checks that each opened tag is closed, and gathers the text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.text, self.links = [], [], []
        self.feed(text)
        assert self.open in ([], ["html"], ["html", "body"]), self.open

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href", "xlink:href")]

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def page_of(file):
    source = file.read_text()
    page = Page(source)
    assert set(page.links) <= BESIDE, page.links
    assert "url(" not in source and "@import" not in source
    assert "nan" not in re.findall(r' (?:d|points)="([^"]*)"', source)
    return source, "".join(page.text)


def charts_of(source):
    return re.findall(r'aria-label="(.*?)"', source)


def test_a_report(make_run):
    run = make_run()
    source, text = page_of(report.write(run))
    assert "Load test mixed on http://127.0.0.1:18080" in text
    assert "FastStock 1.2.3 at commit abcdef. 2023-11-14 22:13:20 UTC" in text
    assert "Passed: all 7 thresholds held" in text and 'class="verdict"' in source
    assert text.index("Passed") < text.index("8 ms of 500 ms ✓") < text.index("Over time")
    assert charts_of(source) == [
        "Requests",
        "Users",
        "Latency p50",
        "Latency p95",
        "Latency p99",
        "Errors by kind",
        "Answers that are no success",
        "Requests by instance",
        "Where products come from",
        "Waiting for a pooled connection",
        "Writes wait for their batch",
        "Age of what the readers know",
        "CPU",
        "Memory",
    ]
    assert 'href="k6.html"' in source and 'href="console.log"' not in source
    assert json.loads((run.folder / "figures.json").read_text())["rps"] == 110


def test_all_charts_have_the_same_time_axis_for_screens_and_phones(make_run):
    source, _ = page_of(report.write(make_run()))
    axes = re.findall(r'<svg class="(\w+)" .*? data-begin="(.*?)" data-end="(.*?)"', source)
    assert set(axes) == {("wide", "0", "20"), ("narrow", "0", "20")}
    assert len(axes) == 2 * len(charts_of(source))


def test_each_endpoint_and_process_is_in_the_charts(make_run):
    source, _ = page_of(report.write(make_run()))
    figures = dict(zip(charts_of(source), re.findall("<figure>.*?</figure>", source, re.DOTALL)))
    assert READ in figures["Latency p99"] and "limit 500 ms" in figures["Latency p95"]
    for process in ("postgres", "redis", "read-1", "nginx", "k6", "all of this machine"):
        assert f" {process} <output>" in figures["CPU"]
    assert "status 409" in figures["Answers that are no success"]
    assert 'data-points="0.5,80.0' in figures["Where products come from"].replace("80 ", "80.0 ")


def test_what_failed_comes_first_and_stands_out(make_run):
    source, text = page_of(report.write(make_run(failed_at=12)))
    assert 'class="verdict bad"' in source
    told = f"Failed: 3 of 7 thresholds did not hold: 3 of 2 000 requests of {READ} failed."
    assert told in text  # once: not again as wrong answers, nor as those of all requests
    assert "3 failed ✗" in text and "3 × status 503" in text


def test_a_limit_that_did_not_hold_is_told_in_words(make_run):
    _, text = page_of(report.write(make_run(p95_limit=5)))
    assert f"p95 of {READ} is 8 ms, the limit is 5 ms." in text
    assert "8 ms of 5 ms ✗" in text


def test_an_interrupted_run_says_so(make_run):
    source, text = page_of(report.write(make_run(status=105)))
    assert "Interrupted: until then all 7 thresholds held." in text
    assert 'class="verdict bad"' in source and "Passed" not in text
    failed = report.write(make_run("slow", status=105, p95_limit=5)).read_text()
    assert "Failed: 1 of 7" in failed and "The run was interrupted." in failed


def test_a_target_whose_instances_are_not_known(make_run):
    source, text = page_of(report.write(make_run(seen=False)))
    assert "none that are known: --metrics tells where they are" in text
    assert "Where products come from" not in charts_of(source)


def test_trouble_with_a_store_is_shown_when_there_was_any(make_run):
    run = make_run()
    for i, row in enumerate(run.metrics["read-1"]):
        row |= {
            'faststock_store_errors_total{store="redis",kind="connect"}': max(0, i - 9),
            'faststock_store_errors_total{store="postgres",kind="timeout"}': 7,
        }
    source, text = page_of(report.write(run))
    assert "Trouble with stores" in charts_of(source)
    assert "errors of redis" in text and "errors of postgres" not in text


def test_what_comes_from_outside_is_text(make_run):
    _, text = page_of(report.write(make_run(target="http://x/<script>alert(1)</script>")))
    assert "<script>alert(1)</script>" in text


def test_a_comparison(make_run, tmp_path):
    a = make_run("one")
    b = make_run("two", failed_at=3, p95_limit=5)
    b.summary["all"] |= {"rps": 220.0, "p95_ms": 4.5, "p50_ms": 4.2}
    source, text = page_of(report.write_comparison(a, b, tmp_path / "both.html"))
    assert text.index("Ratios") < text.index("Over time")
    assert '<td>Requests a second</td><td class="n yes">2.00</td>' in source
    assert '<td>p95</td><td class="n yes">0.50</td>' in source
    assert '<td>p50</td><td class="n no">2.00</td>' in source
    assert '<td>Failed</td><td class="n no">from 0</td>' in source
    assert "<td>settings.P95_MS</td><td>500</td><td>5</td>" in source
    assert "CPU of postgres" in charts_of(source)


def test_a_run_beside_itself_differs_in_nothing(make_run, tmp_path):
    run = make_run()
    source, text = page_of(report.write_comparison(run, run, tmp_path / "both.html"))
    assert "Nothing: the same run twice." in text
    assert 'class="n no"' not in source and 'class="n yes"' not in source


def load(*arguments, **env):
    return subprocess.run(
        [COMMAND, *arguments], capture_output=True, text=True, env={**os.environ, **env}
    )


def test_the_command_knows_runs_by_folder_and_by_name(make_run, tmp_path):
    a, b = make_run("one"), make_run("two")
    state = tmp_path / "state"
    (state / "load").mkdir(parents=True)
    b.folder.rename(state / "load/two")
    result = load("compare", str(a.folder), "two", FASTSTOCK_RUN_DIR=str(state))
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == str(state / "load/one-and-two.html")
    result = load("report", "two", FASTSTOCK_RUN_DIR=str(state))
    assert result.returncode == 0 and (state / "load/two/report.html").exists()


@pytest.mark.parametrize(
    "arguments, status, message",
    [
        (["compare"], 2, "required: a, b"),
        (["compare", "x"], 2, "required: b"),
        (["compare", "nowhere", "nowhere"], 1, "nowhere holds no recording of a load"),
        (["report"], 2, "required: folder"),
        (["mixed", "--metrics", "http://x"], 2, "--metrics goes with --url"),
    ],
)
def test_wrong_arguments_are_refused(arguments, status, message):
    result = load(*arguments)
    assert result.returncode == status, result
    assert "error: " in result.stderr and message in result.stderr
