"""The sampler: processes by /proc, instances by /metrics, and both while they fail."""

import http.server
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from load_report import sampler

PAGE = """\
# HELP http_requests_total Requests.
# TYPE http_requests_total counter
http_requests_total{method="GET",route="/api/products/{id}/stock",status="200"} 269
http_request_duration_seconds_bucket{le="0.1"} 7
process_cpu_seconds_total 0.5
"""


def test_only_what_the_report_needs_is_kept():
    assert sampler.kept(PAGE) == {
        'http_requests_total{method="GET",route="/api/products/{id}/stock",status="200"}': 269,
        "process_cpu_seconds_total": 0.5,
    }


def test_children_count_to_their_process():
    child = "while True: pass"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', '{child}'])"
    busy = subprocess.Popen([sys.executable, "-c", parent], start_new_session=True)
    processes = sampler.Processes(lambda: {"busy": busy.pid, "gone": 2**22 + 1})
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = {row["process"]: row for row in processes.rows(1.0)}
            if found["busy"]["cpu_seconds"] > 0.5:  # the parent alone only waits
                break
            time.sleep(0.1)
    finally:
        os.killpg(busy.pid, 9)
        busy.wait()
    assert found["busy"]["cpu_seconds"] > 0.5 and found["busy"]["memory_bytes"] > 2**20
    assert "gone" not in found
    assert found["machine"]["cpu_seconds"] > found["busy"]["cpu_seconds"]


def test_what_was_counted_last_is_in_the_samples(tmp_path):
    counts = iter(range(1000))
    instance = {"one": lambda: {"scraped": 1.0, "values": {"requests": next(counts)}}}
    sampling = sampler.Sampler(lambda: instance, None, tmp_path)
    sampling.start()
    while sampling.samples < 1:
        time.sleep(0.01)
    before = sampling.samples
    sampling.stop()  # long before the next second
    lines = (tmp_path / "metrics.ndjson").read_text().splitlines()
    assert len(lines) == sampling.samples == before + 1


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(PAGE.encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def url():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_an_instance_that_does_not_answer_is_named_and_hides_no_other(url, tmp_path):
    def away():
        raise OSError("refused")

    instances = {"one": lambda: sampler.scrape(url), "two": away}
    sampling = sampler.Sampler(lambda: instances, sampler.Processes(dict), tmp_path)
    sampling.start()
    while sampling.samples < 2:
        time.sleep(0.05)
    sampling.stop()
    samples = [json.loads(line) for line in (tmp_path / "metrics.ndjson").read_text().splitlines()]
    assert {sample["instance"] for sample in samples} == {"one"}
    assert samples[0]["values"]["process_cpu_seconds_total"] == 0.5
    assert sampling.problems == {"/metrics of two": (sampling.samples, "refused")}
    assert (tmp_path / "processes.csv").read_text().count("machine") == sampling.samples
