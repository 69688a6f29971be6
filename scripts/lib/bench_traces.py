"""What tracing costs: services of the bench's own with `otel.endpoint` off, and on with one request
in a hundred sampled, and all. The requests are the same with it off.

The services run on one core; wrk and the collector, the one of `./dev collector`, on another."""

import contextlib
import os
import re
import statistics
import subprocess
import typing
import urllib.request

from lib import bench_read, bench_service, bench_write
from lib.env import ROOT

# Requests that are made before the load, so that wrk makes none while it measures. The first ones
# are sampled.
LUA = """
local method, path, body, products, sampled = "%s", "%s", [[%s]], %d, %d
local made, turn = {}, 0
init = function()
  for i = 1, 1000 do
    local flags = i %% 100 < sampled and "01" or "00"
    local headers = {["Content-Type"] = "application/json"}
    headers["traceparent"] =
      string.format("00-%%016x%%016x-%%016x-%%s", os.time(), i, i, flags)
    local target = string.gsub(path, "ID", tostring(math.random(products)))
    made[i] = wrk.format(method, target, headers, body ~= "" and body or nil)
  end
end
request = function()
  turn = turn %% 1000 + 1
  return made[turn]
end
"""

READ = ("GET", "/api/products/ID/stock", "")
WRITE = ("POST", "/api/products/ID/update-stock", '{"delta":1}')

PRODUCTS = 1000

HEAD = """\
| | off, a second | 1 % sampled | ratio | all sampled | ratio | CPU us a request | p99 ms \
| spans sent, dropped |
|---|---|---|---|---|---|---|---|---|"""


class Figures(typing.NamedTuple):
    """Of one side in one round, or the medians of rounds."""

    rate: float  # a second
    p99_ms: float
    cpu_us: float  # of the service, for a request


COLLECTOR = """
receivers: {otlp: {protocols: {http: {endpoint: "127.0.0.1:%d"}}}}
exporters: {debug: {verbosity: basic}}
service:
  telemetry: {metrics: {level: none}, logs: {level: error}}
  pipelines: {traces: {receivers: [otlp], exporters: [debug]}}
"""


@contextlib.contextmanager
def collector(within):
    """The URL of a collector that counts what it gets."""
    words = (os.path.join(ROOT, "scripts", "collector"), "--build")
    program = bench_write.run(*words).strip()
    port = bench_service.free_port()
    process = subprocess.Popen(
        (*within, program, "--config", f"yaml:{COLLECTOR % port}"),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


class Service:
    """One that answers at `url`."""

    def __init__(self, url, ops_port):
        self.url = url
        self.ops_url = f"http://127.0.0.1:{ops_port}/metrics"

    def numbers(self, name):
        """The values of a metric: {the first label's value, or "": number}."""
        with urllib.request.urlopen(self.ops_url, timeout=5) as reply:
            text = reply.read().decode()
        found = re.findall(rf'^{name}(?:{{\w+="(\w+)"}})? (\S+)$', text, re.M)
        return {label: float(number) for label, number in found}

    def cpu_s(self):
        return self.numbers("process_cpu_seconds_total")[""]


@contextlib.contextmanager
def service(program, settings, within):
    ops_port = bench_service.free_port()
    with bench_service.service(program, settings, within, ops_port) as url:
        yield Service(url, ops_port)


class Row:
    """A kind of request, measured at two services: one that traces, and one that does not."""

    def __init__(self, stack, seconds, within, connections, request):
        self.words = ("-t1", f"-c{connections}", f"-d{seconds}s")
        self.seconds = seconds
        self.within = within
        self.scripts = {
            sampled: stack.file(f"traces-{sampled}.lua", script(request, sampled))
            for sampled in (1, 100)
        }

    def measure(self, service, sampled):
        words = ("wrk", *self.words, "-s", self.scripts[sampled], service.url)
        before = service.cpu_s()
        rate, _, p99_ms = bench_write.wrk_figures(bench_write.run(*self.within, *words))
        return Figures(rate, p99_ms, (service.cpu_s() - before) / (rate * self.seconds) * 1e6)

    def compare(self, off, on, rounds):
        """The medians of off, of 1 % and of all sampled. Each round begins with another one."""
        sides = [(off, 1), (on, 1), (on, 100)]
        found = [[] for _ in sides]
        for service in (off, on):  # which makes its memory warm
            self.measure(service, 1)
        for number in range(rounds):
            for turn in range(len(sides)):
                side = (number + turn) % len(sides)
                found[side].append(self.measure(*sides[side]))
        return [Figures(*map(statistics.median, zip(*side))) for side in found]


def script(request, sampled):
    return LUA % (*request, PRODUCTS, sampled) + bench_write.FIGURES_LUA


def print_rows(stack, seconds, rounds):
    servers, clients = bench_read.cores()
    stores = {
        "DATABASE_URL": stack.database_url,
        "REDIS_URL": stack.redis_url,
        "FASTSTOCK_HTTP_THREADS": str(bench_read.THREADS),
    }
    without_caches = {**stores, "REDIS_URL": "", "FASTSTOCK_L1_BYTES_MAX": "0"}
    rows = {
        "hit in memory": ("read-svc", stores, 64, READ),
        "miss": ("read-svc", without_caches, 64, READ),
        "write": ("write-svc", stores, 16, WRITE),
    }
    print(HEAD, flush=True)
    with collector(clients) as endpoint:
        for name, (program, settings, connections, request) in rows.items():
            bench_read.say(name)
            traced = {**settings, "FASTSTOCK_OTEL_ENDPOINT": endpoint}
            with (
                service(program, settings, servers) as off,
                service(program, traced, servers) as on,
            ):
                row = Row(stack, seconds, clients, connections, request)
                sides = row.compare(off, on, rounds)
                spans = on.numbers("faststock_trace_spans_total")
            print(table_row(name, sides, spans), flush=True)


def table_row(name, sides, spans):
    off, *others = sides
    cells = [name, f"{off.rate:,.0f}"]
    for side in others:
        cells += [f"{side.rate:,.0f}", f"{side.rate / off.rate:.2f}"]
    cells.append(" / ".join(f"{side.cpu_us:.1f}" for side in sides))
    cells.append(" / ".join(f"{side.p99_ms:.1f}" for side in sides))
    cells.append(f"{spans['sent']:,.0f}, {spans['dropped']:,.0f}")
    return f"| {' | '.join(cells)} |"
