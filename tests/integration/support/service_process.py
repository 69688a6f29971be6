"""A service that a test runs for itself, with its own ports, settings and end."""

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess

import yaml

from support.http_client import Client
from support.stack import binary, dependency_states
from support.timing import eventually, scaled

# The stack has the first hundred ports from its base on, tests the other nine hundred of that
# thousand. So they get none of a store that is stopped just now, nor of another stack that is being
# tested beside this one.
PORT_BASE = int(os.environ.get("FASTSTOCK_PORT_BASE", "18000"))
PORTS = itertools.cycle(range(PORT_BASE + 100, PORT_BASE + 1000))


def free_port():
    """A port that nobody listens on, and that no test has been given lately."""
    for port in PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def clean_environment():
    """The environment without anything that a service would take as a setting."""
    kept = {"FASTSTOCK_RUN_DIR", "FASTSTOCK_PORT_BASE", "FASTSTOCK_PRESET"}
    urls = {
        "DATABASE_URL",
        "DIRECT_URL",
        "DATABASE_REPLICA_URL",
        "REDIS_URL",
        "REDIS_REPLICA_URL",
        "PORT",
    }
    return {
        name: value
        for name, value in os.environ.items()
        if name not in urls and (not name.startswith("FASTSTOCK_") or name in kept)
    }


def run_service(service, *arguments, env=None, timeout=30):
    """Runs a service that is expected to end by itself; returns the finished process with its
    output as text."""
    return subprocess.run(
        [binary(service), *arguments],
        env={**clean_environment(), **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=scaled(timeout),
    )


class ServiceProcess:
    """Use as `with ServiceProcess(...) as service:`; it is ready then (see `wait`), and gone
    after."""

    def __init__(self, service, folder, settings=None, env=None, wait="ready", within=()):
        """settings: {"section": {"key": value}} of its configuration file, over test defaults.
        wait: "ready", "alive" or "nothing".

        within: a command that runs the service, as `env` or `setpriv` do."""
        self.service = service
        self.wait = wait
        self.within = within
        merged = {
            "http": {"host": "127.0.0.1", "port": free_port(), "drain_ms": 300},
            "ops": {"host": "127.0.0.1", "port": free_port()},
            "log": {"sample": 1},
        }
        for section, values in (settings or {}).items():
            merged.setdefault(section, {}).update(values)
        self.config = folder / f"{service}-{merged['http']['port']}.yaml"
        self.config.write_text(yaml.safe_dump(merged))
        self.log = folder / f"{service}-{merged['http']['port']}.log"
        self.errors = self.log.with_suffix(".err")
        self.env = {**clean_environment(), **(env or {})}
        self.client = Client(f"http://127.0.0.1:{merged['http']['port']}", f"own-{service}")
        self.ops = Client(
            f"http://127.0.0.1:{merged['ops']['port']}", f"own-{service}-ops", is_public=False
        )
        self.process = None

    def __enter__(self):
        with open(self.log, "wb") as out, open(self.errors, "wb") as err:
            self.process = subprocess.Popen(
                [*self.within, binary(self.service), "--config", self.config],
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        try:
            if self.wait != "nothing":
                self.wait_until_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def wait_until_up(self):
        """Until it is ready and on good terms with its stores, or alive; see `wait`."""
        eventually(self._is_up, f"{self.service} is up", timeout=15)

    def _is_up(self):
        if self.process.poll() is not None:
            raise RuntimeError(
                f"{self.service} ended with {self.process.returncode}: "
                f"{self.errors.read_text()}{self.log.read_text()}"
            )
        reply = self.ops.get("/readyz" if self.wait == "ready" else "/livez")
        if self.wait == "ready":
            assert set(dependency_states(reply).values()) == {"up"}, reply
        return reply.status == 200

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(scaled(15))
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError(f"{self.service} did not end on SIGTERM") from None

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def exit_code(self, timeout=20):
        return self.process.wait(scaled(timeout))

    def log_lines(self):
        """The log so far, parsed: each line must be one JSON object. (A last line still being
        written is left out.)"""
        text = self.log.read_text(encoding="utf-8")
        lines = text.split("\n")[:-1]
        records = [json.loads(line) for line in lines]
        assert all(isinstance(record, dict) for record in records)
        return records
