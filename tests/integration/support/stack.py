"""The running local stack: its variables from `./dev env`, and its outages as context managers.

    with stack.stopped("redis"):      # ./dev stop redis ... ./dev start redis
    with stack.frozen("postgres"):    # SIGSTOP ... SIGCONT: connections stay open, nothing answers

Both leave only when every service is whole again, so an outage never leaks into the next test.
"""

import contextlib
import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

from support.database import Database
from support.http_client import Client
from support.metrics_text import scrape
from support.timing import eventually, scaled

ROOT = Path(__file__).resolve().parents[3]
PRESET = os.environ.get("FASTSTOCK_PRESET", "release")


def binary(service):
    return ROOT / "build" / PRESET / service / service


class Stack:
    def __init__(self):
        self.env = self.read_env()
        self.edge = Client(self.env["EDGE_URL"], "edge")
        self.reads = self._clients("READ_URLS", "read", is_public=True)
        self.writes = self._clients("WRITE_URLS", "write", is_public=True)
        self.read_ops = self._clients("READ_OPS_URLS", "read-ops", is_public=False)
        self.write_ops = self._clients("WRITE_OPS_URLS", "write-ops", is_public=False)
        self.database = Database(self.env["DIRECT_URL"])

    def _clients(self, variable, name, is_public):
        return [
            Client(url, f"{name}-{number}", is_public)
            for number, url in enumerate(self.env[variable].split(","), 1)
        ]

    @staticmethod
    def read_env():
        """The variables that `./dev env` prints, as a dict."""
        output = subprocess.run(
            [ROOT / "dev", "env"], check=True, capture_output=True, text=True
        ).stdout
        env = {}
        for word in shlex.split(output, comments=True):
            name, equals, value = word.partition("=")
            if equals:
                env[name] = value.rstrip(";")
        return env

    # -- acting on processes

    def dev(self, *arguments, timeout=60, env=None):
        """Runs ./dev; raises with its output when it fails."""
        done = subprocess.run(
            [ROOT / "dev", *arguments],
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=scaled(timeout),
        )
        assert done.returncode == 0, f"./dev {' '.join(arguments)} failed:\n{done.stdout[-4000:]}"
        return done.stdout

    def pid(self, name):
        return int(self.read_env()["PID_" + name.upper().replace("-", "_")])

    @contextlib.contextmanager
    def stopped(self, name):
        self.dev("stop", name)
        try:
            yield
        finally:
            self.dev("start", name)
            self.wait_until_whole()

    @contextlib.contextmanager
    def frozen(self, *names):
        roots, frozen = [self.pid(name) for name in names], []
        try:
            # Again until nothing new is found: the parent may have made a child before it stopped.
            # Children may end.
            while found := [
                pid for root in roots for pid in process_tree(root) if pid not in frozen
            ]:
                frozen += found
                for pid in found:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in frozen:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
            self.wait_until_whole()

    def kill(self, name):
        """SIGKILL, the way a crash looks; `./dev start` brings it back."""
        os.kill(self.pid(name), signal.SIGKILL)

    @contextlib.contextmanager
    def limited_edge(self, rate):
        """The edge with a limit of requests by client; gives its client."""
        self.dev("restart", "nginx", env={"FASTSTOCK_RATE_LIMIT": rate})
        try:
            yield self.edge
        finally:
            self.dev("restart", "nginx")
            self.wait_until_whole()

    # -- knowing its state

    def run_dir(self):
        path = Path(os.environ.get("FASTSTOCK_RUN_DIR", ".run"))
        return path if path.is_absolute() else ROOT / path

    def log_file(self, name):
        return self.run_dir() / "log" / f"{name}.log"

    def ops(self):
        return self.read_ops + self.write_ops

    def services(self):
        return self.reads + self.writes

    def is_whole(self):
        """Every service is ready and on good terms with each of its stores; the edge answers."""
        for client in self.ops():
            reply = client.get("/readyz")
            assert reply.status == 200, (client, reply)
            states = dependency_states(reply)
            assert set(states.values()) == {"up"}, (client, states)
        assert self.edge.get("/api/products?limit=1").status == 200
        return True

    def wait_until_whole(self):
        eventually(self.is_whole, "all services ready again", timeout=30)

    def relay_round_began(self):
        """When the last round that the relay has completed began; on the monotonic clock, and
        rather too early."""
        asked = time.monotonic()
        ages = [scrape(client).value("faststock_relay_age_seconds") for client in self.write_ops]
        return asked - max(ages) if any(ages) else 0

    def wait_for_relay(self):
        """Until it has completed a round that begins from now on: it does not publish again the
        states that were in Redis before."""
        begin = time.monotonic()
        eventually(lambda: self.relay_round_began() > begin, "a round of the relay")

    def service_pids(self):
        return {client.name: client.get("/health").json()["pid"] for client in self.ops()}


def dependency_states(readiness):
    """{store: state} of a reply of /readyz."""
    return {
        name: dependency["state"] for name, dependency in readiness.json()["dependencies"].items()
    }


def process_tree(root):
    """The process and all that descend from it, parents before children."""
    children = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                stat = (entry / "stat").read_text()
                parent = int(stat.rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    tree = [root]
    for pid in tree:
        tree.extend(children.get(pid, []))
    return tree
