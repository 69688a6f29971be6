"""Services of a bench's own, beside those of the stack."""

import contextlib
import os
import random
import socket
import subprocess
import sys
import time
import urllib.request

from lib.env import ROOT


def free_port():
    """One below those that the system gives to outgoing connections (from 32768 on)."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def built(*path):
    """A program of the build."""
    return os.path.join(ROOT, "build", os.environ.get("FASTSTOCK_PRESET", "release"), *path)


@contextlib.contextmanager
def program(words, url, env=None):
    """Runs a program until it answers at this URL, and for as long as the context lasts."""
    process = subprocess.Popen(words, env=env, stdin=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(url, timeout=2).close()
                break
            if process.poll() is not None or time.monotonic() > until:
                sys.exit(f"bench: {os.path.basename(words[-1])} does not answer at {url}")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def service(name, settings, within=(), ops_port=None):
    """A service with these settings, as environment variables; gives its URL. `within`: a command
    that runs it, as taskset does."""
    port, ops_port = free_port(), ops_port or free_port()
    env = {
        "FASTSTOCK_HTTP_HOST": "127.0.0.1",
        "FASTSTOCK_HTTP_PORT": str(port),
        "FASTSTOCK_OPS_HOST": "127.0.0.1",
        "FASTSTOCK_OPS_PORT": str(ops_port),
        "FASTSTOCK_LOG_LEVEL": "error",
        "PATH": os.environ["PATH"],
        **settings,
    }
    words = (*within, built(name, name))
    with program(words, f"http://127.0.0.1:{ops_port}/readyz", env):
        yield f"http://127.0.0.1:{port}"
