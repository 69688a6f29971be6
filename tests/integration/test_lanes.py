"""Lanes: batches, what is known of a batch whose answer is lost, and products that are held."""

import contextlib
import threading
from urllib.parse import urlsplit

import psycopg2
import pytest

from support.cutting_proxy import CuttingProxy
from support.database import Database
from support.http_client import in_parallel
from support.ledger import assert_product_ledger
from support.metrics_text import Change, scrape
from support.problems import assert_problem
from support.service_process import ServiceProcess
from support.timing import eventually

pytestmark = pytest.mark.quick


def write_service(stack, folder, url=None, **settings):
    return ServiceProcess(
        "write-svc",
        folder,
        {
            "database": {"url": url or stack.env["DIRECT_URL"]},
            "redis": {"url": stack.env["REDIS_URL"]},
            "writes": {"lanes": 1},
            **settings,
        },
    )


def another_connection(stack):
    return contextlib.closing(Database(stack.env["DIRECT_URL"]))


@contextlib.contextmanager
def holding(stack, *ids):
    """Another transaction holds these products."""
    with another_connection(stack) as other:
        other.rows("BEGIN")
        other.rows("SELECT FROM products WHERE id = ANY(%s) FOR UPDATE", list(ids))
        try:
            yield
        finally:
            other.rows("ROLLBACK")


def test_changes_that_wait_are_one_batch(stack, database, tmp_path):
    id = database.create_product(stock=1000)
    with write_service(stack, tmp_path) as service, Change(service.ops) as change:
        replies = in_parallel(64, lambda i: service.client.update_stock(id, {"delta": -1}))
        assert sorted(reply.json()["stock"] for reply in replies) == list(range(936, 1000))
    commands = change("faststock_write_batch_commands_sum")
    assert commands == 64
    assert change("faststock_write_batch_commands_count") < 64
    rows = database.rows(
        "SELECT count(DISTINCT xid::text) AS transactions, count(*) AS movements"
        " FROM stock_movements WHERE product_id = %s AND kind = 'adjust'",
        id,
    )
    assert rows[0]["movements"] == 64 and rows[0]["transactions"] < 64


def test_each_change_of_a_batch_is_judged_on_its_own(stack, database, tmp_path):
    """Around zero, with many refused: no more is sold than there was."""
    id = database.create_product(stock=20)
    with write_service(stack, tmp_path) as service:
        replies = in_parallel(64, lambda i: service.client.update_stock(id, {"delta": -1}))
    statuses = [reply.status for reply in replies]
    assert (statuses.count(200), statuses.count(409)) == (20, 44)
    assert_product_ledger(database, id, 20, [-1] * 20)


# -- the answer of a batch is lost


@pytest.mark.parametrize("let_through, result", [(True, "made"), (False, "not_made")])
@pytest.mark.parametrize("headers", [None, {"Idempotency-Key": "of-a-lost-answer"}])
def test_a_lost_answer_is_found_out(stack, database, cache, tmp_path, let_through, result, headers):
    id = database.create_product(stock=10)
    database.rows("DELETE FROM idempotency_keys WHERE key = 'of-a-lost-answer'")
    cache.make_warm(id)
    url = urlsplit(stack.env["DIRECT_URL"])
    with CuttingProxy(url.hostname, url.port) as proxy:
        own = url._replace(netloc=f"{url.username}:{url.password}@127.0.0.1:{proxy.port}").geturl()
        with write_service(stack, tmp_path, own) as service, Change(service.ops) as change:
            assert service.client.update_stock(id, {"delta": -1}).json()["stock"] == 9
            proxy.cut(b"FROM write_", let_through)
            reply = service.client.update_stock(id, {"delta": -2}, headers)
            assert proxy.done == 1
            assert reply.status == 200, reply
            assert reply.json() == {"id": id, "stock": 7, "version": 3, "delta": -2}
            for reader in stack.reads:
                assert reader.stock(id).json()["stock"] == 7, "published before the answer"
            assert service.client.update_stock(id, {"delta": -1}).json()["stock"] == 6
    assert change("faststock_write_lookups_total", result=result) == 1
    assert_product_ledger(database, id, 10, [-1, -2, -1])


def test_a_refusal_whose_answer_is_lost(stack, database, tmp_path):
    id = database.create_product(stock=1)
    url = urlsplit(stack.env["DIRECT_URL"])
    with CuttingProxy(url.hostname, url.port) as proxy:
        own = url._replace(netloc=f"{url.username}:{url.password}@127.0.0.1:{proxy.port}").geturl()
        with write_service(stack, tmp_path, own) as service:
            proxy.cut(b"FROM write_", True)
            reply = service.client.update_stock(id, {"delta": -2})
            assert_problem(reply, 409, "insufficient-stock")
            assert reply.json()["stock"] == 1
    assert_product_ledger(database, id, 1, [])


WRITE_BATCH = """SELECT ord, outcome FROM write_batch(%s, %s, true, '{change}', '{0}', '{NULL}',
  '{NULL}', '{NULL}', '{1}', ARRAY[%s]::bigint[], '{-1}', '{f}', '{NULL}', '{NULL}')
  WHERE ord IS NOT NULL"""
BATCH_END = "SELECT outcome FROM write_batch_end(%s, %s) WHERE ord = 0"


@pytest.fixture
def other(stack):
    with another_connection(stack) as database:
        yield database


@pytest.fixture
def watcher(stack):
    """A connection without a transaction, because in one pg_stat_activity stays as first seen."""
    with another_connection(stack) as database:
        yield database


def new_lane(database):
    return database.row("INSERT INTO write_lanes DEFAULT VALUES RETURNING id")["id"]


def test_a_batch_that_is_committing_is_waited_for(database, other, watcher):
    id, lane = database.create_product(stock=5), new_lane(database)
    other.rows("BEGIN")
    assert other.row(WRITE_BATCH, lane, 1, id)["outcome"] == "applied"
    ends = []

    def ask():  # as a lane does: again, when it has waited in vain
        while not ends:
            with contextlib.suppress(psycopg2.errors.LockNotAvailable):
                ends.append(database.row(BATCH_END, lane, 1))

    asks = threading.Thread(target=ask)
    asks.start()
    eventually(
        lambda: watcher.row(
            "SELECT count(*) AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND query LIKE '%write_batch_end%' AND pid <> pg_backend_pid()"
        )["n"]
        == 1,
        "it waits",
    )
    other.rows("COMMIT")
    asks.join()
    assert ends == [{"outcome": "made"}]
    assert_product_ledger(database, id, 5, [-1])


def test_a_batch_that_was_given_up_cannot_be_made_later(database, other):
    id, lane = database.create_product(stock=5), new_lane(database)
    for _ in range(2):
        assert database.row(BATCH_END, lane, 1) == {"outcome": "not_made"}
    with pytest.raises(Exception, match="is not there, or not before batch 1"):
        other.rows(WRITE_BATCH, lane, 1, id)
    assert_product_ledger(database, id, 5, [])
    assert other.row(WRITE_BATCH, lane, 2, id)["outcome"] == "applied"
    assert database.row(BATCH_END, lane, 2) == {"outcome": "made"}
    assert database.rows(BATCH_END, lane, 1) == [], "the lane is ahead"
    assert database.rows(BATCH_END, lane + 1000, 1) == [], "there is no such lane"
    assert_product_ledger(database, id, 5, [-1])


def test_a_lane_whose_row_is_gone_gets_another(stack, database, tmp_path):
    id = database.create_product(stock=5)
    with write_service(stack, tmp_path) as service:
        assert service.client.update_stock(id, {"delta": 1}).status == 200
        database.rows(
            "DELETE FROM write_lanes WHERE id = (SELECT id FROM write_lanes"
            " ORDER BY updated_at DESC LIMIT 1)"
        )
        assert service.client.update_stock(id, {"delta": 1}).json()["stock"] == 7
    assert_product_ledger(database, id, 5, [1, 1])


# -- products that another transaction holds


def test_a_held_product_does_not_keep_the_others_of_its_lane(stack, database, tmp_path):
    held, free = database.create_product(stock=5), database.create_product(stock=5)
    with write_service(stack, tmp_path) as service:
        with holding(stack, held):
            assert_problem(service.client.update_stock(held, {"delta": -1}), 503)
            for left in (4, 3, 2):
                assert_problem(service.client.update_stock(held, {"delta": -1}), 503)
                assert service.client.update_stock(free, {"delta": -1}).json()["stock"] == left
        eventually(
            lambda: service.client.update_stock(held, {"delta": -1}).status == 200, "it is free"
        )
        outcomes = scrape(service.ops)
        assert outcomes.value("faststock_writes_total", outcome="locked") >= 4
    assert_product_ledger(database, held, 5, [-1])
    assert_product_ledger(database, free, 5, [-1, -1, -1])


def test_changes_beside_a_held_one_in_a_batch_are_made(stack, database, tmp_path):
    held = database.create_product(stock=5)
    others = [database.create_product(stock=5) for _ in range(16)]
    with write_service(stack, tmp_path, http={"request_timeout_ms": 5000}) as service:
        with holding(stack, held):
            replies = in_parallel(
                17, lambda i: service.client.update_stock([held, *others][i], {"delta": -1})
            )
            assert_problem(replies[0], 503)
            assert [reply.status for reply in replies[1:]] == [200] * 16
    for id in others:
        assert_product_ledger(database, id, 5, [-1])
    assert_product_ledger(database, held, 5, [])


# -- queues


def test_a_lane_is_bounded(stack, database, tmp_path):
    """What waits in vain was certainly not made, and the answer says so."""
    held = database.create_product(stock=5)
    settings = {"writes": {"lanes": 1, "batch_max": 1, "waiting_max": 2}}
    with write_service(stack, tmp_path, **settings) as service:
        with holding(stack, held):
            replies = in_parallel(
                12, lambda i: service.client.update_stock(held, {"delta": -1, "reason": str(i)})
            )
        for reply in replies:
            if reply.status == 503:
                assert "nothing was changed" in reply.json()["detail"]
                assert reply.header("Retry-After") == "1"
        outcomes = scrape(service.ops)
        assert outcomes.value("faststock_writes_total", outcome="late") >= 1
    made = [reply for reply in replies if reply.status == 200]
    assert_product_ledger(database, held, 5, [-1] * len(made))
