"""Stores and services that go away and come back under load: clients get right answers or clear
errors, and all is right afterwards."""

import time

import psycopg2
import pytest

from support.http_client import in_parallel
from support.ledger import assert_ledger_holds
from support.load import Load, failures, outcomes, tiers
from support.metrics_text import Change, scrape
from support.problems import assert_problem
from support.service_process import ServiceProcess
from support.timing import eventually, scaled

# The deadline of a request (http.request_timeout_ms), and time for a slow machine.
DEADLINE_S = scaled(2 + 4)


@pytest.fixture(autouse=True)
def whole_again(stack):
    """Each outage ends within its test: the services are the same processes, and everything
    holds."""
    yield
    stack.wait_until_whole()
    assert_ledger_holds(stack)


def dependency(client, store):
    reply = client.get("/readyz")
    body = reply.json()
    assert set(body) >= {"status", "dependencies"}
    return reply.status, body["status"], body["dependencies"][store]["state"]


def breaker(client, store):
    return scrape(client).value("faststock_breaker_state", store=store)


def assert_unavailable_quickly(call):
    """A 503 that says so, within the deadline of a request."""
    begin = time.monotonic()
    reply = call()
    seconds = time.monotonic() - begin
    assert_problem(reply, 503, "unavailable")
    assert seconds < DEADLINE_S, f"{seconds:.1f} s"


def stale_answer(client, id):
    """A product as it is answered while PostgreSQL is away; None while that is not marked yet."""
    reply = client.product(id)
    assert reply.status == 200, reply
    return reply if reply.header("Cache-Status") == "faststock; hit; detail=stale" else None


# -- Redis


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_redis_away(stack, database, how):
    """Nobody notices: reads come from PostgreSQL, writes go on."""
    pids = stack.service_pids()
    with Change(*stack.ops()) as change, Load(stack.edge.base_url, database) as load:
        before = load.run_for(1, at_least=50)
        with getattr(stack, how)("redis"), load.records_of_block() as during:
            for client in stack.ops():
                eventually(
                    lambda: breaker(client, "redis") == 2, f"{client} knows that Redis is away"
                )
                status, word, state = dependency(client, "redis")
                assert (status, word) == (
                    200,
                    "ok",
                ) and state == "down", "Redis away makes nobody unready"
            settled = load.run_for(1.5, at_least=50)
        after = load.run_for(1, at_least=50)
    load.assert_right()
    for records in (before, during, after):
        assert failures(records) == [], outcomes(records)
    assert tiers(settled) == {"db"} and "redis" in tiers(before) and "redis" in tiers(after)
    assert stack.service_pids() == pids
    for client in stack.ops():
        assert breaker(client, "redis") == 0
    assert change("faststock_breaker_opened_total", store="redis") >= len(stack.ops())
    assert change("faststock_store_errors_total", store="redis") > 0


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_a_change_made_while_redis_was_away_is_seen_after(stack, database, how):
    ids = database.create_products(10, stock=5)
    for id in ids:
        assert stack.reads[0].product(id).json()["version"] == 1  # in Redis now
    with getattr(stack, how)("redis"):
        for id in ids:
            assert stack.writes[0].update_stock(id, {"delta": -1}).json()["stock"] == 4
        for client in stack.reads:
            assert {client.stock(id).json()["stock"] for id in ids} == {4}
    for client in stack.reads:
        for id in ids:
            assert client.product(id).json()["stock"] == 4


def test_redis_emptied(stack, database, cache):
    with Load(stack.edge.base_url, database) as load:
        for _ in range(10):
            cache.redis.flushall()
            load.run_for(0.1)
    load.assert_right()
    assert failures(load.records) == [], outcomes(load.records)


# -- PostgreSQL and PgBouncer


@pytest.mark.parametrize(
    "how, store",
    [
        ("stopped", "pgbouncer"),
        ("stopped", "postgres"),
        ("frozen", "postgres"),
        ("frozen", "pgbouncer"),
    ],
)
def test_postgres_away(stack, database, cache, how, store):
    """A product that is in Redis is still answered, marked as stale after a while; everything else
    is a quick 503, and nothing is lost or made up."""
    pids = stack.service_pids()
    warm, cold = database.create_product(stock=5), database.create_product(stock=7)
    cache.make_cold(warm, cold)
    assert stack.reads[0].product(warm).status == 200
    with Load(stack.edge.base_url, database) as load:
        before = load.run_for(1)
        with getattr(stack, how)(store), load.records_of_block() as during:
            begin = time.monotonic()
            for client in stack.reads:
                assert_unavailable_quickly(lambda: client.product(cold))
                assert_unavailable_quickly(lambda: client.get(f"/api/stock?ids={warm},{cold}"))
                for _ in range(3):
                    assert client.product(warm).json()["stock"] == 5
                    assert client.stock(warm).header("Cache-Status") in (
                        "faststock; hit; detail=redis",
                        "faststock; hit; detail=stale",
                    )
                    assert client.get(f"/api/stock?ids={warm}").status == 200
            for client in stack.writes:
                assert_unavailable_quickly(lambda: client.update_stock(warm, {"delta": 0}))
            for client in stack.read_ops:
                eventually(
                    lambda: breaker(client, "postgres") == 2,
                    f"{client} knows that PostgreSQL is away",
                )
                status, word, state = dependency(client, "postgres")
                assert (status, word) == (
                    200,
                    "ok",
                ) and state == "down", "a reader is ready as long as any tier answers"
            for client in stack.write_ops:
                eventually(
                    lambda: dependency(client, "postgres")[:2] == (503, "unavailable"),
                    f"{client} is unready",
                )
                assert breaker(client, "postgres") == 2
                assert client.get("/livez").status == 200
            eventually(lambda: outcomes(load.since(begin), "read").get(200, 0) > 50, "reads go on")
        after = load.run_for(1)
    load.assert_right()
    assert failures(before) == failures(after) == [], (outcomes(before), outcomes(after))
    assert set(outcomes(during, "read")) <= {200, 503}
    assert set(outcomes(during, "write")) <= {200, 503}
    for record in failures(during):
        assert_problem(record.reply, 503)
        assert record.seconds < DEADLINE_S
    assert tiers(during) <= {"redis", "db", "stale"} and tiers(during) & {"redis", "stale"}
    assert stack.service_pids() == pids
    for client in stack.reads:
        assert client.product(cold).json()["stock"] == 7
        assert client.product(warm).json()["stock"] == 5
    assert stack.writes[0].update_stock(cold, {"delta": -7}).json()["stock"] == 0


@pytest.mark.parametrize("store", ["postgres", "pgbouncer"])
def test_a_writer_that_nobody_asks_notices(stack, store):
    with stack.stopped(store):
        for client in stack.write_ops:
            eventually(
                lambda: dependency(client, "postgres") == (503, "unavailable", "down"),
                f"{client} is unready",
            )
            assert client.get("/livez").status == 200
    for client in stack.write_ops:
        eventually(
            lambda: dependency(client, "postgres") == (200, "ok", "up"), f"{client} is ready again"
        )


def test_a_reader_that_nobody_asks_notices(stack):
    with stack.stopped("redis"):
        for client in stack.read_ops:
            eventually(
                lambda: dependency(client, "redis") == (200, "ok", "down"), f"{client} misses Redis"
            )


def test_both_stores_away(stack, database):
    """What a reader has in its memory is still answered, and it is ready for that long."""
    id, known = database.create_products(2, stock=5)
    for client in stack.reads:
        assert client.product(known).status == 200
    with stack.stopped("pgbouncer"):
        stack.dev("stop", "redis")
        try:
            for client in stack.reads:
                eventually(
                    lambda: client.product(id).status == 503, "nothing is left to answer from"
                )
                assert_unavailable_quickly(lambda: client.product(id))
                reply = eventually(lambda: stale_answer(client, known), "it is marked as stale")
                assert reply.json()["stock"] == 5
            for client in stack.read_ops:
                for store in ("postgres", "redis"):
                    assert dependency(client, store) == (200, "ok", "down")
        finally:
            stack.dev("start", "redis")
    assert stack.reads[0].product(id).json()["stock"] == 5


@pytest.mark.parametrize("is_read", [True, False])
def test_a_reader_is_ready_while_its_memory_may_answer(stack, database, tmp_path, is_read):
    """And no longer; not at all when it holds nothing."""
    id = database.create_product(stock=5)
    settings = {
        "database": {"url": stack.env["DATABASE_URL"]},
        "freshness": {"stale_if_error_ms": int(scaled(4000))},
    }
    with ServiceProcess("read-svc", tmp_path, settings) as service:
        if is_read:
            assert service.client.product(id).status == 200
        with stack.stopped("pgbouncer"):
            down = eventually(
                lambda: (found := dependency(service.ops, "postgres"))[2] == "down" and found,
                "the reader misses PostgreSQL",
            )
            assert down[0] == (200 if is_read else 503)
            eventually(
                lambda: dependency(service.ops, "postgres") == (503, "unavailable", "down"),
                "it is unready",
            )
            assert service.ops.get("/livez").status == 200
        eventually(lambda: dependency(service.ops, "postgres")[0] == 200, "it is ready again")


# -- services


@pytest.mark.parametrize("name", ["read-1", "write-1"])
def test_a_service_stopped_and_started(stack, database, name):
    """A drain, and a start: no client of the edge sees either."""
    with Load(stack.edge.base_url, database) as load:
        load.run_for(0.5)
        with stack.stopped(name):
            load.run_for(1)
        load.run_for(1)
    load.assert_right()
    assert failures(load.records) == [], outcomes(load.records)


@pytest.mark.parametrize("name", ["read-2", "write-2"])
def test_a_service_killed(stack, database, name):
    """A crash: the edge repeats reads at the other one. A change is not repeated, so those under
    way may fail."""
    with Load(stack.edge.base_url, database) as load:
        load.run_for(0.5)
        stack.kill(name)
        try:
            load.run_for(1)
        finally:
            stack.dev("start", name)
            stack.wait_until_whole()
        load.run_for(1)
    load.assert_right()
    assert failures(load.records, "read") == [], outcomes(load.records, "read")
    assert len(failures(load.records, "write")) <= load.writers, outcomes(load.records, "write")


def test_everything_restarted(stack, database):
    """Stores and services one after the other, as an upgrade does: all are whole again without
    help."""
    id = database.create_product(stock=5)
    for name in ("postgres", "redis", "read-1", "write-1", "pgbouncer"):
        stack.dev("restart", name)
    stack.wait_until_whole()
    version = stack.writes[0].update_stock(id, {"delta": 1}).json()["version"]
    for client in stack.reads:
        assert client.product(id).json()["version"] == version


def test_a_demanding_client_takes_nothing_from_others(stack, database, cache):
    """While one client wants a product newer than Redis has it, others still get it from there,
    also when PostgreSQL is away."""
    id = database.create_product(stock=5)
    cache.make_warm(id)
    reader = stack.reads[0]
    with stack.stopped("pgbouncer"):
        replies = in_parallel(
            24, lambda i: reader.stock(id, {"Min-Version": str(2**63 - 1)} if i % 3 == 0 else None)
        )
    for i, reply in enumerate(replies):
        assert reply.status == (503 if i % 3 == 0 else 200), (i, reply)


# -- stores that are there and yet no good


def test_a_locked_product_harms_no_other(stack, database):
    """Somebody holds a row: changes of that product are refused after a while, for good, and nobody
    else notices."""
    locked, other = database.create_products(2, stock=100)
    backends = "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()"
    unsure = 0
    with Load(stack.edge.base_url, database, writers=0) as load:
        load.run_for(0.5, at_least=20)
        before = database.row(backends)["n"]
        with psycopg2.connect(stack.env["DIRECT_URL"]) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT id FROM products WHERE id = %s FOR UPDATE", [locked])
            with load.records_of_block() as during:
                for _ in range(3):
                    for reply in in_parallel(
                        12, lambda _: stack.edge.update_stock(locked, {"delta": -1})
                    ):
                        assert_problem(reply, 503, "unavailable")
                        # A machine that stood still.
                        unsure += "nothing was changed" not in reply.json()["detail"]
                    assert stack.edge.update_stock(other, {"delta": -1}).status == 200
            assert (
                database.row(backends)["n"] < before + 20
            ), "statements that were given up have ended"
    assert not failures(during)
    assert (
        99 - unsure <= stack.edge.update_stock(locked, {"delta": -1}).json()["stock"] <= 99
    ), "what was refused is not done later"


def assert_redis_is_left_alone(stack, id):
    """A Redis that takes no writes: changes are seen all the same, and everybody finds it out."""
    for stock, writer in ((4, stack.writes[0]), (3, stack.writes[1])):
        assert writer.update_stock(id, {"stock": stock}).status == 200
        for client in stack.reads:
            eventually(lambda: client.stock(id).json()["stock"] == stock, "seen")
    for client in stack.ops():
        eventually(
            lambda: dependency(client, "redis")[2] == "down",
            f"{client} knows that nothing can be written there",
        )


def test_redis_made_a_replica(stack, database, cache):
    """A failover behind one address: the old primary keeps our connections, and takes no writes."""
    id = database.create_product(stock=5)
    cache.make_warm(id)
    try:
        cache.redis.execute_command("REPLICAOF", "127.0.0.1", "1")
        assert_redis_is_left_alone(stack, id)
    finally:
        cache.redis.execute_command("REPLICAOF", "NO", "ONE")
    stack.wait_until_whole()
    assert stack.edge.update_stock(id, {"stock": 1}).status == 200
    for client in stack.reads:
        assert client.stock(id).json()["stock"] == 1


def test_redis_that_takes_no_writes(stack, database, cache):
    """A full disk, or too few replicas: entries that cannot be brought up to date are not read
    either."""
    id = database.create_product(stock=5)
    cache.make_warm(id)
    try:
        cache.redis.config_set("min-replicas-to-write", 1)
        assert_redis_is_left_alone(stack, id)
    finally:
        cache.redis.config_set("min-replicas-to-write", 0)
    stack.wait_until_whole()


def test_redis_without_room(stack, database, cache):
    """maxmemory without eviction: an entry that cannot be replaced by a newer state is dropped."""
    id = database.create_product(stock=5)
    cache.make_warm(id)
    policy = cache.redis.config_get("maxmemory*")
    try:
        cache.redis.config_set("maxmemory-policy", "noeviction")
        cache.redis.config_set("maxmemory", 1)
        for stock in (4, 3, 2):
            assert stack.edge.update_stock(id, {"stock": stock}).status == 200
            for client in stack.reads:
                assert client.stock(id).json()["stock"] == stock
        assert not cache.has(id)
    finally:
        cache.redis.config_set("maxmemory", policy["maxmemory"])
        cache.redis.config_set("maxmemory-policy", policy["maxmemory-policy"])
    eventually(
        lambda: stack.reads[0].stock(id).status == 200 and cache.has(id), "it is cached again"
    )
