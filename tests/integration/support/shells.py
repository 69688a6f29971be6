"""Parts of the services, driven alone: the programs that are built of cache_shell.c and
stream_shell.c."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading

from support.metrics_text import Metrics
from support.stack import PRESET, ROOT
from support.timing import eventually, scaled


def start(name, *arguments):
    program = ROOT / "build" / PRESET / "tests" / "unit" / name
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen([program, *map(str, arguments)], **pipes)


class Shell:
    def __init__(self, *command):
        self.process = start(*command)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """The log of a sanitizer goes to standard error; its exit status is the verdict."""
        self.process.stdin.close()
        assert self.process.wait(scaled(20)) == 0


class CacheShell(Shell):
    """The cache of common/products: shell("publish", "x", 7, 16) gives ("ok", 1)."""

    def __init__(self, url, ttl_ms=600_000):
        super().__init__("cache_shell", url, ttl_ms)
        eventually(lambda: self("begin", "first") == ("ok", 0), "the cache has a connection")

    def send(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def answer(self):
        while line := self.process.stdout.readline():
            if not line.startswith("{"):  # the log
                status, number = line.split()
                return status, int(number)
        raise AssertionError("cache_shell has ended")

    def __call__(self, *words):
        self.send(*words)
        return self.answer()


class StreamShell(Shell):
    """The change stream's follower of read-svc."""

    def __init__(self, *urls):
        super().__init__("stream_shell", *urls)
        self.states, self.lost, self.log = [], [], []
        self.pages = queue.Queue()
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        page = []
        for line in self.process.stdout:
            word, *rest = line.split()
            if line.startswith("{"):
                self.log.append(json.loads(line))
            elif word == "state":
                self.states.append((int(rest[0]), int(rest[1])))
            elif word == "lost":
                self.lost.append(rest[0])
            elif word == "end":
                self.pages.put("".join(page))
                page = []
            else:
                page.append(line)

    def __exit__(self, *failure):
        super().__exit__(*failure)
        self.reader.join(scaled(20))

    def metrics(self):
        self.process.stdin.write("metrics\n")
        self.process.stdin.flush()
        return Metrics(self.pages.get(timeout=scaled(20)))

    def wait_for(self, id, version):
        eventually(lambda: (id, version) in self.states, f"version {version} comes")

    def wait_until_attached(self):
        eventually(lambda: self.metrics().value("faststock_stream_attached") == 1, "it is attached")

    def versions(self, id):
        """In the order in which they came."""
        return [version for other, version in self.states if other == id]

    @contextlib.contextmanager
    def stopped(self):
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.process.pid, signal.SIGCONT)
