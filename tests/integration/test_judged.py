"""The ledger judges each state that Redis holds: a state that is too old is passed over, however it
came to be there."""

import time

import pytest

from support.metrics_text import Change, scrape
from support.timing import eventually

PLAIN = {"Cache-Control": None}
PUBLISHED = {"Cache-Control": "no-cache"}


@pytest.fixture
def published(stack, database, cache, known_redis):
    """A product that Redis holds; stock 3."""
    id = database.create_product(stock=3)
    cache.make_warm(id)
    return id


def wait_for_the_tail(client):
    """Until the reader has read of everything that was committed before this call."""
    began = time.monotonic()
    eventually(
        lambda: (asked := time.monotonic())
        and asked - scrape(client).value("faststock_watermark_age_seconds") > began,
        f"{client} has read the ledger",
    )


def put(cache, id, state):
    cache.redis.set(cache.key(id), state, px=60_000)


def line_and_json(state):
    line, json = state.split(b"\n", 1)
    version, letter, stock, read_us, timeline = line.split(b" ")
    return [version, letter, stock, read_us, timeline], json


def check_passed_over(reader, id, stock):
    """PostgreSQL answers, and Redis was looked at."""
    with Change(reader) as change:
        reply = reader.stock(id, PUBLISHED)
    assert (reply.status, reply.json()["stock"]) == (200, stock)
    assert reply.header("Cache-Status") == "faststock; fwd=miss; detail=db"
    assert change("faststock_cache_requests_total", tier="redis", result="old") == 1


def test_a_state_that_was_restored(stack, cache, published):
    former = cache.redis.get(cache.key(published))
    assert stack.writes[0].update_stock(published, {"delta": 4}).status == 200
    for reader in stack.reads:
        wait_for_the_tail(reader)
        put(cache, published, former)
        check_passed_over(reader, published, 7)


def test_a_state_of_another_timeline(stack, cache, published):
    words, json = line_and_json(cache.redis.get(cache.key(published)))
    early = b"%d" % (int(words[3]) - 10_000_000)
    other = b"%d" % (int(words[4]) + 1)
    put(cache, published, b" ".join([*words[:3], early, other]) + b"\n" + json)
    check_passed_over(stack.reads[0], published, 3)


def test_a_state_that_was_read_before_the_tail_began(stack, cache, published):
    words, json = line_and_json(cache.redis.get(cache.key(published)))
    put(cache, published, b" ".join([*words[:3], b"1", words[4]]) + b"\n" + json)
    check_passed_over(stack.reads[0], published, 3)


def test_a_state_that_nobody_changed_stays_good(stack, cache, published):
    """It claims the watermark, not the time at which it was read."""
    reader = stack.reads[1]
    words, json = line_and_json(cache.redis.get(cache.key(published)))
    deadline = time.monotonic() + 2.5  # longer than freshness.max_staleness_ms
    while time.monotonic() < deadline:
        reply = reader.stock(published, PUBLISHED)
        assert reply.header("Cache-Status") == "faststock; hit; detail=redis"
        assert reply.header("Age") == "0"
    assert line_and_json(cache.redis.get(cache.key(published)))[0] == words
