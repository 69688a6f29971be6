"""./dev load for real, a few seconds long: its report shows the stack as it was under the load."""

import json
import os
import re
import shutil
import subprocess

import pytest

from support.stack import ROOT

pytestmark = pytest.mark.once

SERVICES = {"read-1", "read-2", "write-1", "write-2"}
STORES = {"postgres", "pgbouncer", "redis", "nginx"}


def has_k6():
    """Building it takes minutes, which belong to the first ./dev load and not to a test."""
    wanted = re.search(r"^VERSION=(\S+)", (ROOT / "scripts/k6").read_text(), re.MULTILINE)[1]
    for k6 in (shutil.which("k6"), ROOT / ".tools/bin/k6"):
        if k6 and os.access(k6, os.X_OK):
            version = subprocess.run([k6, "version"], capture_output=True, text=True).stdout
            if f"k6 {wanted} " in version:
                return True
    return False


def load(tmp_path, *arguments):
    """Runs it with its results in tmp_path; returns their folder and what it printed."""
    state = tmp_path / "state"
    state.mkdir()
    for name in ("credentials", "pid"):  # of the running stack
        (state / name).symlink_to(os.path.join(os.environ["FASTSTOCK_RUN_DIR"], name))
    done = subprocess.run(
        [ROOT / "dev", "load", *arguments],
        env={**os.environ, "FASTSTOCK_RUN_DIR": str(state)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    (folder,) = (state / "load").iterdir()
    return folder, done


@pytest.mark.skipif(not has_k6(), reason="k6 is not built: ./dev k6 version builds it")
def test_the_report_of_a_run(stack, tmp_path):
    folder, done = load(tmp_path, "mixed", "--duration", "4s", "--vus", "5", "--p95", "5000")
    assert done.returncode == 0, done
    assert f"report: {folder}/report.html" in done.stderr
    manifest = json.loads((folder / "run.json").read_text())
    assert manifest["problems"] == {} and manifest["target"] == stack.env["EDGE_URL"]
    figures = json.loads((folder / "figures.json").read_text())
    summary = json.loads((folder / "summary.json").read_text())
    assert figures["requests"] == summary["all"]["requests"] > 100
    assert figures["tier memory of read-svc (L1)"] > 0
    served = sum(figures[f"served {service}"] for service in SERVICES)
    assert served == pytest.approx(summary["all"]["requests"], rel=0.02)
    for process in SERVICES | STORES | {"k6"}:
        assert figures[f"cpu {process}"] >= 0 and figures[f"memory {process}"] > 1
    page = (folder / "report.html").read_text()
    assert "Passed: all" in page and 'href="k6.html"' in page
    assert (folder / "k6.html").stat().st_size > 10_000
    assert not (folder / "k6.pid").exists()


@pytest.mark.skipif(not has_k6(), reason="k6 is not built: ./dev k6 version builds it")
def test_a_target_by_its_address_and_those_of_its_metrics(stack, tmp_path):
    ops = stack.env["READ_OPS_URLS"].partition(",")[0]
    arguments = ["stock", "--duration", "3s", "--vus", "2", "--p95", "5000", "--url"]
    folder, done = load(tmp_path, *arguments, stack.env["EDGE_URL"], "--metrics", ops)
    assert done.returncode == 0, done
    name = ops.removeprefix("http://")
    figures = json.loads((folder / "figures.json").read_text())
    assert figures[f"memory {name}"] > 1 and "memory postgres" not in figures
