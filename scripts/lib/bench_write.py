"""What batches save: changes and orders at write-1 against pgbench of the same in plain SQL, by the
number of clients, each side with one thread of load, through the same PgBouncer."""

import concurrent.futures
import glob
import http.client
import json
import math
import os
import re
import statistics
import subprocess
import sys
import time
import typing
import urllib.parse
import urllib.request

PRODUCTS = 1000
ENOUGH = 1_000_000_000  # units of each product while it is measured

# How often a stock is set while write-1 is overloaded.
TRIES_MAX = 25

# Statistics of a server process are up to this old, when it has had a transaction since.
STATISTICS_AGE_S = 1.0

FIGURES_LUA = """
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format("figures %d %d %d %d %d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""

LUA_END = (
    """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
"""
    + FIGURES_LUA
)

CHANGE_LUA = """
request = function()
  local id = %s
  return wrk.format(nil, "/api/products/" .. id .. "/update-stock", nil, '{"delta":-1}')
end
"""

# "The plain conditional UPDATE with its ledger row", in one statement and so in one round trip.
CHANGE_SQL = """
%s
WITH changed AS (
  UPDATE products SET stock = stock - 1, version = version + 1, updated_at = clock_timestamp()
  WHERE id = :id AND stock - 1 >= 0 RETURNING id, version, stock)
INSERT INTO stock_movements (product_id, version, delta, stock_after, kind)
SELECT id, version, -1, stock, 'adjust' FROM changed;
"""

# The products of an order come from three ranges of ids, so they are distinct and in order.
ORDER_LUA = """
local item = '{"productId":%d,"qty":1}'
request = function()
  return wrk.format(nil, "/api/orders", nil, '{"items":['
    .. string.format(item, math.random(1, 333)) .. ","
    .. string.format(item, math.random(334, 666)) .. ","
    .. string.format(item, math.random(667, 1000)) .. "]}")
end
"""

ORDER_UPDATE_SQL = """
UPDATE products SET stock = stock - 1, version = version + 1, updated_at = clock_timestamp()
WHERE id = :a{n} AND stock - 1 >= 0
RETURNING version AS v{n}, stock AS s{n}, price AS p{n} \\gset
"""

ORDER_SQL = (
    """
\\set a1 random(1, 333)
\\set a2 random(334, 666)
\\set a3 random(667, 1000)
BEGIN;
"""
    + "".join(ORDER_UPDATE_SQL.format(n=n) for n in (1, 2, 3))
    + """
WITH item (id, version, stock, price) AS (
  VALUES (:a1::bigint, :v1::bigint, :s1::bigint, :p1::numeric),
         (:a2, :v2, :s2, :p2), (:a3, :v3, :s3, :p3)),
made AS (INSERT INTO orders (total) SELECT sum(price) FROM item RETURNING id),
items AS (
  INSERT INTO order_items (order_id, product_id, qty, price)
  SELECT made.id, item.id, 1, item.price FROM made, item)
INSERT INTO stock_movements (product_id, version, delta, stock_after, kind, order_id)
SELECT item.id, item.version, -1, item.stock, 'order', made.id FROM made, item;
COMMIT;
"""
)

CLIENTS = [1, 16, 64, 256]

# What each row does, as a script of wrk and one of pgbench.
ROWS = {
    "hot": (CHANGE_LUA % 1, CHANGE_SQL % "\\set id 1"),
    "uniform": (
        CHANGE_LUA % f"math.random({PRODUCTS})",
        CHANGE_SQL % f"\\set id random(1, {PRODUCTS})",
    ),
    "skewed": (
        CHANGE_LUA % "math.random(100) <= 80 and math.random(200) or math.random(201, 1000)",
        CHANGE_SQL
        % "\\set die random(1, 100)\n"
        "\\set id case when :die <= 80 then random(1, 200) else random(201, 1000) end",
    ),
    "orders": (ORDER_LUA, ORDER_SQL),
}


class Figures(typing.NamedTuple):
    """Of one side in one round, or the medians of rounds."""

    rate: float  # a second
    p50_ms: float
    p99_ms: float
    fsyncs: float  # of the WAL, a second
    batch: float  # commands of a batch, mean; NaN of pgbench


def give_up(message):
    sys.exit(f"bench: {message}")


def run(*words):
    result = subprocess.run(words, capture_output=True, text=True)
    if result.returncode != 0:
        give_up(f"{words[0]} failed: {(result.stderr or result.stdout).strip()[-500:]}")
    return result.stdout


# -- PostgreSQL


def sql(url, query):
    """The rows of a query, as lists of texts."""
    text = run("psql", url, "--no-psqlrc", "--tuples-only", "--no-align", "--command", query)
    return [line.split("|") for line in text.splitlines()]


SETTINGS = ["fsync", "synchronous_commit", "full_page_writes", "wal_sync_method"]


def read_settings(url):
    query = "SELECT name, setting FROM pg_settings WHERE name IN (%s)"
    return dict(sql(url, query % ", ".join(f"'{name}'" for name in SETTINGS)))


def why_not_durable(settings):
    """The setting by which a commit that was acknowledged can be lost, or None."""
    for name in ("fsync", "synchronous_commit", "full_page_writes"):
        if settings[name] == "off":
            return f"{name} is off"
    return None


def wal_fsyncs(url):
    """How often the WAL was flushed to disk since the server's statistics began."""
    (version,) = sql(url, "SHOW server_version_num")[0]
    query = "SELECT wal_sync FROM pg_stat_wal"
    if int(version) >= 180000:
        query = "SELECT sum(fsyncs)::bigint FROM pg_stat_io WHERE object = 'wal'"
    return int(sql(url, query)[0][0])


# -- what the programs print


def wrk_figures(text):
    """(rate, p50_ms, p99_ms) of what FIGURES_LUA prints."""
    found = re.search(r"^figures (\d+) (\d+) (\d+) (\d+) (\d+)$", text, re.M)
    if not found:
        give_up(f"wrk told no figures: {text.strip()[-500:]}")
    requests, duration_us, p50_us, p99_us, errors = map(int, found.groups())
    if errors > 0 or requests == 0:
        give_up(f"{errors} of {requests} requests failed; the log may tell why:\n{text}")
    return requests * 1e6 / duration_us, p50_us / 1000, p99_us / 1000


def percentile(values, share):
    """By the nearest rank; of sorted values."""
    return values[max(0, math.ceil(share * len(values)) - 1)]


def pgbench_number(text, name):
    """A line of pgbench's report such as `tps = 12.3 (...)`."""
    found = re.search(rf"{name} = (\d[\d.]*)", text)
    if not found:
        give_up(f"pgbench told no {name}: {text.strip()[-500:]}")
    return float(found[1])


def pgbench_times_ms(lines):
    """The sorted durations in a log of pgbench: client, number, microseconds, ..."""
    return sorted(int(line.split(" ", 3)[2]) / 1000 for line in lines)


def sum_and_count(metrics, family):
    """Of a histogram in the text of /metrics, over all its series."""

    def total(name):
        values = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", metrics, re.M)
        if not values:
            give_up(f"write-1 tells no {name}")
        return sum(map(float, values))

    return total(f"{family}_sum"), total(f"{family}_count")


# -- the two sides


class Bench:
    """`stack` gives URLs, seconds and files, as in scripts/bench."""

    def __init__(self, stack, seconds):
        self.stack = stack
        self.seconds = seconds
        self.mode = self.peer_mode()
        self.connect_times_s = {}  # by the number of clients

    def peer_mode(self):
        """The fastest that this PgBouncer allows."""
        config = dict(row[:2] for row in sql(self.stack.pgbouncer_url, "SHOW CONFIG"))
        return "prepared" if int(config.get("max_prepared_statements", 0)) > 0 else "simple"

    def settled_fsyncs(self):
        """The count when no server process keeps any to itself: a transaction in each of them, when
        its statistics are old enough, makes it tell."""
        time.sleep(STATISTICS_AGE_S)
        (count,) = sql(
            self.stack.direct_url,
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
            " AND datname = current_database()",
        )[0]
        script = self.stack.file("settle.sql", "SELECT pg_sleep(0.05);\n")
        self.pgbench(script, int(count), "--transactions", "1")
        return wal_fsyncs(self.stack.direct_url)

    def pgbench(self, script, clients, *more, mode="simple"):
        program = max(glob.glob("/usr/lib/postgresql/*/bin/pgbench"))
        words = (program, "-n", "-M", mode, "-c", str(clients), "-j", "1", "-f", script, *more)
        return run(*words, self.stack.database_url)

    def metrics(self):
        with urllib.request.urlopen(f"{self.stack.write_url}/metrics", timeout=5) as reply:
            return reply.read().decode()

    def batches(self):
        return sum_and_count(self.metrics(), "faststock_write_batch_commands")

    def measure_own(self, script, clients):
        commands, batches = self.batches()
        fsyncs = wal_fsyncs(self.stack.direct_url)
        words = ("wrk", "-t1", f"-c{clients}", f"-d{self.seconds}s", "--timeout", "10s")
        rate, p50_ms, p99_ms = wrk_figures(run(*words, "-s", script, self.stack.write_url))
        fsyncs = self.settled_fsyncs() - fsyncs
        after = self.batches()
        batch = (after[0] - commands) / (after[1] - batches)
        return Figures(rate, p50_ms, p99_ms, fsyncs / self.seconds, batch)

    def connect_s(self, clients):
        """How long pgbench connects; that is part of its -T, but not of its rate."""
        if clients not in self.connect_times_s:
            probe = self.stack.file("probe.sql", "SELECT 1;\n")
            found = pgbench_number(self.pgbench(probe, clients, "-t", "1"), "connection time")
            self.connect_times_s[clients] = found / 1000
        return self.connect_times_s[clients]

    def measure_peer(self, script, clients):
        prefix = self.stack.file("log", "")
        length_s = math.ceil(self.seconds + self.connect_s(clients))
        fsyncs = wal_fsyncs(self.stack.direct_url)
        log = ("--log", f"--log-prefix={prefix}", "-T", str(length_s))
        text = self.pgbench(script, clients, *log, mode=self.mode)
        fsyncs = self.settled_fsyncs() - fsyncs
        (file,) = glob.glob(f"{prefix}.*")
        with open(file, encoding="utf-8") as lines:
            times_ms = pgbench_times_ms(lines)
        os.unlink(file)
        rate = pgbench_number(text, "tps")
        p50_ms, p99_ms = (percentile(times_ms, share) for share in (0.5, 0.99))
        return Figures(rate, p50_ms, p99_ms, fsyncs * rate / len(times_ms), math.nan)

    def compare(self, row, clients, rounds):
        """The medians of both sides: pgbench, write-1. Each round begins with the other one."""
        lua, peer_sql = ROWS[row]
        script = self.stack.file("row.lua", lua + LUA_END)
        peer_script = self.stack.file("row.sql", peer_sql)
        sides = [
            (lambda: self.measure_peer(peer_script, clients), []),
            (lambda: self.measure_own(script, clients), []),
        ]
        for number in range(1, rounds + 1):
            say(f"{row}, {clients} clients, round {number} of {rounds}")
            for measure, found in sides if number % 2 else reversed(sides):
                found.append(measure())
        return [Figures(*map(statistics.median, zip(*found))) for _, found in sides]


def say(message):
    print(f"bench: {message}", file=sys.stderr)


# -- stock: enough of it while measuring, and what it was afterwards


def set_stocks(url, stocks):
    """By the service, as every change; `stocks` by id."""
    address = urllib.parse.urlsplit(url).netloc
    connections = {}

    def set_stock(pair):
        id, stock = pair
        connection = connections.setdefault(id % 8, http.client.HTTPConnection(address, timeout=10))
        body = json.dumps({"stock": stock, "reason": "bench"})
        path = f"/api/products/{id}/update-stock"
        for _ in range(TRIES_MAX):
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            text = reply.read()
            if reply.status != 503:
                break
            time.sleep(0.2)  # the connections of a load may not have ended yet
        if reply.status != 200:
            give_up(f"POST {path}: {reply.status} {text.decode(errors='replace')[:300]}")

    lists = [[pair for pair in stocks.items() if pair[0] % 8 == part] for part in range(8)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda pairs: [set_stock(pair) for pair in pairs], lists))


def read_stocks(url):
    query = f"SELECT id, stock FROM products WHERE id <= {PRODUCTS} AND deleted_at IS NULL"
    stocks = {int(id): int(stock) for id, stock in sql(url, query)}
    if len(stocks) < PRODUCTS:
        give_up(f"{len(stocks)} of the products 1 to {PRODUCTS} are there; ./dev seed makes them")
    return stocks


# -- the table

HEAD = """\
| | clients | pgbench, a second | FastStock, a second | ratio | pgbench p50, p99 ms \
| FastStock p50, p99 ms | batch | pgbench fsyncs, a second | FastStock fsyncs, a second |
|---|---|---|---|---|---|---|---|---|---|"""


def table_row(row, clients, peer, own):
    return (
        f"| {row} | {clients} | {peer.rate:,.0f} | {own.rate:,.0f} | {own.rate / peer.rate:.2f} |"
        f" {peer.p50_ms:.2f}, {peer.p99_ms:.2f} | {own.p50_ms:.2f}, {own.p99_ms:.2f} |"
        f" {own.batch:.1f} | {peer.fsyncs:,.0f} | {own.fsyncs:,.0f} |"
    )


def summary(found):
    """Lines about `found`: {(row, clients): (peer, own)}."""
    for row in ROWS:
        of_row = {clients: pair for (name, clients), pair in found.items() if name == row}
        if not of_row:
            continue
        peer_at, (peer, _) = max(of_row.items(), key=lambda item: item[1][0].rate)
        own_at, (_, own) = max(of_row.items(), key=lambda item: item[1][1].rate)
        yield (
            f"{row}: at its best ({own_at} clients) {own.rate / peer.rate:.2f} times pgbench at its"
            f" best ({peer_at} clients)"
        )
        if 64 in of_row:
            peer, own_64 = of_row[64]
            yield (
                f"{row}: at its best {own.rate / peer.rate:.2f} times, with 64 clients"
                f" {own_64.rate / peer.rate:.2f} times pgbench with 64 clients"
            )
        if 1 in of_row:
            peer, own = of_row[1]
            yield f"{row}: one client alone {own.rate / peer.rate:.2f} times pgbench"


def header(stack, settings, mode):
    (version,) = sql(stack.direct_url, "SHOW server_version")[0]
    told = ", ".join(f"{name} {settings[name]}" for name in SETTINGS)
    return f"PostgreSQL {version}, {told}; pgbench -M {mode}; {os.cpu_count()} CPUs"


def print_rows(stack, rows, clients, seconds, rounds, may_lose):
    settings = read_settings(stack.database_url)
    problem = why_not_durable(settings)
    if problem and not may_lose:
        give_up(f"{problem}, so commits are not durable: --not-durable measures them all the same")
    stocks = read_stocks(stack.direct_url)
    bench = Bench(stack, seconds)
    print(header(stack, settings, bench.mode), end="\n\n")
    found = {}
    set_stocks(stack.write_url, dict.fromkeys(stocks, ENOUGH))
    bench.settled_fsyncs()  # those of the line before are no side's
    try:
        print(HEAD, flush=True)
        for row in rows:
            for count in clients:
                found[row, count] = bench.compare(row, count, rounds)
                print(table_row(row, count, *found[row, count]), flush=True)
    finally:
        set_stocks(stack.write_url, stocks)
    print("", *summary(found), sep="\n")
