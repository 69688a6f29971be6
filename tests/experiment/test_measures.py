"""The numbers of a run whose story is known (conftest.py)."""

import csv

import pytest

from experiment import measures, profiles, recording, report, sampler
from reporting.counters import used
from reporting.k6 import LOAD_COLUMNS
from reporting.rows import write_rows


@pytest.fixture
def found(make_recording):
    return measures.as_dict(measures.figures(make_recording()))


def test_scaling_up(found):
    assert found["replicas_peak"] == 4
    assert found["first_scale_up_s"] == 10  # the load rises at 20, four are wanted at 30
    assert found["first_ready_s"] == found["all_ready_s"] == 15
    assert found["pod_start_s"] == 5


def test_replicas_that_the_base_load_wanted_are_no_scale_up(make_recording):
    run = make_recording()
    for row in run.services["read-svc"]:
        if 5 <= row["time"] < 30:
            row |= {"desired": 2, "existing": 2, "ready": 2}
    found = measures.as_dict(measures.figures(run))
    assert (found["first_scale_up_s"], found["first_ready_s"]) == (10, 15)


def test_overshoot_is_held_against_the_cpu_that_was_used(found, make_recording):
    assert found["replicas_needed"] == 4  # 0.14 cores at 70 % of 0.05
    assert found["overshoot"] == 0
    run = make_recording(
        "generous",
        hpa={
            "min": 1,
            "max": 6,
            "cpu_target": 70,
            "behavior": {},
            "cpu_request": 0.1,
            "cpu_limit": None,
        },
    )
    assert measures.as_dict(measures.figures(run))["overshoot"] == 2


def test_scaling_down(found):
    assert (
        found["first_scale_down_s"] == found["scale_down_lag_s"] == 60
    )  # the load is back at its base at 80
    assert found["last_pod_gone_s"] == 70


def test_requests(found):
    assert found["requests"] == 20 * 10 + 60 * 200 + 90 * 10
    assert found["failed"] == found["dropped"] == found["wrong"] == 0
    assert found["served_peak_rps"] == 200
    assert found["out_of_slo_s"] == 10
    assert found["out_of_slo_late_s"] == 0  # all were ready at 35


def test_a_second_with_a_failure_is_out_of_the_slo(make_recording):
    found = measures.as_dict(measures.figures(make_recording(failed_at=100)))
    assert found["failed"] == 3
    assert found["out_of_slo_s"] == 11
    assert found["out_of_slo_late_s"] == 1


def test_replica_seconds_count_pods_from_their_appearance_until_they_are_gone(found):
    assert found["replica_seconds"] == profiles.length([(170, 1)]) + 3 * (150 - 30)
    assert found["cpu_seconds"] == pytest.approx(found["requests"] * 0.0007, rel=0.01)


def test_equal_shares(found, make_recording):
    assert found["share_min"] == pytest.approx(100)
    assert found["share_max"] == pytest.approx(100)
    shares = measures.pod_shares(make_recording("again"))
    assert [share.pod for share in shares] == [
        "fs-read-svc-a",
        "fs-read-svc-b",
        "fs-read-svc-c",
        "fs-read-svc-d",
    ]
    assert (shares[0].seen, shares[0].gone) == (-5, None)
    assert (shares[1].seen, shares[1].ready_after, shares[1].gone) == (30, 5, 149)


def test_a_pod_that_is_left_out_is_seen(make_recording):
    run = make_recording()
    rows = run.pods["fs-read-svc-d"]
    for row in rows:
        row["requests"] /= 10
    found = measures.as_dict(measures.figures(run))
    assert found["share_min"] < 15
    assert found["share_max"] > 120


def test_a_run_that_never_scaled(make_recording):
    run = make_recording()
    for row in run.services["read-svc"]:
        row |= {"desired": 1, "existing": 1, "ready": 1}
    for pod in ("fs-read-svc-b", "fs-read-svc-c", "fs-read-svc-d"):
        del run.pods[pod]
    found = measures.as_dict(measures.figures(run))
    assert found["replicas_peak"] == 1
    for key in (
        "first_scale_up_s",
        "first_ready_s",
        "all_ready_s",
        "scale_down_lag_s",
        "last_pod_gone_s",
        "share_min",
        "pod_start_s",
    ):
        assert found[key] is None


def test_samples_without_counters_do_not_matter(make_recording):
    run = make_recording()
    for row in run.pods["fs-read-svc-b"][10:20]:
        row |= {"requests": None, "cpu_seconds": None, "scraped": None}
    assert measures.as_dict(measures.figures(run))["share_min"] == pytest.approx(100, rel=0.02)


def test_a_counter_that_begins_anew_counts_on():
    rows = [{"requests": value} for value in (100.0, 150.0, 20.0, 30.0)]
    assert used(rows, "requests") == 50 + 20 + 10


def test_a_folder_without_a_recording_is_refused(tmp_path, make_recording):
    with pytest.raises(recording.RecordingError, match="holds no recording"):
        recording.read(tmp_path)
    run = make_recording()
    with open(run.folder / "load.csv", "w") as file:
        csv.writer(file).writerow(LOAD_COLUMNS)
    with pytest.raises(recording.RecordingError, match="empty"):
        recording.read(run.folder)


def rewrite(run, name, columns, change):
    """Changes the rows of a file of the recording and reads it again."""
    file = run.folder / f"{name}.csv"
    with open(file, newline="") as lines:
        rows = list(csv.DictReader(lines))
    write_rows(file, columns, change(rows))
    return recording.read(run.folder)


def test_samples_that_begin_late_or_are_few(make_recording):
    """The API server may not have answered for a while."""
    for name, keep in {"late": lambda rows: rows[80:], "one": lambda rows: rows[60:61]}.items():
        run = rewrite(make_recording(name), "services", sampler.SERVICE_COLUMNS, keep)
        found = measures.as_dict(measures.figures(run))
        assert found["replicas_peak"] == 4 and found["first_scale_up_s"] is None
        assert report.write(run).exists()


@pytest.mark.parametrize(
    "keep",
    [lambda rows: rows[:3], lambda rows: [{**row, "service": "write-svc"} for row in rows]],
    ids=["before the load", "of the other service"],
)
def test_a_recording_without_samples_of_the_service_is_refused(make_recording, keep):
    with pytest.raises(recording.RecordingError, match="no sample of read-svc"):
        rewrite(make_recording(), "services", sampler.SERVICE_COLUMNS, keep)


@pytest.mark.parametrize(
    "name", ["load.csv", "services.csv", "pods.csv", "events.csv", "manifest.json"]
)
def test_a_file_that_is_cut_off_is_named(make_recording, name):
    file = make_recording().folder / name
    file.write_text(file.read_text().rstrip()[: -40 if name.endswith("json") else -45])
    with pytest.raises(recording.RecordingError, match=f"{file.parent} holds no recording.*"):
        recording.read(file.parent)


@pytest.mark.parametrize(
    "text, lacks",
    [('{"load_begin": 1}', "lacks cluster, fullname, hpa"), ("[]", "holds no recording")],
)
def test_a_manifest_of_something_else_is_refused(make_recording, text, lacks):
    folder = make_recording().folder
    (folder / "manifest.json").write_text(text)
    with pytest.raises(recording.RecordingError, match=lacks):
        recording.read(folder)


def test_a_run_without_requests(make_recording):
    run = make_recording()
    for row in run.load:
        row |= {"requests": 0, "p50_ms": None, "p95_ms": None, "p99_ms": None, "max_ms": None}
    run.manifest["k6"]["all"] |= {"requests": 0, "p50_ms": None, "p95_ms": None, "p99_ms": None}
    run.pods.clear()
    assert measures.as_dict(measures.figures(run))["p95_ms"] is None
    assert report.write(run).exists()
