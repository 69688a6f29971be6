"""./dev bench read, write and seeds: they read the figures right. A run of write leaves the stock
as it was, and refuses to measure a PostgreSQL that may lose commits. Sources that cannot be
measured are refused with the reason."""

import json
import pathlib
import shutil
import subprocess
import sys

import pytest

from support.stack import PRESET, ROOT

sys.path.insert(0, str(ROOT / "scripts"))

from lib import bench_read, bench_seeds, bench_write

pytestmark = pytest.mark.once

of_a_fast_build = pytest.mark.skipif(
    PRESET != "release", reason="figures of a build that is slowed down say nothing"
)
NGINX_LUA = pathlib.Path("/usr/lib/nginx/modules/ngx_http_lua_module.so")

DURABLE = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_sync_method": "fdatasync",
}


def figures(rate):
    return bench_write.Figures(rate, 1.0, 2.0, 100, 8.0)


@pytest.mark.parametrize("name", ["fsync", "synchronous_commit", "full_page_writes"])
def test_commits_that_may_be_lost(name):
    assert bench_write.why_not_durable(DURABLE) is None
    assert bench_write.why_not_durable(DURABLE | {"synchronous_commit": "remote_apply"}) is None
    assert bench_write.why_not_durable(DURABLE | {name: "off"}) == f"{name} is off"


def test_percentiles_are_times_that_were_measured():
    lines = [f"0 {n} {n * 1000} 0 1764000000 1" for n in range(100, 0, -1)]
    times_ms = bench_write.pgbench_times_ms(lines)
    assert bench_write.percentile(times_ms, 0.5) == 50
    assert bench_write.percentile(times_ms, 0.99) == 99
    assert bench_write.percentile([7.0], 0.99) == bench_write.percentile([7.0], 0.5) == 7


def test_figures_of_wrk():
    assert bench_write.wrk_figures("Running\nfigures 500 2000000 1500 9000 0\n") == (250, 1.5, 9)
    for bad in ("figures 500 2000000 1500 9000 1\n", "figures 0 2000000 0 0 0\n", "Running\n"):
        with pytest.raises(SystemExit, match="bench: "):
            bench_write.wrk_figures(bad)


def test_a_histogram_is_summed_over_its_series():
    text = 'f_sum{a="1"} 5\nf_sum{a="2"} 7\nf_count{a="1"} 2\nf_count{a="2"} 1\nff_sum 9\n'
    assert bench_write.sum_and_count(text, "f") == (12, 3)
    with pytest.raises(SystemExit, match="write-1 tells no g_sum"):
        bench_write.sum_and_count(text, "g")


def test_the_summary_compares_the_best_client_counts():
    found = {
        ("hot", 1): (figures(100), figures(80)),
        ("hot", 64): (figures(50), figures(1000)),
        ("uniform", 16): (figures(200), figures(300)),
    }
    assert list(bench_write.summary(found)) == [
        "hot: at its best (64 clients) 10.00 times pgbench at its best (1 clients)",
        "hot: at its best 20.00 times, with 64 clients 20.00 times pgbench with 64 clients",
        "hot: one client alone 0.80 times pgbench",
        "uniform: at its best (16 clients) 1.50 times pgbench at its best (16 clients)",
    ]


@of_a_fast_build
@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk (./dev packages load) is not installed")
def test_a_run(stack, database):
    before = database.product(1)
    result = subprocess.run(
        [ROOT / "dev", *"bench write --rows hot,uniform --clients 2 --rounds 1".split()],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result
    rows = [line.split("|") for line in result.stdout.splitlines() if line.startswith("| ")]
    assert [row[1].strip() for row in rows] == ["", "hot", "uniform"]
    for row in rows[1:]:
        assert float(row[3].replace(",", "")) > 0 and float(row[4].replace(",", "")) > 0, row
        assert float(row[8]) >= 1, row  # commands of a batch
        assert all(float(cell.replace(",", "")) > 0 for cell in row[9:11]), row  # flushed the WAL
    assert result.stdout.count("times pgbench at its best") == 2
    after = database.product(1)
    assert after["stock"] == before["stock"] and after["version"] > before["version"]


def test_a_row_of_reads():
    peer, own = (bench_read.Figures(rate, rate / 1000, rate / 100) for rate in (1000, 2500))
    assert bench_read.table_row("stock", "nginx", peer, own) == (
        "| stock | nginx | 1,000 | 2,500 | 2.50 | 1.00, 10.00 | 2.50, 25.00 |"
    )


@of_a_fast_build
@pytest.mark.skipif(
    not shutil.which("wrk") or not NGINX_LUA.exists(),
    reason="wrk and nginx's Lua (./dev packages load bench) are not installed",
)
def test_a_run_of_reads(stack):
    result = subprocess.run(
        [ROOT / "dev", *"bench read --seconds 1 --rounds 1".split()], capture_output=True, text=True
    )
    assert result.returncode == 0, result
    rows = [line.split("|") for line in result.stdout.splitlines() if line.startswith("| ")]
    assert [(row[1].strip(), row[2].strip()) for row in rows] == [
        ("", "peer"),
        ("stock", "nginx, Lua"),
        ("stock", "civetweb alone"),
        ("stock, an nginx in front", "nginx, Lua"),
        ("page of 20", "nginx, Lua"),
    ]
    for row in rows[1:]:
        assert all(float(row[column].replace(",", "")) > 0 for column in (3, 4, 5)), row


# -- seeds


def node_service(folder, package, lock=True):
    """A folder with these texts as its package.json and, if `lock`, a lock."""
    (folder / "package.json").write_text(package)
    if lock:
        (folder / "package-lock.json").write_text("{}")
    return str(folder)


EXPRESS = {"dependencies": {"express": "^4"}, "scripts": {"start": "node app.js"}}


def test_sources_that_can_be_started(tmp_path):
    path = node_service(tmp_path, json.dumps(EXPRESS))
    source = bench_seeds.read_source("api", path)
    assert (source.script, source.is_built) == ("start", False)
    nest = {
        "dependencies": {"@nestjs/core": "^10"},
        "scripts": {"build": "nest build", "start": "nest start", "start:prod": "node dist/main"},
    }
    source = bench_seeds.read_source("nest", node_service(tmp_path, json.dumps(nest)))
    assert (source.script, source.is_built) == ("start:prod", True)


@pytest.mark.parametrize(
    "kind, package, lock, reason",
    [
        ("api", "{", True, "is not JSON"),
        ("api", "[]", True, "does not depend on express"),
        ("api", "{}", True, "does not depend on express"),
        ("nest", json.dumps(EXPRESS), True, "does not depend on @nestjs/core"),
        ("api", json.dumps(EXPRESS), False, "has no package-lock.json"),
        ("api", json.dumps(EXPRESS | {"scripts": {}}), True, "has no script start"),
    ],
)
def test_sources_that_are_refused(tmp_path, kind, package, lock, reason):
    path = node_service(tmp_path, package, lock)
    with pytest.raises(SystemExit, match=reason):
        bench_seeds.read_source(kind, path)


def test_a_path_that_is_not_there(tmp_path):
    with pytest.raises(SystemExit, match="holds no Node service: .*: No such file or directory"):
        bench_seeds.read_source("api", str(tmp_path / "nothere"))


def test_a_service_is_given_only_its_own_stores():
    env = bench_seeds.environment("postgresql://bench_api:p@127.0.0.1:5/bench_api", 6, 7)
    assert (env["PG_HOST"], env["PGPORT"], env["DB_USER"]) == ("127.0.0.1", "5", "bench_api")
    assert (env["PG_PG_DB"], env["REDIS_PORT"], env["PORT"]) == ("bench_api", "6", "7")
    assert not [name for name in env if name.startswith("FASTSTOCK")]


def test_the_database_of_a_service_is_gone_afterwards(stack):
    url = stack.env["DIRECT_URL"]
    with bench_seeds.database(url, "test") as own:
        with pytest.raises(SystemExit, match="no table products with id, name, price, stock"):
            bench_seeds.fill(own, "api")
        bench_write.sql(
            own, "CREATE TABLE products (id int PRIMARY KEY, name text, price numeric, stock int)"
        )
        bench_seeds.fill(own, "api")
        assert bench_write.sql(own, "SELECT count(*) FROM products") == [["1000"]]
    gone = bench_write.sql(url, "SELECT 1 FROM pg_database WHERE datname = 'bench_test'")
    assert gone == []
