"""Replicas of PostgreSQL and Redis: they take the reads, never make an answer old, and may go
away."""

import time
from urllib.parse import urlsplit

import pytest

from support.load import Load, failures, outcomes
from support.metrics_text import Change, scrape
from support.replicas import postgres_replica, redis_replica
from support.service_process import ServiceProcess
from support.timing import eventually

# Each connection to a Redis replica asks after that time whether it still follows its primary
# (REDIS_EPOCH_AGE_MS).
LINK_AGE_S = 1

IN_REDIS = "faststock; hit; detail=redis"


@pytest.fixture(scope="module")
def replica(stack):
    with postgres_replica(stack) as replica:
        yield replica


@pytest.fixture(scope="module")
def cache_replica(stack):
    with redis_replica(stack) as replica:
        for client in stack.reads:  # the first replica gives its primary another epoch
            eventually(
                lambda: client.product(1).header("Cache-Status") == IN_REDIS,
                "Redis is used again",
            )
        yield replica


@pytest.fixture(scope="module")
def reader_process(stack, replica, tmp_path_factory):
    """A read-svc with a PostgreSQL replica."""
    settings = {
        "database": {"url": stack.env["DATABASE_URL"], "replica_url": replica.url},
        "redis": {"url": stack.env["REDIS_URL"]},
    }
    with ServiceProcess("read-svc", tmp_path_factory.mktemp("replica"), settings) as service:
        yield service


@pytest.fixture
def reader(reader_process):
    reader_process.wait_until_up()
    return reader_process.client


@pytest.fixture(scope="module")
def cache_reader_process(stack, cache_replica, tmp_path_factory):
    """A read-svc with a Redis replica."""
    settings = {
        "database": {"url": stack.env["DATABASE_URL"]},
        "redis": {"url": stack.env["REDIS_URL"], "replica_url": cache_replica.url},
    }
    with ServiceProcess("read-svc", tmp_path_factory.mktemp("cache-replica"), settings) as service:
        yield service


@pytest.fixture
def cache_reader(cache_reader_process):
    cache_reader_process.wait_until_up()
    return cache_reader_process.client


def wait_for_mark(reader, meanwhile=lambda: None):
    """Until the reader has a mark of a moment from now on: a replica that has not replayed every
    commit of now is not believed then."""
    begin = time.monotonic()

    def has_mark():
        meanwhile()
        asked = time.monotonic()
        return asked - scrape(reader).value("faststock_watermark_age_seconds") > begin

    eventually(has_mark, "a mark of the primary", every=0.02)


def asked(change, store):
    """How often a connection to that store was taken."""
    return change("faststock_pool_wait_seconds_count", store=store)


# -- PostgreSQL


def test_the_postgres_replica_takes_the_reads(stack, database, cache, replica, reader):
    ids = database.create_products(10, stock=3)
    cache.make_cold(*ids)
    replica.wait_until_caught_up(database)
    with Change(reader) as change:
        for id in ids:
            assert reader.product(id).json()["stock"] == 3
    assert asked(change, "postgres-replica") >= 10


def test_a_lagging_replica_never_goes_below_min_version(stack, database, cache, replica, reader):
    id = database.create_product(stock=3)
    replica.wait_until_caught_up(database)
    replica.pause()
    try:
        version = stack.writes[0].update_stock(id, {"delta": -1}).json()["version"]
        for _ in range(3):
            cache.evict(id)
            body = reader.product(id, {"Min-Version": str(version)}).json()
            assert (body["version"], body["stock"]) == (version, 2)
    finally:
        replica.resume()


def test_a_lagging_replica_is_not_believed_for_long(stack, database, cache, replica, reader):
    """Without Min-Version too: a row that the replica gave before it fell behind is not kept alive
    in any tier."""
    id = database.create_product(stock=3)
    replica.wait_until_caught_up(database)
    replica.pause()
    try:
        stack.writes[0].update_stock(id, {"delta": -1})
        seen = set()

        def look():
            cache.evict(id)
            seen.add(reader.product(id).status)

        wait_for_mark(reader, meanwhile=look)
        assert seen == {200}
        for client in (reader, *stack.reads):
            assert client.product(id).json()["stock"] == 2
        for _ in range(20):
            cache.evict(id)
            assert reader.product(id).json()["stock"] == 2
            assert stack.reads[0].product(id).json()["stock"] == 2
    finally:
        replica.resume()


def test_a_product_that_the_replica_does_not_know_yet(stack, database, replica, reader):
    replica.wait_until_caught_up(database)
    replica.pause()
    try:
        wait_for_mark(reader)
        id = database.create_product(stock=3)
        wait_for_mark(reader)
        assert reader.product(id).status == 200
    finally:
        replica.resume()


def test_a_new_product_is_not_missing_for_long(stack, database, replica, reader):
    """The replica does not have it yet: that must not be remembered as "there is no such
    product"."""
    replica.wait_until_caught_up(database)
    replica.pause()
    try:
        id = database.create_product(stock=3)
        seen = set()
        wait_for_mark(reader, meanwhile=lambda: seen.add(reader.product(id).status))
        assert seen <= {200, 404}
        stack.wait_for_relay()
        for client in (reader, *stack.reads):
            assert client.product(id).status == 200
    finally:
        replica.resume()


def test_a_replica_that_has_caught_up_is_asked_again(stack, database, cache, replica, reader):
    replica.pause()
    stack.writes[0].update_stock(database.create_product(), {"delta": 1})
    wait_for_mark(reader)
    replica.resume()
    replica.wait_until_caught_up(database)

    def taken():
        id = database.create_product()
        cache.make_cold(id)
        replica.wait_until_caught_up(database)
        with Change(reader) as change:
            assert reader.product(id).status == 200
        return asked(change, "postgres-replica") > asked(change, "postgres")

    eventually(taken, "the replica takes reads again")


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_a_dead_postgres_replica_is_passed_over(stack, database, cache, replica, reader, how):
    with Load(reader.base_url, database, writers=0) as load:
        load.run_for(0.5)
        if how == "stopped":
            replica.stop()
        else:
            replica.freeze()
        try:
            ids = database.create_products(5, stock=3)
            cache.make_cold(*ids)
            replies = [reader.product(id) for id in ids]
            assert [reply.status for reply in replies] == [200] * 5, replies
            load.run_for(1)
        finally:
            if how == "stopped":
                replica.start()
            else:
                replica.thaw()
        load.run_for(0.5)
    load.assert_right()
    assert failures(load.records) == [], outcomes(load.records)


# -- Redis


def test_the_redis_replica_takes_the_reads(stack, database, cache, cache_replica, cache_reader):
    ids = database.create_products(10, stock=3)
    # under today's epoch: Redis has a new one since its first replica came, and readers hear of it
    # within a second
    cache.make_warm(*ids)
    cache_replica.wait_until_caught_up(cache.redis)
    hit = lambda: cache_reader.product(ids[0]).header("Cache-Status") == IN_REDIS
    eventually(hit, "the reader knows the epoch")
    with Change(cache_reader) as change:
        for id in ids:
            assert cache_reader.product(id).header("Cache-Status") == IN_REDIS
    assert asked(change, "redis-replica") >= 10
    assert change("faststock_cache_requests_total", tier="db") == 0


def test_what_a_reader_loads_goes_to_the_primary(stack, cache, cold_product, cache_reader):
    assert (
        cache_reader.product(cold_product).header("Cache-Status")
        == "faststock; fwd=miss; detail=db"
    )
    eventually(lambda: cache.has(cold_product), "the primary is filled")
    assert (
        stack.reads[0].product(cold_product).header("Cache-Status")
        == IN_REDIS
    )


def test_min_version_passes_a_redis_replica_that_is_behind_by(
    stack, database, cache, cache_replica, cache_reader
):
    id = database.create_product(stock=3)
    stack.reads[0].product(id)
    cache_replica.wait_until_caught_up(cache.redis)
    cache_replica.cut_off()
    try:
        version = stack.writes[0].update_stock(id, {"delta": -1}).json()["version"]
        for _ in range(3):
            body = cache_reader.product(id, {"Min-Version": str(version)}).json()
            assert (body["version"], body["stock"]) == (version, 2)
    finally:
        cache_replica.follow_again(urlsplit(stack.env["REDIS_URL"]).password)


def test_a_redis_replica_that_is_behind_is_not_believed_for_long(
    stack, database, cache, cache_replica, cache_reader
):
    id = database.create_product(stock=3)
    stack.reads[0].product(id)
    cache_replica.wait_until_caught_up(cache.redis)
    cache_replica.cut_off()
    try:
        stack.writes[0].update_stock(id, {"delta": -1})
        time.sleep(LINK_AGE_S + 0.1)
        for _ in range(10):
            assert cache_reader.product(id).json()["stock"] == 2
            time.sleep(0.05)
    finally:
        cache_replica.follow_again(urlsplit(stack.env["REDIS_URL"]).password)


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_a_dead_redis_replica_is_passed_over(stack, database, cache_replica, cache_reader, how):
    with Load(cache_reader.base_url, database, writers=0) as load:
        load.run_for(0.5)
        if how == "stopped":
            cache_replica.stop()
        else:
            cache_replica.freeze()
        try:
            load.run_for(1.5)
        finally:
            if how == "stopped":
                cache_replica.start()
            else:
                cache_replica.thaw()
        load.run_for(0.5)
    load.assert_right()
    assert failures(load.records) == [], outcomes(load.records)
