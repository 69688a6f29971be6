"""Sentinels of Redis (or Valkey) that a test runs for itself: real ones with the servers that they
watch, and one that says what the test wants."""

import contextlib
import socketserver
import subprocess
import tempfile
import threading
from pathlib import Path

import redis

from support.redis_server import PASSWORD, RedisServer, documented_acl
from support.replicas import REDIS_SERVER
from support.service_process import free_port
from support.timing import eventually, scaled

MASTER = "stock-cache"


def sentinel_url(*ports, name=MASTER, scheme="redis+sentinel", host="127.0.0.1"):
    hosts = ",".join(f"{host}:{port}" for port in ports)
    return f"{scheme}://faststock:{PASSWORD}@{hosts}/{name}/0"


class Sentinel:
    """One process."""

    def __init__(self, folder, primary, quorum, password=""):
        self.folder, self.port, self.process = folder, free_port(), None
        self.client = redis.Redis(port=self.port, password=password or None)
        self.file = folder / f"sentinel-{self.port}.conf"
        own = f"requirepass {password}\nsentinel sentinel-pass {password}\n" if password else ""
        self.file.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {folder}\n{own}"
            f"sentinel monitor {MASTER} 127.0.0.1 {primary.port} {quorum}\n"
            f"sentinel down-after-milliseconds {MASTER} {scaled(500)}\n"
            f"sentinel failover-timeout {MASTER} {scaled(4000)}\n"
        )

    def start(self):
        with open(self.folder / f"sentinel-{self.port}.log", "ab") as log:
            self.process = subprocess.Popen(
                [REDIS_SERVER, self.file, "--sentinel"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        eventually(self.is_up, "the Sentinel is up")

    def is_up(self):
        with contextlib.suppress(redis.exceptions.ConnectionError):
            return self.client.ping()

    def stop(self):
        self.client.close()
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(scaled(10))


class Sentinels:
    """Three Sentinels over two servers, of which the first is the master at the start."""

    def __init__(self, folder, password=""):
        self.servers = []
        for number in range(2):
            own = folder / f"redis-{number}"
            own.mkdir()
            self.servers.append(RedisServer(own, ["--repl-diskless-sync-delay", "0"]))
        self.members = [Sentinel(folder, self.servers[0], 2, password) for _ in range(3)]

    def url(self, **options):
        return sentinel_url(*(member.port for member in self.members), **options)

    def master_port(self):
        return int(self.members[0].client.sentinel_get_master_addr_by_name(MASTER)[1])

    def master(self):
        port = self.master_port()
        return next(server for server in self.servers if server.port == port)

    def is_whole(self):
        for member in self.members:
            state = member.client.sentinel_master(MASTER)
            if state["num-slaves"] < 1 or state["num-other-sentinels"] < 2:
                return False
            if any(found["flags"] != "slave" for found in member.client.sentinel_slaves(MASTER)):
                return False
        return True

    def __enter__(self):
        for server in self.servers:
            server.__enter__()
            server.set_user(*documented_acl())
        self.servers[1].admin.replicaof("127.0.0.1", self.servers[0].port)
        for member in self.members:
            member.start()
        eventually(self.is_whole, "the Sentinels know each other and the replica", timeout=30)
        return self

    def __exit__(self, *_):
        for member in self.members:
            member.stop()
        for server in self.servers:
            server.__exit__()


@contextlib.contextmanager
def sentinels(**options):
    with tempfile.TemporaryDirectory(prefix="faststock-sentinel-") as name:
        with Sentinels(Path(name), **options) as members:
            yield members


class ToldSentinel(socketserver.ThreadingTCPServer):
    """Answers each question for a master with `names`, the port of a server on 127.0.0.1 (None: it
    knows no master). `tls` is an ssl.SSLContext."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, names, tls=None):
        self.names, self.asked = names, 0
        self.port = free_port()
        super().__init__(("127.0.0.1", self.port), _Conversation)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)

    def handle_error(self, request, client_address):
        """A client that went away is no fault of the test's."""

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class _Conversation(socketserver.StreamRequestHandler):
    def handle(self):
        while line := self.rfile.readline():
            words = []
            for _ in range(int(line[1:])):
                size = int(self.rfile.readline()[1:])
                words.append(self.rfile.read(size + 2)[:-2].decode())
            assert words[:2] == ["SENTINEL", "get-master-addr-by-name"], words
            self.server.asked += 1
            self.wfile.write(self.answer())

    def answer(self):
        if self.server.names is None:
            return b"*-1\r\n"
        port = str(self.server.names)
        return f"*2\r\n$9\r\n127.0.0.1\r\n${len(port)}\r\n{port}\r\n".encode()
