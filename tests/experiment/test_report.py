"""The pages: whole, without outside resources, and its text agrees with the numbers."""

import html.parser
import json
import re
import subprocess

import pytest

from conftest import ROOT
from experiment import recording, report
from reporting import page as pages
from reporting import plot

COMMAND = ROOT / "scripts/experiment"
VOID = {"meta", "br", "line", "path", "rect", "circle"}


class Page(html.parser.HTMLParser):
    """Checks that each opened tag is closed, and gathers the text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.text, self.tags = [], [], []
        self.feed(text)
        assert self.open in ([], ["html"], ["html", "body"]), self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def page_of(file):
    text = file.read_text()
    page = Page(text)
    for tag, attributes in page.tags:
        for name in ("src", "href", "xlink:href"):
            assert name not in attributes, f"{tag} has {attributes[name]}"
    assert "url(" not in text and "@import" not in text
    return text, "".join(page.text)


def test_a_report(make_recording):
    run = make_recording()
    source, text = page_of(report.write(run))
    assert "1 → 4 replicas and back; 0 of 13 100 requests failed" in text
    for title in (
        "Load",
        "Replicas",
        "CPU of read-svc",
        "Latency as clients see it",
        "Failures",
        "Requests by pod",
        "Where products come from",
        "Age of what the pods know",
    ):
        assert source.count(f'aria-label="{title}"') == 1
    assert "SLO: p95 ≤ 100 ms" in text and "target 70 %" in text
    assert "New size: 4; reason: <cpu>" in text  # what comes from outside is text
    assert 'class="verdict"' in source
    assert "nan" not in re.findall(r'd="([^"]*)"', source)
    assert json.loads((run.folder / "figures.json").read_text())["first_scale_up_s"] == 10


def test_failures_stand_out(make_recording):
    source, text = page_of(report.write(make_recording(failed_at=50)))
    assert 'class="verdict bad"' in source
    assert "3 of 13 100 requests failed" in text and "3 failed, 0 dropped" in text


def test_all_charts_have_the_same_time_axis(make_recording):
    source, _ = page_of(report.write(make_recording()))
    assert set(re.findall(r'data-begin="(.*?)" data-end="(.*?)"', source)) == {("-5", "180")}


def test_replicas_that_stay_are_told(make_recording):
    hpa = make_recording("scaled").manifest["hpa"]
    _, text = page_of(report.write(make_recording(hpa={**hpa, "min": 4})))
    assert "never more than 4 replicas; 0 of 13 100 requests failed" in text


def test_a_comparison(make_recording, tmp_path):
    a, b = make_recording("one"), make_recording("two", failed_at=60, rate=300)
    source, text = page_of(report.write_comparison(a, b, tmp_path / "both.html"))
    assert "Autoscaling of read-svc: one and two" in text
    assert "<td>rate</td><td>200</td><td>300</td>" in source
    assert '<td class="n">0</td><td class="n">3</td><td class="n">+3</td>' in source
    assert source.count("<figure>") == 5


def test_a_difference_that_is_too_small_to_be_seen_has_no_sign():
    differences = {-0.3: "0 %", 0.3: "0 %", -0.6: "-1 %", 0.6: "+1 %", 0: "0 %", None: "–"}
    for difference, expected in differences.items():
        assert pages.signed(difference, "%") == expected
    assert [pages.signed(d, "s") for d in (-0.001, 0.001, 0.01)] == ["0.00 s", "0.00 s", "+0.01 s"]


def test_the_command_writes_both(make_recording, tmp_path):
    a, b = make_recording("one"), make_recording("two", failed_at=60)
    again = subprocess.run([COMMAND, "report", a.folder], capture_output=True, text=True)
    assert again.returncode == 0 and (a.folder / "report.html").exists(), again.stderr
    assert (
        subprocess.run([COMMAND, "report", b.folder], capture_output=True).returncode == 1
    )  # requests have failed
    both = subprocess.run(
        [COMMAND, "compare", a.folder, b.folder, "--out", tmp_path / "both.html"],
        capture_output=True,
        text=True,
    )
    assert both.returncode == 0 and both.stdout.strip() == str(tmp_path / "both.html"), both.stderr


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--rate", "0"], "'0' is no whole number from 1"),
        (["--rate", "1"], "--rate is less than 2 a second"),
        (["--slo", "nan"], "'nan' is no time above 0"),
        (["--slo", "0"], "'0' is no time above 0"),
        (["--duration", "fast"], "'fast' is no duration"),
        (["--profile", "wave"], "invalid choice"),
        (["--min", "3", "--max", "2"], "--min is more than --max"),
        (["compare", "only-one"], "required"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    result = subprocess.run([COMMAND, *arguments], capture_output=True, text=True)
    assert result.returncode == 2
    assert message in result.stderr


def test_a_folder_that_is_none(tmp_path):
    result = subprocess.run([COMMAND, "report", tmp_path], capture_output=True, text=True)
    assert result.returncode == 3
    assert "holds no recording" in result.stderr


@pytest.mark.parametrize(
    "highest, height", [(1, 60), (4, 60), (6, 170), (151, 190), (1043, 190), (0.1, 130)]
)
def test_linear_ticks(highest, height):
    ticks = plot.linear_ticks(highest, height)
    assert ticks[0] == 0 and ticks[-1] >= highest
    assert 2 <= len(ticks) <= height / 38 + 3


@pytest.mark.parametrize("lowest, highest", [(1, 1), (0.8, 120), (3, 2500), (0.02, 5000)])
def test_log_ticks(lowest, highest):
    ticks = plot.log_ticks(lowest, highest)
    assert ticks[0] <= lowest and ticks[-1] >= highest
    assert 2 <= len(ticks) <= 9 and ticks == sorted(ticks)


def as_of_write_svc(run):
    """The same recording with the services' names changed over."""
    for name in ("services.csv", "pods.csv"):
        file = run.folder / name
        file.write_text(file.read_text().replace("read-svc", "write-svc"))
    return recording.read(run.folder)


def test_a_report_of_write_svc(make_recording):
    folder = make_recording().folder
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "service": "write-svc"}))
    with pytest.raises(recording.RecordingError, match="no sample of write-svc"):
        recording.read(folder)
    run = as_of_write_svc(recording.Recording(folder, {}, [], {}, {}, []))
    page = report.write(run).read_text()
    assert "Autoscaling of write-svc" in page and "CPU of write-svc" in page
    assert "POST /api/products/{id}/update-stock" in page
    assert "Where products come from" not in page  # it answers no reads
    assert json.loads((folder / "figures.json").read_text())["replicas_peak"] == 4


def test_a_comparison_names_both_services(make_recording, tmp_path):
    a, b = make_recording("a"), make_recording("b")
    manifest = b.folder / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "service": "write-svc"}))
    page = report.write_comparison(a, as_of_write_svc(b), tmp_path / "both.html").read_text()
    assert "Autoscaling of read-svc and write-svc" in page
