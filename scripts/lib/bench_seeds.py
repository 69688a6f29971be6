"""FastStock beside a Node service of the same routes, whose sources are given by a path: an Express
service (faststock-api) or a Nest one. They are copied, built with npm, and started with stores that
hold nothing else.

The servers run on one core and wrk on another one; PostgreSQL and Redis on any."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import statistics
import subprocess
import time
import typing
import urllib.error
import urllib.parse
import urllib.request

from lib import bench_read, bench_service, bench_write
from lib.bench_write import give_up, say, sql

CONNECTIONS = 64
PRODUCTS = 1000
PAGES = 40
STOCK_MAX = 1_000_000
START_S = 30

# What tells one kind from another, and the script of package.json that starts it: the first there.
KINDS = {
    "api": ("express", ["start"]),
    "nest": ("@nestjs/core", ["start:prod", "start"]),
}

# Where such a service may serve /products: the first that answers.
PREFIXES = ["/api", "", "/api/v1"]

ROWS = {
    "stock": "{prefix}/products/%d/stock",
    "product": "{prefix}/products/%d",
    "page": "{prefix}/products?page=%d&limit=20",
    "write": "{prefix}/products/%d/update-stock",
}

# Random products, or pages; a write says how many there are now, which both sides take.
LUA = """
local path, last, method = "%(path)s", %(last)d, "%(method)s"
local headers = {["Content-Type"] = "application/json"}
request = function()
  local body
  if method == "POST" then body = '{"stock":' .. math.random(%(stock)d) .. '}' end
  return wrk.format(method, string.format(path, math.random(last)), headers, body)
end
"""


class Source(typing.NamedTuple):
    kind: str
    path: str
    script: str  # that starts it
    is_built: bool  # by a script `build`


def read_source(kind, path):
    """Of a folder; ends the program where that holds no such service."""
    package, scripts = KINDS[kind]
    file = os.path.join(path, "package.json")
    try:
        with open(file, encoding="utf-8") as text:
            told = json.load(text)
    except OSError as error:
        give_up(f"--{kind} {path} holds no Node service: {file}: {error.strerror}")
    except ValueError as error:
        give_up(f"--{kind} {path}: {file} is not JSON: {error}")
    if not isinstance(told, dict) or package not in (told.get("dependencies") or {}):
        give_up(f"--{kind} {path}: {file} does not depend on {package}")
    if not os.path.exists(os.path.join(path, "package-lock.json")):
        give_up(
            f"--{kind} {path} has no package-lock.json, which `npm ci` needs: `npm install"
            " --package-lock-only` there makes one"
        )
    known = told.get("scripts") or {}
    for script in scripts:
        if script in known:
            return Source(kind, path, script, "build" in known)
    give_up(f"--{kind} {path}: {file} has no script {' or '.join(scripts)}")


def copy_built(source, folder):
    """A copy with its packages, so that nothing is written beside the sources."""
    copy = os.path.join(folder, source.kind)
    shutil.copytree(
        source.path,
        copy,
        ignore=shutil.ignore_patterns("node_modules", ".git", ".env", "dist"),
        symlinks=True,
    )
    steps = [["npm", "ci", "--no-audit", "--no-fund"]]
    if source.is_built:
        steps.append(["npm", "run", "build"])
    for words in steps:
        say(f"{source.kind}: {' '.join(words)}")
        result = subprocess.run(words, cwd=copy, capture_output=True, text=True)
        if result.returncode != 0:
            give_up(
                f"{source.kind}: {' '.join(words)} failed:"
                f" {(result.stderr or result.stdout).strip()[-800:]}"
            )
    return copy


# -- its stores


@contextlib.contextmanager
def database(direct_url, kind):
    """A database and a role of the stack's PostgreSQL for the time of the bench; gives its URL."""
    name, password = f"bench_{kind}", secrets.token_hex(12)
    admin = urllib.parse.urlsplit(direct_url)

    def drop():
        sql(direct_url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        sql(direct_url, f"DROP ROLE IF EXISTS {name}")

    drop()
    try:
        sql(direct_url, f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
        sql(direct_url, f"CREATE DATABASE {name} OWNER {name}")
        yield f"postgresql://{name}:{password}@{admin.hostname}:{admin.port}/{name}"
    finally:
        drop()


@contextlib.contextmanager
def redis(folder, program):
    """A Redis without a password, because not every service can be given one; gives its port."""
    port = bench_service.free_port()
    words = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
    process = subprocess.Popen(
        [*words, "--maxmemory", "256mb", "--maxmemory-policy", "allkeys-lru"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield port
    finally:
        process.terminate()
        process.wait()


def environment(url, redis_port, port):
    """The stores under each name that such services commonly read."""
    database = urllib.parse.urlsplit(url)
    parts = {
        "HOST": database.hostname,
        "PORT": str(database.port),
        "USER": database.username,
        "USERNAME": database.username,
        "PASSWORD": database.password,
        "PASS": database.password,
        "DB": database.path[1:],
        "DATABASE": database.path[1:],
        "NAME": database.path[1:],
        "PG_DB": database.path[1:],
    }
    prefixes = ("PG", "PG_", "DB_", "DATABASE_", "POSTGRES_", "TYPEORM_")
    return {
        **{prefix + name: value for prefix in prefixes for name, value in parts.items()},
        "DATABASE_URL": url,
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": str(redis_port),
        "REDIS_URL": f"redis://127.0.0.1:{redis_port}",
        "PORT": str(port),
        "NODE_ENV": "production",
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
    }


def fill(url, kind):
    """Makes sure of the products, in the table that the service has made."""
    columns = {row[0] for row in sql(url, """
        SELECT column_name FROM information_schema.columns WHERE table_name = 'products'""")}
    missing = {"id", "name", "price", "stock"} - columns
    if missing:
        give_up(
            f"{kind}: its database has no table products with {', '.join(sorted(missing))}: a file"
            f" given as --{kind}-sql can make it"
        )
    sql(url, f"""
        INSERT INTO products (id, name, price, stock)
        SELECT n, 'Product ' || n, 9.99, 1000 FROM generate_series(1, {PRODUCTS}) AS n
        ON CONFLICT (id) DO UPDATE SET stock = excluded.stock""")
    sql(url, "ANALYZE products")


def make_schema(copy, kind, url, environment, file):
    """By the file given, or by the service's own scripts/init-db.js where it has one."""
    if file:
        bench_write.run("psql", url, "--no-psqlrc", "-q", "-v", "ON_ERROR_STOP=1", "-f", file)
    elif os.path.exists(os.path.join(copy, "scripts", "init-db.js")):
        words = ["node", "scripts/init-db.js"]
        result = subprocess.run(
            words, cwd=copy, env=environment, capture_output=True, text=True, timeout=60
        )
        if result.returncode != 0:
            give_up(f"{kind}: {' '.join(words)} failed: {result.stderr.strip()[-500:]}")


# -- the service


@contextlib.contextmanager
def started(source, copy, environment, within, log):
    """The service, in a group of processes of its own, until it answers."""
    port = environment["PORT"]
    with open(log, "w", encoding="utf-8") as out:
        process = subprocess.Popen(
            [*within, "npm", "run", "--silent", source.script],
            cwd=copy,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + START_S
        while not answers(url):
            if process.poll() is not None or time.monotonic() > until:
                with open(log, encoding="utf-8", errors="replace") as text:
                    give_up(f"{source.kind} does not answer at {url}:\n{text.read()[-800:]}")
            time.sleep(0.1)
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def answers(url):
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def status_of(url, body=None):
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=5) as reply:
            return reply.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError as error:
        return str(error)


def find_prefix(kind, url):
    tried = {}
    for prefix in PREFIXES:
        path = (ROWS["stock"] % 1).format(prefix=prefix)
        tried[path] = status_of(url + path)
        if tried[path] == 200:
            return prefix
    told = ", ".join(f"{path}: {status}" for path, status in tried.items())
    give_up(f"{kind} serves no stock of a product ({told})")


# -- measuring


class Bench:
    def __init__(self, stack, seconds, within):
        self.stack = stack
        self.seconds = seconds
        self.within = within

    def measure(self, row, url, prefix):
        settings = {
            "path": ROWS[row].format(prefix=prefix),
            "last": PAGES if row == "page" else PRODUCTS,
            "method": "POST" if row == "write" else "GET",
            "stock": STOCK_MAX,
        }
        script = self.stack.file("seeds.lua", LUA % settings + bench_write.FIGURES_LUA)
        words = ("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{self.seconds}s", "--timeout", "10s")
        text = bench_write.run(*self.within, *words, "-s", script, url)
        return bench_read.Figures(*bench_write.wrk_figures(text))

    def compare(self, row, sides, rounds):
        """The medians of each of `sides`: [(url by row, prefix)]. Each round begins with another
        one."""
        found = [[] for _ in sides]
        for urls, prefix in sides:  # Node compiles what runs often
            self.measure(row, urls[row], prefix)
        for number in range(rounds):
            say(f"{row}, round {number + 1} of {rounds}")
            for turn in range(len(sides)):
                side = (number + turn) % len(sides)
                urls, prefix = sides[side]
                found[side].append(self.measure(row, urls[row], prefix))
        return [bench_read.Figures(*map(statistics.median, zip(*of_side))) for of_side in found]


@contextlib.contextmanager
def own_services(stack, within):
    settings = {
        "DATABASE_URL": stack.database_url,
        "DIRECT_URL": stack.direct_url,
        "REDIS_URL": stack.redis_url,
        "FASTSTOCK_HTTP_THREADS": "512",
    }
    with bench_service.service("read-svc", settings, within) as read:
        with bench_service.service("write-svc", settings, within) as write:
            yield {row: write if row == "write" else read for row in ROWS}


@contextlib.contextmanager
def seed_service(stack, source, file, within):
    """The service with its stores and products; gives (urls by row, prefix)."""
    port = bench_service.free_port()
    program = "valkey-server" if shutil.which("valkey-server") else "redis-server"
    with contextlib.ExitStack() as stays:
        copy = copy_built(source, stack.folder)
        url = stays.enter_context(database(stack.direct_url, source.kind))
        redis_port = stays.enter_context(redis(stack.folder, program))
        env = environment(url, redis_port, port)
        make_schema(copy, source.kind, url, env, file)
        log = os.path.join(stack.folder, f"{source.kind}.log")
        service_url = stays.enter_context(started(source, copy, env, within, log))
        fill(url, source.kind)
        yield dict.fromkeys(ROWS, service_url), find_prefix(source.kind, service_url)


def print_rows(stack, paths, files, seconds, rounds):
    """`paths` and `files` (SQL that makes a schema) by kind."""
    sources = [read_source(kind, path) for kind, path in paths.items()]
    stocks = bench_write.read_stocks(stack.direct_url)
    servers, clients = bench_read.cores()
    node = bench_write.run("node", "--version").strip()
    bench = Bench(stack, seconds, clients)
    with contextlib.ExitStack() as stays:
        sides = [
            stays.enter_context(seed_service(stack, source, files.get(source.kind), servers))
            for source in sources
        ]
        own = stays.enter_context(own_services(stack, servers))
        stays.callback(bench_write.set_stocks, stack.write_url, stocks)
        print(f"node {node}; wrk -c{CONNECTIONS}; {os.cpu_count()} CPUs", end="\n\n")
        print(bench_read.HEAD, flush=True)
        for row in ROWS:
            body = b'{"stock":1000}' if row == "write" else None
            for source, (urls, prefix) in zip(sources, sides):
                path = (ROWS[row] % 1).format(prefix=prefix)
                status = status_of(urls[row] + path, body)
                if status not in (200, 201, 204):
                    give_up(f"{source.kind}: {path} is answered with {status}")
            measured, *peers = bench.compare(row, [(own, "/api"), *sides], rounds)
            for source, peer in zip(sources, peers):
                print(
                    bench_read.table_row(row, source.kind, peer, measured),
                    flush=True,
                )
