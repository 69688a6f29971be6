"""The change stream, from the publish script to the follower of read-svc, which runs alone
(stream_shell.c): what it hands on, and what it tells when it may have missed something."""

import contextlib
import itertools

import pytest

from support.redis_server import documented_acl, redis_server
from support.service_process import ServiceProcess
from support.shells import CacheShell, StreamShell
from support.timing import eventually

pytestmark = pytest.mark.quick

_ids = itertools.count(7)
STATE = f"{1:020} d 0 1 1\n"  # of a deleted product


@pytest.fixture
def id():
    return next(_ids)


@pytest.fixture
def server():
    with redis_server() as server:
        yield server


@pytest.fixture
def writer(server):
    with CacheShell(server.url(user="")) as shell:
        yield shell


@pytest.fixture
def follower(server, writer):
    with StreamShell(server.url(user="")) as shell:
        shell.wait_until_attached()
        assert shell.lost == ["begun"]
        yield shell


def publish(writer, id, *versions):
    for version in versions:
        assert writer("publish", "first", id, version) == ("ok", 1)


def streams(server):
    return server.admin.keys("fs:*:changes")


def connections(admin):
    """Those that wait in XREAD."""
    return [client for client in admin.client_list() if client["cmd"] == "xread"]


def cut(admin):
    """Only the follower's connection."""
    (client,) = eventually(lambda: connections(admin), "it waits for entries")
    admin.client_kill_filter(_id=client["id"])


def test_what_was_published_before_is_not_handed_on(server, writer, id):
    publish(writer, id, 1, 2)
    with StreamShell(server.url(user="")) as follower:
        follower.wait_until_attached()
        publish(writer, id, 3, 4)
        follower.wait_for(id, 4)
        assert follower.versions(id) == [3, 4] and follower.lost == ["begun"]


def test_each_state_is_handed_on_and_counted(server, writer, follower, id):
    publish(writer, id, *range(1, 301))
    follower.wait_for(id, 300)
    (key,) = streams(server)
    server.admin.xadd(key, {b"%d" % id: "of another version of write-svc"})
    eventually(
        lambda: follower.metrics().value("faststock_stream_states_total", result="unreadable") == 1,
        "a state that cannot be read is counted",
    )
    metrics = follower.metrics()
    assert follower.versions(id) == list(range(1, 301)) and follower.lost == ["begun"]
    assert metrics.value("faststock_stream_entries_total") == 301
    assert metrics.value("faststock_stream_states_total", result="replaced") == 300
    assert metrics.value("faststock_propagation_seconds_count") == 300
    assert metrics.total("faststock_stream_breaks_total") == 0


def test_nothing_is_missed_when_the_connection_is_cut(server, writer, follower, id):
    for version in range(1, 301):
        publish(writer, id, version)
        if version % 100 == 0:
            cut(server.admin)
    follower.wait_for(id, 300)
    assert follower.versions(id) == list(range(1, 301)) and follower.lost == ["begun"]
    follower.wait_until_attached()
    breaks = follower.metrics().value("faststock_stream_breaks_total", reason="connection")
    assert 1 <= breaks <= 3  # a cut before the connection is back is of the same break
    assert not [line for line in follower.log if "change stream" in line["msg"]]


def test_a_restarted_redis_is_followed_from_its_beginning(server, writer, follower, id):
    publish(writer, id, 1)
    follower.wait_for(id, 1)
    with follower.stopped():
        server.restart()
        eventually(lambda: writer("begin", "first") == ("ok", 0), "the writer is back")
        publish(writer, id, 2)
    follower.wait_for(id, 2)
    assert follower.lost == ["begun", "epoch"]
    publish(writer, id, 3)
    follower.wait_for(id, 3)


def test_a_redis_that_is_away_is_told_once(server, follower, writer, id):
    with server.down():
        eventually(lambda: follower.log and follower.log[-1].get("error"), "it is told")
        assert follower.metrics().value("faststock_stream_attached") == 0
    eventually(lambda: "epoch" in follower.lost, "it is back", timeout=20)
    follower.wait_until_attached()
    told = [line["msg"] for line in follower.log if "change stream" in line["msg"]]
    assert told == [
        "the change stream is away: changes are found in the ledger alone",
        "the change stream is read again",
    ]


def test_entries_that_were_trimmed_are_told(writer, follower, id):
    publish(writer, id, 1)
    follower.wait_for(id, 1)
    with follower.stopped():
        publish(writer, id, *range(2, 1502))
    follower.wait_for(id, 1501)
    assert follower.lost == ["begun", "trimmed"]
    assert follower.versions(id) == sorted(follower.versions(id))
    assert 1000 <= len(follower.states) < 1300, "what the stream still has comes"


def test_a_follower_that_is_behind_and_misses_nothing_says_nothing(writer, follower, id):
    publish(writer, id, 1)
    follower.wait_for(id, 1)
    with follower.stopped():
        publish(writer, id, *range(2, 902))
    follower.wait_for(id, 901)
    assert follower.lost == ["begun"] and len(follower.states) == 901


def test_a_stream_that_begins_anew_is_read_from_its_beginning(server, writer, follower, id):
    """Its ids are lower: the clock of Redis was set back, say."""
    publish(writer, id, 7)
    follower.wait_for(id, 7)
    (key,) = streams(server)
    with follower.stopped():
        server.admin.delete(key)
        server.admin.xadd(key, {b"%d" % id: STATE}, id="1-1")
    follower.wait_for(id, 1)
    assert follower.lost == ["begun", "replaced"]


def test_a_stream_that_has_expired_goes_on(server, writer, follower, id):
    publish(writer, id, 7)
    follower.wait_for(id, 7)
    (key,) = streams(server)
    server.admin.delete(key)
    asked = server.admin.info("commandstats")["cmdstat_xrevrange"]["calls"]
    eventually(
        lambda: server.admin.info("commandstats")["cmdstat_xrevrange"]["calls"] > asked + 1,
        "it has looked for the last entry",
    )
    server.admin.xadd(key, {b"%d" % id: STATE}, id="1-1")
    follower.wait_for(id, 1)
    assert follower.lost == ["begun"]


@contextlib.contextmanager
def following(server, writer):
    """A replica. With its first one a primary gets another replication id, so the writer must have
    heard of it."""
    server.admin.config_set("repl-diskless-sync-delay", 0)
    with redis_server("--replicaof", "127.0.0.1", str(server.port)) as replica:
        eventually(
            lambda: replica.admin.info("replication")["master_link_status"] == "up", "it follows"
        )
        nonce = f"fs:{server.admin.info('replication')['master_replid'][:16]}:g:0"
        eventually(
            lambda: writer("begin", "first") == ("ok", 0) and server.admin.exists(nonce),
            "the writer knows the epoch",
        )
        yield replica


def test_a_replica_is_followed_and_the_primary_without_it(server, writer, id):
    with following(server, writer) as replica:
        urls = [server.url(user=""), replica.url(user="")]
        with StreamShell(*urls) as follower:
            follower.wait_until_attached()
            publish(writer, id, 1, 2, 3)
            follower.wait_for(id, 3)
            assert connections(replica.admin) and not connections(server.admin)
            with replica.down():
                publish(writer, id, 4)
                follower.wait_for(id, 4)
                assert connections(server.admin)
            assert follower.versions(id) == [1, 2, 3, 4] and follower.lost == ["begun"]


def test_a_replica_that_hears_nothing_is_left(server, writer, id):
    with following(server, writer) as replica:
        with StreamShell(server.url(user=""), replica.url(user="")) as follower:
            follower.wait_until_attached()
            assert connections(replica.admin)
            replica.admin.config_set("masteruser", "nobody")
            replica.admin.config_set("masterauth", "wrong")
            server.admin.execute_command("CLIENT", "KILL", "TYPE", "replica")
            publish(writer, id, 1)
            follower.wait_for(id, 1)
            assert connections(server.admin) and follower.lost == ["begun"]


def test_a_promoted_replica_is_another_epoch(server, writer, id):
    with following(server, writer) as replica:
        with StreamShell(server.url(user=""), replica.url(user="")) as follower:
            follower.wait_until_attached()
            publish(writer, id, 1)
            follower.wait_for(id, 1)
            replica.admin.replicaof("NO", "ONE")
            eventually(lambda: follower.lost == ["begun", "epoch"], "the epoch is another one")
            with CacheShell(replica.url(user="")) as its_writer:
                publish(its_writer, id, 2)
            follower.wait_for(id, 2)


@pytest.mark.parametrize("command", ["xread", "xrevrange"])
def test_a_right_that_lacks_is_told_once_and_missed_no_longer(server, writer, id, command):
    server.set_user(*documented_acl(), f"-{command}")
    with StreamShell(server.url()) as follower:
        told = lambda: [
            line for line in follower.log if "the change stream is away" in line["msg"]
        ]
        eventually(told, "it is told")
        server.set_user(f"+{command}")
        follower.wait_until_attached()
        publish(writer, id, 1)
        follower.wait_for(id, 1)
        (line,) = told()
        assert f"was refused {command.upper()}" in line["error"]


def test_a_change_that_write_svc_makes_comes(stack, database, server, tmp_path):
    """Its row was read by PostgreSQL's clock, which is this machine's."""
    settings = {
        "database": {"url": stack.env["DATABASE_URL"]},
        "redis": {"url": server.url(user="")},
    }
    id = database.create_product(stock=5)
    with StreamShell(server.url(user="")) as follower:
        follower.wait_until_attached()
        with ServiceProcess("write-svc", tmp_path, settings) as service:
            done = service.client.update_stock(id, {"delta": -1}).json()
            follower.wait_for(id, done["version"])
        metrics = follower.metrics()
        assert metrics.value("faststock_propagation_seconds_count") == 1
        assert 0 < metrics.value("faststock_propagation_seconds_sum") < 60
