"""A Redis (or Valkey) that a test runs for itself, in any mode, with TLS and users of its own."""

import contextlib
import re
import subprocess
import tempfile
from pathlib import Path

import redis

from support.replicas import REDIS_SERVER
from support.service_process import free_port
from support.stack import ROOT
from support.timing import eventually, scaled

PASSWORD = "own-secret"


def documented_acl():
    """The rules of the user in docs/operations.md: ["on", ">password", "~fs:*", ...]."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^    ACL SETUSER faststock (.*)$", text, re.MULTILINE)
    return line.replace(">PASSWORD", f">{PASSWORD}").split()


class RedisServer:
    """Its administrator is the default user, without a password."""

    def __init__(self, folder, arguments=(), tls=None, sentinel=False):
        """tls: {"cert": ..., "key": ..., "ca": ..., "clients": "yes" or "no"}; then `port` speaks
        TLS, and `plain_port` does not."""
        self.folder, self.tls, self.sentinel = folder, tls, sentinel
        self.port = free_port()
        self.plain_port = free_port() if tls else self.port
        self.arguments = list(arguments)
        self.admin = redis.Redis(port=self.plain_port)
        self.process = None

    def command(self):
        if self.sentinel:  # needs a file that it may write
            file = self.folder / "sentinel.conf"
            file.write_text(f"port {self.port}\nbind 127.0.0.1\ndir {self.folder}\n")
            return [REDIS_SERVER, file, "--sentinel"]
        words = [
            "--bind",
            "127.0.0.1",
            "--port",
            str(self.plain_port),
            "--save",
            "",
            "--dir",
            str(self.folder),
        ]
        if self.tls:
            words += [
                "--tls-port",
                str(self.port),
                "--tls-cert-file",
                self.tls["cert"],
                "--tls-key-file",
                self.tls["key"],
            ]
            words += [
                "--tls-ca-cert-file",
                self.tls["ca"],
                "--tls-auth-clients",
                self.tls.get("clients", "no"),
            ]
        return [REDIS_SERVER, *words, *self.arguments]

    def set_user(self, *rules, name="faststock"):
        self.admin.execute_command("ACL", "SETUSER", name, *rules)

    def cut_connections(self):
        """Of all but this one."""
        self.admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def url(self, user="faststock", password=PASSWORD, host="127.0.0.1", port=None, scheme=None):
        scheme = scheme or ("rediss" if self.tls else "redis")
        login = f"{user}:{password}@" if user else ""
        return f"{scheme}://{login}{host}:{port or self.port}/0"

    def is_up(self):
        with contextlib.suppress(redis.exceptions.ConnectionError):
            return self.admin.ping()

    def restart(self):
        """Nothing was saved."""
        with self.down():
            pass

    @contextlib.contextmanager
    def down(self):
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()

    def __enter__(self):
        with open(self.folder / "redis.log", "ab") as log:
            self.process = subprocess.Popen(
                self.command(), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        eventually(self.is_up, "the own Redis is up")
        return self

    def __exit__(self, *_):
        self.admin.close()
        self.process.kill()
        self.process.wait(scaled(10))


@contextlib.contextmanager
def redis_server(*arguments, **options):
    with tempfile.TemporaryDirectory(prefix="faststock-redis-") as name:
        with RedisServer(Path(name), arguments, **options) as server:
            yield server
