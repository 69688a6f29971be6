"""Idempotency-Key: a change happens once, however often it is asked for, and each repeat gets the
first answer."""

import uuid

import pytest

from support.http_client import in_parallel
from support.ledger import assert_product_ledger
from support.metrics_text import Change
from support.problems import assert_problem
from support.service_process import ServiceProcess

pytestmark = pytest.mark.quick


def key():
    return {"Idempotency-Key": str(uuid.uuid4())}


def assert_same(first, repeat):
    assert (repeat.status, repeat.header("ETag")) == (first.status, first.header("ETag"))
    assert first.header("Idempotency-Replayed") is None
    assert repeat.header("Idempotency-Replayed") == "true"
    told, again = first.json(), repeat.json()
    if first.status >= 400:
        assert told.pop("instance") != again.pop("instance"), "of the request, not of the answer"
    assert told == again


def test_a_repeat_gets_the_first_answer(write, database):
    id = database.create_product(stock=5)
    headers = key()
    first = write.update_stock(id, {"delta": -2}, headers)
    assert first.json()["stock"] == 3
    write.update_stock(id, {"stock": 100})
    assert_same(first, write.update_stock(id, {"delta": -2}, headers))
    assert_product_ledger(database, id, 5, [-2, 97])


def test_another_service_knows_it_too(stack, database):
    id = database.create_product(stock=5)
    headers = key()
    first = stack.writes[0].update_stock(id, {"delta": 1}, headers)
    with Change(stack.writes[1]) as change:
        assert_same(first, stack.writes[1].update_stock(id, {"delta": 1}, headers))
    assert change("faststock_write_replays_total") == 1
    assert_same(first, stack.writes[1].update_stock(id, {"delta": 1}, headers))
    assert_same(first, stack.edge.update_stock(id, {"delta": 1}, headers))
    assert_product_ledger(database, id, 5, [1])


def test_a_refusal_is_an_answer_too(write, database):
    id = database.create_product(stock=5)
    headers = key()
    first = write.update_stock(id, {"delta": -6}, headers)
    assert_problem(first, 409, "insufficient-stock")
    write.update_stock(id, {"stock": 100})
    assert_same(first, write.update_stock(id, {"delta": -6}, headers))
    assert_product_ledger(database, id, 5, [95])


def test_an_unknown_product_is_an_answer_too(write, unknown_id):
    id, headers = unknown_id(), key()
    first = write.update_stock(id, {"delta": 1}, headers)
    assert_problem(first, 404)
    assert_same(first, write.update_stock(id, {"delta": 1}, headers))


@pytest.mark.parametrize("outcome", [200, 409])
def test_another_request_with_the_key_is_refused(write, database, outcome):
    id, other = database.create_product(stock=5), database.create_product(stock=5)
    headers = key()
    delta = 1 if outcome == 200 else -9
    assert write.update_stock(id, {"delta": delta}, headers).status == outcome
    for reply in (
        write.update_stock(id, {"delta": delta + 1}, headers),
        write.update_stock(other, {"delta": delta}, headers),
        write.update_stock(id, {"delta": delta, "reason": "x"}, headers),
        write.update_stock(id, {"delta": delta}, {**headers, "If-Match": '"1"'}),
    ):
        assert_problem(reply, 422, "key-reused")
    assert_product_ledger(database, id, 5, [1] if outcome == 200 else [])
    assert_product_ledger(database, other, 5, [])


def test_what_was_not_judged_is_not_kept(write, database):
    id, headers = database.create_product(stock=5), key()
    assert_problem(write.update_stock(id, {"delta": "1"}, headers), 400)
    assert write.update_stock(id, {"delta": 1}, headers).status == 200


def test_a_precondition_that_failed_is_asked_again(write, database):
    """Because one request may ask for several versions, one after the other, under its key."""
    id, headers = database.create_product(stock=5), key()
    write.update_stock(id, {"delta": 1})
    for _ in range(2):
        reply = write.update_stock(id, {"delta": 1}, {**headers, "If-Match": '"7", "1"'})
        assert_problem(reply, 412)
    headers = key()
    tagged = {**headers, "If-Match": '"7", "1", "2"'}
    first = write.update_stock(id, {"delta": 1}, tagged)
    assert first.json()["version"] == 3
    assert_same(first, write.update_stock(id, {"delta": 1}, tagged))
    assert_product_ledger(database, id, 5, [1, 1])


def test_a_key_in_quotes_is_the_same_key(write, database):
    """The draft has it in quotes (a string of structured fields); most clients send it bare."""
    id, name = database.create_product(stock=5), str(uuid.uuid4())
    first = write.update_stock(id, {"delta": 1}, {"Idempotency-Key": f'"{name}"'})
    assert_same(first, write.update_stock(id, {"delta": 1}, {"Idempotency-Key": name}))


@pytest.mark.parametrize("bad", ["", '""', "x" * 256, "caf\u00e9"])
def test_keys_that_are_none(write, database, bad):
    id = database.create_product(stock=5)
    reply = write.update_stock(id, {"delta": 1}, {"Idempotency-Key": bad})
    assert_problem(reply, 400)
    assert reply.json()["errors"][0]["field"] == "Idempotency-Key"
    assert_product_ledger(database, id, 5, [])


@pytest.mark.parametrize("good", ["x", "x" * 255, "a b", "~!#$%&'()*+,-./:;<=>?@[]^_`{|}"])
def test_keys_of_all_kinds(write, database, good):
    id = database.create_product(stock=5)
    headers = {"Idempotency-Key": good}
    database.rows("DELETE FROM idempotency_keys WHERE key = %s", good)
    first = write.update_stock(id, {"delta": 1}, headers)
    assert first.status == 200
    assert_same(first, write.update_stock(id, {"delta": 1}, headers))


def test_repeats_at_the_same_time(stack, database):
    """One is done; a repeat hears that it is being done, or what came of it."""
    id = database.create_product(stock=100)
    keys = [key() for _ in range(8)]
    clients = (*stack.writes, stack.edge)

    def ask(n):
        return n, clients[n % len(clients)].update_stock(id, {"delta": -1}, keys[n % len(keys)])

    replies = in_parallel(48, ask)
    done = {}
    for n, reply in replies:
        if reply.status == 200:
            done.setdefault(n % len(keys), []).append(reply)
        else:
            assert_problem(reply, 409, "key-in-use")
            assert reply.header("Retry-After") == "1"
    assert set(done) == set(range(len(keys)))
    for answers in done.values():
        assert len({reply.json()["version"] for reply in answers}) == 1
        assert sum(reply.header("Idempotency-Replayed") is None for reply in answers) == 1
    assert_product_ledger(database, id, 100, [-1] * len(keys))


def test_a_repeat_after_a_crash(stack, database, tmp_path):
    id, headers = database.create_product(stock=5), key()
    settings = {"database": {"url": stack.env["DATABASE_URL"]}}
    with ServiceProcess("write-svc", tmp_path, settings) as own:
        first = own.client.update_stock(id, {"delta": 1}, headers)
        own.process.kill()
    assert_same(first, stack.writes[0].update_stock(id, {"delta": 1}, headers))
    assert_product_ledger(database, id, 5, [1])


def test_a_replayed_answer_is_published(stack, database, cache):
    """The first request may have died between its commit and its publication."""
    id, headers = database.create_product(stock=5), key()
    cache.make_warm(id)
    older = cache.redis.get(cache.key(id))
    first = stack.writes[0].update_stock(id, {"delta": -2}, headers)
    stack.wait_for_relay()
    cache.redis.delete(cache.key(id, "g"))
    cache.redis.set(cache.key(id), older)
    assert_same(first, stack.writes[1].update_stock(id, {"delta": -2}, headers))
    assert int(cache.redis.get(cache.key(id)).split()[0]) == first.json()["version"]
