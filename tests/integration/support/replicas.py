"""Real replicas of the stack's stores, and databases beside its own, for the time of a test."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import redis

from support.database import Database
from support.service_process import free_port
from support.stack import ROOT
from support.timing import eventually, scaled

PG_BIN = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
REDIS_SERVER = shutil.which("valkey-server") or "redis-server"


def with_port(url, port):
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition(":")[0] + f":{port}"))


def as_store_owner():
    """PostgreSQL does not run as root: root runs it as the user of its package."""
    return (
        {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    )


@contextlib.contextmanager
def replica_folder():
    """For a replica's data. Not in the project's folder: that may lie where the user of the package
    has no way in, below /root say."""
    with tempfile.TemporaryDirectory(prefix="faststock-replica-") as name:
        folder = Path(name) / "data"
        folder.mkdir(mode=0o700)
        if os.geteuid() == 0:
            shutil.chown(name, "postgres", "postgres")
            shutil.chown(folder, "postgres", "postgres")
        yield folder


class Replica:
    """A process that follows a store: `url`, `stop()`, `start()`, `freeze()`, `thaw()`."""

    def __init__(self, name, command, folder, url):
        self.name, self.command, self.folder, self.url = name, command, folder, url
        self.process = None

    def start(self):
        log = open(self.folder.parent / f"{self.folder.name}.log", "ab")
        self.process = subprocess.Popen(
            self.command,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            **as_store_owner(),
        )
        log.close()
        eventually(self.is_following, f"the {self.name} follows", timeout=20)

    def stop(self):
        """At once, the way a machine goes away."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(
                signal.SIGINT if self.name == "PostgreSQL replica" else signal.SIGKILL
            )
            self.process.wait(scaled(20))

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)


class PostgresReplica(Replica):
    def __init__(self, folder, url):
        port = urlsplit(url).port
        options = {
            "port": port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "hba_file": folder / "replica_hba.conf",
        }
        options |= {
            "cluster_name": "replica",
            "max_connections": 200,
            "shared_buffers": "32MB",
            "wal_receiver_status_interval": 1,
        }
        command = [PG_BIN / "postgres", "-D", folder] + [
            word for name, value in options.items() for word in ("-c", f"{name}={value}")
        ]
        super().__init__("PostgreSQL replica", command, folder, url)
        self.database = Database(url)

    def is_following(self):
        with contextlib.suppress(psycopg2.OperationalError):
            return self.database.rows(
                "SELECT 1 FROM pg_stat_wal_receiver WHERE status = 'streaming'"
            )

    def pause(self):
        self.database.rows("SELECT pg_wal_replay_pause()")
        eventually(
            lambda: self.database.row("SELECT pg_get_wal_replay_pause_state() AS s")["s"]
            == "paused",
            "replay is paused",
        )

    def resume(self):
        self.database.rows("SELECT pg_wal_replay_resume()")

    def wait_until_caught_up(self, primary):
        target = primary.row("SELECT pg_current_wal_lsn()::text AS lsn")["lsn"]
        eventually(
            lambda: self.database.row(
                "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn AS done", target
            )["done"],
            "the replica has caught up",
        )


@contextlib.contextmanager
def postgres_replica(stack):
    """A streaming replica of the stack's PostgreSQL, made with pg_basebackup."""
    with replica_folder() as folder, following_postgres(stack, folder) as replica:
        yield replica


@contextlib.contextmanager
def following_postgres(stack, folder):
    hba = stack.run_dir() / "conf" / "pg_hba.conf"
    rules = hba.read_text()
    allowed = "host replication all 127.0.0.1/32 scram-sha-256\n"
    hba.write_text(rules + allowed)
    stack.database.rows("SELECT pg_reload_conf()")
    replica = PostgresReplica(folder, with_port(stack.env["DIRECT_URL"], free_port()))
    try:
        done = subprocess.run(
            [PG_BIN / "pg_basebackup", "-D", folder, "-d", stack.env["DIRECT_URL"], "-R", "-X",
             "stream", "-c", "fast", "--no-sync"],
            cwd=folder, capture_output=True, text=True, timeout=scaled(60), **as_store_owner(),
        )
        assert done.returncode == 0, done.stderr
        (folder / "replica_hba.conf").write_text(rules)
        (folder / "replica_hba.conf").chmod(0o644)
        replica.start()
        yield replica
    finally:
        replica.database.close()
        if replica.process:
            replica.thaw()
        replica.stop()
        hba.write_text(rules)
        stack.database.rows("SELECT pg_reload_conf()")


class RedisReplica(Replica):
    def __init__(self, folder, url, primary_url):
        primary, own = urlsplit(primary_url), urlsplit(url)
        command = [
            REDIS_SERVER,
            "--port",
            str(own.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            str(folder),
        ]
        command += [
            "--requirepass",
            own.password,
            "--masterauth",
            primary.password,
            "--replicaof",
            primary.hostname,
            str(primary.port),
        ]
        super().__init__("Redis replica", command, folder, url)
        self.redis = redis.Redis.from_url(url)

    def is_following(self):
        with contextlib.suppress(redis.exceptions.ConnectionError):
            return self.redis.info("replication")["master_link_status"] == "up"

    def cut_off(self):
        """It keeps and serves its data, but hears nothing new."""
        self.redis.config_set("masterauth", "wrong")
        self.redis.execute_command("CLIENT", "KILL", "TYPE", "master")
        eventually(
            lambda: self.redis.info("replication")["master_link_status"] == "down",
            "the replica is cut off",
        )

    def follow_again(self, password):
        self.redis.config_set("masterauth", password)
        eventually(self.is_following, "the replica follows again", timeout=20)

    def wait_until_caught_up(self, primary):
        eventually(
            lambda: self.redis.info("replication")["slave_repl_offset"]
            >= primary.info("replication")["master_repl_offset"],
            "the replica has caught up",
        )


@contextlib.contextmanager
def redis_replica(stack):
    """A replica of the stack's Redis."""
    with replica_folder() as folder, following_redis(stack, folder) as replica:
        yield replica


@contextlib.contextmanager
def following_redis(stack, folder):
    replica = RedisReplica(
        folder, with_port(stack.env["REDIS_URL"], free_port()), stack.env["REDIS_URL"]
    )
    redis.Redis.from_url(stack.env["REDIS_URL"]).config_set("repl-diskless-sync-delay", 0)
    try:
        replica.start()
        yield replica
    finally:
        if replica.process:
            replica.thaw()
        replica.stop()


@contextlib.contextmanager
def other_database(stack, name, options=""):
    """Another database of the stack's server, with the schema; gives its URL (direct)."""
    url = urlunsplit(urlsplit(stack.env["DIRECT_URL"])._replace(path=f"/{name}"))
    stack.database.rows(f"CREATE DATABASE {name} TEMPLATE template0 {options}")
    try:
        subprocess.run(
            [ROOT / "sql" / "migrate"],
            env={**os.environ, "DIRECT_URL": url},
            check=True,
            capture_output=True,
        )
        yield url
    finally:
        stack.database.rows(f"DROP DATABASE {name} WITH (FORCE)")
