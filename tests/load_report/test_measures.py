"""The numbers of a run whose story is known (conftest.py)."""

import json

import pytest

from conftest import BEGIN, READ, SECONDS
from load_report import measures, recording
from reporting.rows import RecordingError


@pytest.fixture
def found(make_run):
    return measures.as_dict(measures.figures(make_run()))


def test_requests(found):
    assert (found["requests"], found["rps"]) == (2200, 110)
    assert (found["p50_ms"], found["p95_ms"], found[f"{READ} p95_ms"]) == (2.1, 9, 8)
    assert found["failed"] == found["dropped"] == 0


def test_tiers_are_shares_of_the_products(found):
    assert found["tier memory of read-svc (L1)"] == pytest.approx(80)
    assert found["tier Redis"] == pytest.approx(15)
    assert found["tier PostgreSQL"] == pytest.approx(5)


def test_waits_and_batches(found):
    assert found["wait postgres"] == pytest.approx(3)  # ms: 0.03 s for ten of each instance
    assert found["batch"] == 3
    assert found["write wait"] == pytest.approx(2)
    assert found["writes"] == 12 * SECONDS


def test_cpu_is_that_of_a_thousand_requests(found):
    requests = (50 + 50 + 12) * SECONDS  # as the instances count them
    assert found["served read-1"] == 50 * SECONDS and found["served write-1"] == 12 * SECONDS
    assert found["cpu k6"] == pytest.approx(0.5 * SECONDS / requests * 1e6)
    assert found["machine"] == pytest.approx(75)
    assert found["memory k6"] == 50 + SECONDS
    assert found["memory write-1"] == 16  # it is in /metrics only


def test_endpoints_have_their_own_seconds(make_run):
    run = make_run()
    assert list(run.endpoints) == [READ, "POST /api/products/{id}/update-stock"]
    row = run.endpoints[READ][4]
    assert (row["time"], row["requests"], row["p50_ms"], row["p99_ms"]) == (5, 100, 2, 9)
    assert run.end == SECONDS


def test_pods_that_split_the_load_are_added_up(make_run):
    run = make_run()
    file = run.folder / "record.ndjson"
    for i in range(2):
        pod = run.folder / f"pod-{i}"
        pod.mkdir()
        (pod / file.name).write_text(file.read_text())
    file.unlink()
    found = recording.read(run.folder)
    assert [row["requests"] for row in found.load] == [220] * SECONDS
    assert found.endpoints[READ][3]["p95_ms"] == 8  # of the slowest


def test_two_seconds_of_k6_are_never_one(make_run):
    run = make_run()
    file = run.folder / "record.ndjson"
    late = str(1000 * (BEGIN + 7))
    file.write_text(file.read_text().replace(late, str(1000 * (BEGIN + 7.6))))
    found = recording.read(run.folder)
    assert [row["requests"] for row in found.load] == [110] * SECONDS


def test_errors_are_told_by_kind_and_second(make_run):
    assert measures.failures(make_run()) == []
    run = make_run("failed", failed_at=12)
    assert measures.failures(run) == [("status 503", {13: 3})]
    run.errors.clear()  # k6 gave them no code: it had got another status than it expects
    assert measures.failures(run) == [("another status than expected", {13: 3})]
    for row in run.load:
        row |= {"failed": 0, "dropped": 4 if row["time"] == 2 else 0}
    assert measures.failures(run) == [("arrival dropped, all users were busy", {2: 4})]


@pytest.mark.parametrize(
    "code, name",
    [("1050", "no answer in time"), ("1409", "status 409"), ("1101", "k6's error 1101")],
)
def test_names_of_errors(code, name):
    assert measures.error_name(code) == name


def test_an_instance_that_began_anew_counts_on(make_run):
    run = make_run()
    key = 'faststock_cache_requests_total{tier="l1",result="hit"}'
    for row in run.metrics["read-1"][10:]:
        row[key] -= 400  # it had 400 then
    assert measures.total(run, "faststock_cache_requests_total", 'tier="l1"') == 2 * 40 * 20 - 40
    rates = measures.rate(run, "faststock_cache_requests_total", 'tier="l1"')
    assert rates[5.5] == pytest.approx(80) and rates[9.5] == pytest.approx(40)


def test_a_series_that_appears_later_began_at_0(make_run):
    run = make_run()
    for i, row in enumerate(run.metrics["read-1"]):
        if i >= 8:
            row['http_requests_total{method="GET",route="/x",status="503"}'] = 30
    assert measures.total(run, "http_requests_total", 'status="503"') == 30
    assert measures.rate(run, "http_requests_total", 'status="503"')[7.5] == pytest.approx(30)


def test_an_instance_that_was_away_has_a_gap(make_run):
    run = make_run()
    del run.metrics["read-1"][5:8]
    rates = measures.rate(run, "http_requests_total")
    assert rates[5.5] == pytest.approx(62)  # of the others


def test_a_run_that_nobody_watched(make_run):
    found = measures.as_dict(measures.figures(make_run(seen=False)))
    assert found["requests"] == 2200
    assert not [key for key in found if key.startswith(("tier", "cpu", "memory", "wait"))]


@pytest.mark.parametrize(
    "name", ["record.ndjson", "metrics.ndjson", "processes.csv", "summary.json", "run.json"]
)
def test_a_file_that_is_cut_off_or_gone_is_refused(make_run, name):
    folder = make_run().folder
    file = folder / name
    file.write_text(file.read_text().rstrip()[:-30])
    with pytest.raises(RecordingError, match="holds no recording of a load"):
        recording.read(folder)
    file.unlink()
    with pytest.raises(RecordingError, match="holds no recording of a load"):
        recording.read(folder)


def test_a_manifest_of_something_else_is_refused(make_run):
    folder = make_run().folder
    (folder / "run.json").write_text(json.dumps({"name": "run"}))
    with pytest.raises(RecordingError, match="run.json lacks begin, command, commit, machine"):
        recording.read(folder)
