"""Calls of the cache in orders that a load meets once in a hundred thousand times: nothing older
than what was published, or answered, comes back into Redis. The calls are those of the services,
through cache_shell.c, on a Redis of the test's own."""

import contextlib
import os
import signal
import time

import pytest

from support.redis_server import redis_server
from support.service_process import ServiceProcess
from support.shells import CacheShell
from support.stack import ROOT
from support.timing import eventually

pytestmark = pytest.mark.quick

LONG_MS, SHORT_MS = 600_000, 50
ID = 7


@pytest.fixture(scope="module")
def server():
    with redis_server() as server:
        yield server


@contextlib.contextmanager
def a_shell(server, ttl_ms):
    server.admin.flushall()
    with CacheShell(server.url(user=""), ttl_ms) as shell:
        yield shell


@pytest.fixture
def lasting(server):
    with a_shell(server, LONG_MS) as shell:
        yield shell


@pytest.fixture
def brief(server):
    """States live for 50 ms."""
    with a_shell(server, SHORT_MS) as shell:
        yield shell


def keys(server, kind):
    return server.admin.keys(f"fs:*:{kind}:{ID}")


def wait_for_expiry(server):
    eventually(lambda: not keys(server, "p"), "the state has expired")


def test_a_fill_after_the_newer_state_has_expired(server, brief):
    assert brief("lease", "late", ID) == ("ok", 0)
    assert brief("publish", "first", ID, 16) == ("ok", 1)
    wait_for_expiry(server)
    assert brief("fill", "late", ID, 15) == ("ok", 0)
    assert brief("get", ID) == ("ok", 0)


def test_a_publication_after_the_newer_state_has_expired(server, brief):
    assert brief("publish", "first", ID, 16) == ("ok", 1)
    wait_for_expiry(server)
    assert brief("publish", "first", ID, 15) == ("ok", 0)
    assert brief("get", ID) == ("ok", 0)


def test_a_guard_outlives_every_lease_however_short_the_lifetime(server, brief):
    assert brief("publish", "first", ID, 16) == ("ok", 1)
    (guard,) = keys(server, "g")
    assert server.admin.pttl(guard) > 2 * 30_000 - 10_000


def test_two_publications_that_overtake_each_other(lasting):
    assert lasting("publish", "first", ID, 3795) == ("ok", 1)
    assert lasting("publish", "first", ID, 3794) == ("ok", 0)
    assert lasting("get", ID) == ("ok", 3795)


def test_what_a_refused_fill_was_answered_with_is_not_undone(server, lasting):
    """Reader A leases, the guard goes, reader B leases and reads 15, A reads 16 and answers with
    it; B comes last."""
    assert lasting("publish", "first", ID, 14) == ("ok", 1)
    assert lasting("lease", "a", ID) == ("ok", 0)
    server.admin.delete(*keys(server, "p"), *keys(server, "g"))
    assert lasting("lease", "b", ID) == ("ok", 0)
    assert lasting("fill", "a", ID, 16) == ("ok", 0)
    assert lasting("fill", "b", ID, 15) == ("ok", 0)
    assert lasting("get", ID) == ("ok", 0)
    assert lasting("lease", "c", ID) == ("ok", 0)
    assert lasting("fill", "c", ID, 16) == ("ok", 1)
    assert lasting("get", ID) == ("ok", 16)


def test_a_refused_fill_leaves_no_older_state(server, lasting):
    assert lasting("publish", "first", ID, 14) == ("ok", 1)
    assert lasting("lease", "a", ID) == ("ok", 0)
    server.admin.delete(*keys(server, "g"))
    assert lasting("fill", "a", ID, 16) == ("ok", 0)
    assert lasting("get", ID) == ("ok", 0)


def test_a_fill_below_its_own_lease(lasting):
    """PostgreSQL came back without the latest commits."""
    assert lasting("drop", ID, 16) == ("ok", 0)
    assert lasting("lease", "a", ID) == ("ok", 0)
    assert lasting("fill", "a", ID, 15) == ("ok", 0)
    assert lasting("get", ID) == ("ok", 0)


def test_a_fill_across_an_emptied_redis(server, lasting):
    assert lasting("lease", "a", ID) == ("ok", 0)
    assert lasting("lease", "b", ID) == ("ok", 0)
    server.admin.flushall()
    assert lasting("fill", "a", ID, 16) == ("ok", 0)
    assert lasting("fill", "b", ID, 15) == ("ok", 0)
    assert lasting("get", ID) == ("ok", 0)


def test_what_the_ledger_says_removes_older_states(lasting):
    assert lasting("publish", "first", ID, 14) == ("ok", 1)
    assert lasting("drop", ID, 14) == ("ok", 0)
    assert lasting("drop", ID, 15) == ("ok", 1)
    assert lasting("publish", "first", ID, 14) == ("ok", 0)
    assert lasting("get", ID) == ("ok", 0)


def changes(server):
    """The stream's entries, each as {id: version}."""
    (key,) = server.admin.keys("fs:*:changes") or ["none"]
    return [
        {int(id): int(state[:20]) for id, state in fields.items()}
        for _, fields in server.admin.xrange(key)
    ]


def test_a_publication_is_told_in_the_stream(server, lasting):
    assert lasting("publish", "first", ID, 16) == ("ok", 1)
    assert lasting("publish", "first", ID, 17) == ("ok", 1)
    assert changes(server) == [{ID: 16}, {ID: 17}]
    (key,) = server.admin.keys("fs:*:changes")
    ((_, fields),) = server.admin.xrevrange(key, count=1)
    assert fields[b"%d" % ID] == server.admin.get(*keys(server, "p")), "as it lies in Redis"
    assert 500_000 < server.admin.pttl(key) <= 600_000


def test_an_older_publication_is_not_told_and_a_repeated_one_is(server, lasting):
    assert lasting("publish", "first", ID, 16) == ("ok", 1)
    assert lasting("publish", "first", ID, 15) == ("ok", 0)
    assert lasting("publish", "first", ID, 16) == ("ok", 1)
    assert changes(server) == [{ID: 16}, {ID: 16}]
    server.admin.delete(*keys(server, "g"))
    assert lasting("publish", "first", ID, 15) == ("ok", 0)
    assert changes(server) == [{ID: 16}, {ID: 16}]


def test_fills_and_drops_are_not_told(server, lasting):
    assert lasting("lease", "a", ID) == ("ok", 0)
    assert lasting("fill", "a", ID, 16) == ("ok", 1)
    assert lasting("drop", ID, 17) == ("ok", 1)
    assert changes(server) == []


def test_a_publication_across_an_emptied_redis_is_told(server, lasting):
    server.admin.flushall()
    assert lasting("publish", "first", ID, 16) == ("ok", 0)
    assert lasting("get", ID) == ("ok", 0)
    assert changes(server) == [{ID: 16}]


def test_the_stream_stays_small(server, lasting):
    for version in range(1, 1500):
        assert lasting("publish", "first", ID, version) == ("ok", 1)
    told = changes(server)
    assert 1000 <= len(told) < 1200 and told[-1] == {ID: 1499}


def test_a_large_publication_is_stored_and_not_told(server):
    server.admin.flushall()
    server.admin.set("fs:e:g:0", "nonce")
    script = "".join(
        (ROOT / "common" / "products" / name).read_text() for name in ("put.lua", "publish.lua")
    )
    for count, told in ((40, 1), (60, 0)):
        ids = range(1, count + 1)
        keys = [f"fs:e:{kind}:{id}" for id in ids for kind in ("p", "g")]
        words = [word for _ in ids for word in (f"{7:020} q 1 1 1\n" + "x" * 300, 60_000)]
        keys = ["fs:e:g:0", *keys, "fs:e:changes"]
        assert server.admin.eval(script, len(keys), *keys, "nonce", 60_000, *words) == count
        assert len(changes(server)) == told
        server.admin.delete("fs:e:changes")


def test_a_publication_is_tried_again_when_redis_stood_still(server, lasting):
    """For longer than a call may take (100 ms here), and less long than a publication is tried."""
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        lasting.send("publish", "first", ID, 16)
        time.sleep(0.3)
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    assert lasting.answer()[0] == "ok"
    assert lasting("get", ID) == ("ok", 16)


def test_an_acknowledged_change_is_read_although_redis_took_no_writes_for_a_moment(
    stack, database, server, tmp_path
):
    """CLIENT PAUSE for longer than redis.timeout_ms: the reader gets answers, the writer's
    publication does not."""
    settings = {
        "database": {"url": stack.env["DATABASE_URL"]},
        "redis": {"url": server.url(user=""), "timeout_ms": 100},
    }
    id = database.create_product(stock=100)
    reader = ServiceProcess("read-svc", tmp_path, settings)
    with reader, ServiceProcess("write-svc", tmp_path, settings) as writer:
        assert writer.client.update_stock(id, {"delta": 1}).status == 200
        for _ in range(5):
            eventually(
                lambda: reader.client.stock(id).header("Cache-Status").endswith("redis"),
                "Redis has it",
            )
            server.admin.execute_command("CLIENT", "PAUSE", 300, "WRITE")
            done = writer.client.update_stock(id, {"delta": 1}).json()
            assert reader.client.stock(id).json()["version"] == done["version"]
