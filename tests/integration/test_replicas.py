"""Replicas of PostgreSQL and Redis: they take the reads, never make an answer old, and may go away."""

import time
from urllib.parse import urlsplit

import pytest

from support.load import Load, failures, outcomes
from support.metrics_text import Change
from support.replicas import postgres_replica, redis_replica
from support.service_process import ServiceProcess
from support.timing import eventually, scaled

# How old an answer may be that a replica gave unasked: it must have heard of the primary that lately.
LAG_BOUND_S = scaled(1) + 0.5


@pytest.fixture(scope="module")
def replica(stack):
    with postgres_replica(stack) as replica:
        yield replica


@pytest.fixture(scope="module")
def cache_replica(stack):
    with redis_replica(stack) as replica:
        yield replica


@pytest.fixture(scope="module")
def reader(stack, replica, tmp_path_factory):
    """A read-svc with a PostgreSQL replica."""
    settings = {"database": {"url": stack.env["DATABASE_URL"], "replica_url": replica.url}, "redis": {"url": stack.env["REDIS_URL"]}}
    with ServiceProcess("read-svc", tmp_path_factory.mktemp("replica"), settings) as service:
        yield service.client


@pytest.fixture(scope="module")
def cache_reader(stack, cache_replica, tmp_path_factory):
    """A read-svc with a Redis replica."""
    settings = {"database": {"url": stack.env["DATABASE_URL"]}, "redis": {"url": stack.env["REDIS_URL"], "replica_url": cache_replica.url}}
    with ServiceProcess("read-svc", tmp_path_factory.mktemp("cache-replica"), settings) as service:
        yield service.client


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
    """Without Min-Version too: what the replica said before it fell behind is not kept alive, in no tier."""
    id = database.create_product(stock=3)
    replica.wait_until_caught_up(database)
    replica.pause()
    try:
        stack.writes[0].update_stock(id, {"delta": -1})
        changed = time.monotonic()
        while time.monotonic() - changed < LAG_BOUND_S:
            cache.evict(id)
            assert reader.product(id).status == 200
            time.sleep(0.02)
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
        time.sleep(LAG_BOUND_S)
        id = database.create_product(stock=3)
        time.sleep(LAG_BOUND_S)
        assert reader.product(id).status == 200
    finally:
        replica.resume()


def test_a_new_product_is_not_missing_for_long(stack, database, replica, reader):
    """The replica does not have it yet: that must not be remembered as "there is no such product"."""
    replica.wait_until_caught_up(database)
    replica.pause()
    try:
        id = database.create_product(stock=3)
        created = time.monotonic()
        while time.monotonic() - created < LAG_BOUND_S:
            assert reader.product(id).status in (200, 404)
            time.sleep(0.02)
        for client in (reader, *stack.reads):
            assert client.product(id).status == 200
    finally:
        replica.resume()


def test_a_replica_that_has_caught_up_is_asked_again(stack, database, cache, replica, reader):
    replica.pause()
    stack.writes[0].update_stock(database.create_product(), {"delta": 1})
    time.sleep(LAG_BOUND_S)
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
    for id in ids:
        assert stack.reads[0].product(id).status == 200
    cache_replica.wait_until_caught_up(cache.redis)
    with Change(cache_reader) as change:
        for id in ids:
            assert cache_reader.product(id).header("Cache-Status") == "faststock; hit; detail=redis"
    assert asked(change, "redis-replica") >= 10
    assert change("faststock_cache_requests_total", tier="db") == 0


def test_what_a_reader_loads_goes_to_the_primary(stack, cache, cold_product, cache_reader):
    assert cache_reader.product(cold_product).header("Cache-Status") == "faststock; fwd=miss; detail=db"
    eventually(lambda: cache.has(cold_product), "the primary is filled")
    assert stack.reads[0].product(cold_product).header("Cache-Status") == "faststock; hit; detail=redis"


def test_min_version_passes_a_redis_replica_that_is_behind_by(stack, database, cache, cache_replica, cache_reader):
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


def test_a_redis_replica_that_is_behind_is_not_believed_for_long(stack, database, cache, cache_replica, cache_reader):
    id = database.create_product(stock=3)
    stack.reads[0].product(id)
    cache_replica.wait_until_caught_up(cache.redis)
    cache_replica.cut_off()
    try:
        stack.writes[0].update_stock(id, {"delta": -1})
        time.sleep(LAG_BOUND_S)
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
