"""How fast a product is read that is in the memory of read-svc (L1), beside nginx with a shared
dictionary of Lua that gives the same bytes, and the HTTP library of the services with one answer.

The servers run on one core and wrk on another one, so they do not take each other's time."""

import contextlib
import os
import statistics
import subprocess
import sys
import time
import typing
import urllib.request

from lib import bench_service, bench_write

CONNECTIONS = 64
STOCK = "/api/products/1/stock"
PAGE = "/api/products?page=2&limit=20"
THREADS = 512  # of read-svc: each connection takes one, those of the nginx in front too
READY_S = 10  # until products are in L1

# How the configuration of each nginx begins. One worker, as the servers have one core.
NGINX = """%(modules)s
daemon off;
pid %(folder)s/%(name)s.pid;
error_log stderr error;
worker_processes 1;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path %(folder)s/body;
  proxy_temp_path %(folder)s/proxy;
  fastcgi_temp_path %(folder)s/fastcgi;
  uwsgi_temp_path %(folder)s/uwsgi;
  scgi_temp_path %(folder)s/scgi;
  keepalive_requests 1000000000;
"""

LUA_MODULES = """\
load_module modules/ndk_http_module.so;
load_module modules/ngx_http_lua_module.so;
"""

# The head of each answer has the fields that read-svc sends; those that differ by product lie with
# the body in the dictionary.
NGINX_LUA = """
  server_tokens off;
  lua_shared_dict answers 16m;
  init_by_lua_block {
    local function keep(key, etag, file)
      local opened = assert(io.open(file, "rb"))
      ngx.shared.answers:set(key, string.format("%%-32s", etag) .. opened:read("*a"))
      opened:close()
    end
    %(answers)s
  }
  server {
    listen 127.0.0.1:%(port)d;
    default_type application/json;
    add_header Cache-Control no-cache;
    add_header Cache-Status "faststock; hit; detail=l1";
    add_header X-Request-Id $request_id;
    location / {
      content_by_lua_block {
        local answer = ngx.shared.answers:get(ngx.var.request_uri)
        if not answer then return ngx.exit(404) end
        ngx.header["Content-Length"] = #answer - 32
        ngx.header["Age"] = "0"
        if answer:byte(1) ~= 32 then
          ngx.header["ETag"] = answer:sub(1, 32):match("%%S+")
        end
        ngx.print(answer:sub(33))
      }
    }
  }
}
"""

# As the edge of the local stack passes requests on (local/nginx.conf.in), in front of one server.
NGINX_EDGE = """
  upstream behind {
    server %(behind)s;
    keepalive 64;
    keepalive_requests 1000000000;
  }
  server {
    listen 127.0.0.1:%(port)d;
    location / {
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header X-Request-Id $request_id;
      proxy_pass http://behind;
    }
  }
}
"""


class Figures(typing.NamedTuple):
    """Of one side in one round, or the medians of rounds."""

    rate: float  # a second
    p50_ms: float
    p99_ms: float


def say(message):
    print(f"bench: {message}", file=sys.stderr)


def cores():
    """(of the servers, of wrk), as words in front of a command; nothing where there is one core."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        say("there is one core, which the servers and wrk share")
        return (), ()
    return tuple(("taskset", "-c", str(core)) for core in allowed[:2])


def get(url):
    with urllib.request.urlopen(url, timeout=5) as reply:
        return reply.headers, reply.read()


def from_memory(url):
    """The answer of this URL once it comes from L1."""
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        headers, body = get(url)
        if "detail=l1" in (headers["Cache-Status"] or ""):
            return headers, body
        time.sleep(0.05)
    bench_write.give_up(f"{url} is not answered from memory: {headers['Cache-Status']}")


@contextlib.contextmanager
def nginx(folder, name, text, port, within, modules=""):
    """nginx with the rest of a configuration, which answers STOCK."""
    file = os.path.join(folder, f"{name}.conf")
    with open(file, "w", encoding="utf-8") as config:
        config.write(NGINX % {"folder": folder, "name": name, "modules": modules} + text)
    words = (*within, "nginx", "-p", folder, "-e", "stderr", "-c", file)
    with bench_service.program(words, f"http://127.0.0.1:{port}{STOCK}"):
        yield f"http://127.0.0.1:{port}"


def modules(folder):
    """Debian keeps nginx's modules in one place, a prefix of its own finds them by a link."""
    with contextlib.suppress(FileExistsError):
        os.symlink("/usr/lib/nginx/modules", os.path.join(folder, "modules"))


def nginx_lua(folder, answers, within):
    """nginx with these answers, {path: (headers, body)}."""
    modules(folder)
    lines = []
    for number, (path, (headers, body)) in enumerate(answers.items()):
        file = os.path.join(folder, f"answer-{number}")
        with open(file, "wb") as out:
            out.write(body)
        lines.append(f"keep([[{path}]], [[{headers['ETag'] or ''}]], [[{file}]])")
    port = bench_service.free_port()
    text = NGINX_LUA % {"port": port, "answers": "\n    ".join(lines)}
    return nginx(folder, "lua", text, port, within, LUA_MODULES)


def edge(folder, url, within):
    port = bench_service.free_port()
    behind = url.removeprefix("http://")
    text = NGINX_EDGE % {"port": port, "behind": behind}
    return nginx(folder, f"edge-{port}", text, port, within)


@contextlib.contextmanager
def library(within):
    port = bench_service.free_port()
    words = (*within, bench_service.built("tests", "bench", "bench_http"), "library", str(port))
    with bench_service.program(words, f"http://127.0.0.1:{port}/"):
        yield f"http://127.0.0.1:{port}"


class Bench:
    def __init__(self, stack, seconds, within):
        self.seconds = seconds
        self.within = within
        self.script = stack.file("figures.lua", bench_write.FIGURES_LUA)

    def measure(self, url):
        words = ("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{self.seconds}s", "-s", self.script, url)
        return Figures(*bench_write.wrk_figures(bench_write.run(*self.within, *words)))

    def compare(self, name, urls, rounds):
        """The medians of each side. Each round begins with another one."""
        found = [[] for _ in urls]
        for number in range(rounds):
            say(f"{name}, round {number + 1} of {rounds}")
            for turn in range(len(urls)):
                side = (number + turn) % len(urls)
                found[side].append(self.measure(urls[side]))
        return [Figures(*map(statistics.median, zip(*side))) for side in found]


# -- the table

HEAD = """\
| | peer | peer, a second | FastStock, a second | ratio | peer p50, p99 ms \
| FastStock p50, p99 ms |
|---|---|---|---|---|---|---|"""


def table_row(name, peer_name, peer, own):
    return (
        f"| {name} | {peer_name} | {peer.rate:,.0f} | {own.rate:,.0f} |"
        f" {own.rate / peer.rate:.2f} | {peer.p50_ms:.2f}, {peer.p99_ms:.2f} |"
        f" {own.p50_ms:.2f}, {own.p99_ms:.2f} |"
    )


def check_same(answers, url):
    for path, (_, body) in answers.items():
        if get(url + path)[1] != body:
            bench_write.give_up(f"the peer does not give the same bytes for {path}")


def print_rows(stack, seconds, rounds):
    servers, clients = cores()
    settings = {
        "DATABASE_URL": stack.database_url,
        "DIRECT_URL": stack.direct_url,
        "REDIS_URL": stack.redis_url,
        "FASTSTOCK_HTTP_THREADS": str(THREADS),
    }
    version = subprocess.run(("nginx", "-v"), capture_output=True, text=True).stderr.strip()
    print(f"{version}; wrk -c{CONNECTIONS}; {os.cpu_count()} CPUs\n\n{HEAD}", flush=True)
    bench = Bench(stack, seconds, clients)
    with contextlib.ExitStack() as stays:
        own = stays.enter_context(bench_service.service("read-svc", settings, servers))
        answers = {path: from_memory(own + path) for path in (STOCK, PAGE)}
        lua = stays.enter_context(nginx_lua(stack.folder, answers, servers))
        check_same(answers, lua)
        alone = stays.enter_context(library(servers)) + "/stock"
        rows = [
            ("stock", {"nginx, Lua": lua + STOCK, "civetweb alone": alone}, own + STOCK),
            ("page of 20", {"nginx, Lua": lua + PAGE}, own + PAGE),
        ]
        edges = [stays.enter_context(edge(stack.folder, url, servers)) for url in (own, lua)]
        rows.insert(
            1, ("stock, an nginx in front", {"nginx, Lua": edges[1] + STOCK}, edges[0] + STOCK)
        )
        for name, peers, url in rows:
            measured, *of_peers = bench.compare(name, [url, *peers.values()], rounds)
            for peer_name, peer in zip(peers, of_peers):
                print(table_row(name, peer_name, peer, measured), flush=True)
