"""No answer of any instance is older than an acknowledged change; and readers share loads."""

import codecs
import contextlib
import random
import re
import threading
import time

import psycopg2
import pytest

from support.http_client import Connection, in_parallel, insist
from support.ledger import assert_ledger_holds, assert_product_ledger
from support.metrics_text import Change, scrape
from support.service_process import ServiceProcess
from support.timing import eventually, scaled

pytestmark = pytest.mark.quick

RACE_SECONDS = 6


def every_view_of(client, id):
    """The versions of a product that a reader shows on each of its paths: (version, stock) of
    each."""
    (many,) = client.get(f"/api/stock?ids={id}").json()["data"]
    (listed,) = client.get(f"/api/products?after={id - 1}&limit=1").json()["data"]
    return {
        (view["version"], view["stock"])
        for view in (client.product(id).json(), client.stock(id).json(), many, listed)
    }


@pytest.fixture
def listed_product(stack, database):
    id = database.create_product(stock=1000)
    for client in stack.reads:
        eventually(
            lambda: [
                product["id"]
                for product in client.get(f"/api/products?after={id - 1}&limit=1").json()["data"]
            ]
            == [id],
            "the new product is listed",
        )
    return id


def test_the_next_read_sees_the_change_everywhere(stack, listed_product):
    id = listed_product
    for step in range(1, 21):
        writer = stack.writes[step % 2]
        done = writer.update_stock(
            id, {"delta": -step} if step % 3 else {"stock": 500 + step}
        ).json()
        for client in stack.reads + [stack.edge]:
            assert every_view_of(client, id) == {(done["version"], done["stock"])}, (step, client)


def test_the_next_read_sees_the_change_when_nothing_was_cached(
    stack, database, cache, listed_product
):
    id = listed_product
    for step in range(5):
        cache.evict(id)
        done = stack.writes[step % 2].update_stock(id, {"delta": -1}).json()
        cache.evict(id)
        for client in stack.reads:
            assert every_view_of(client, id) == {(done["version"], done["stock"])}


def publication_of(monitor, id):
    """The command by which the product is put into Redis, as its words."""
    while True:
        line = monitor.connection.read_response()
        words = [
            codecs.escape_decode(word)[0] for word in re.findall(rb'"((?:[^"\\]|\\.)*)"', line)
        ]
        if (
            words
            and words[0].upper() == b"EVALSHA"
            and any(word.endswith(b":p:%d" % id) for word in words)
        ):
            return words


def test_a_late_publication_does_not_undo_what_was_seen(stack, database, cache):
    """A writer is slow to publish, a reader fills Redis with a newer state meanwhile, and that is
    evicted."""
    id = database.create_product(stock=5)
    reader = stack.reads[0]
    with cache.redis.monitor() as monitor:
        assert stack.writes[0].update_stock(id, {"delta": -1}).json()["version"] == 2
        late = publication_of(monitor, id)
    with stack.frozen("write-1", "write-2"):  # and with them the relay
        database.rows("SELECT edit_product(%s, 'Newer')", id)
        cache.evict(id)
        assert reader.product(id).json()["version"] == 3
        cache.evict(id)
        cache.redis.execute_command(*late)
        assert reader.product(id).json()["version"] == 3


class Race:
    """Writers change a few products without pause while readers read them in every way; everybody
    takes notes."""

    def __init__(self, stack, ids):
        self.stack, self.ids = stack, ids
        self.acknowledged = dict.fromkeys(ids, 1)  # the newest version a writer was told of
        self.applied = {id: [] for id in ids}
        self.lock = threading.Lock()
        self.end = threading.Event()
        self.faults, self.reads_done = [], 0

    def write(self, seed):
        chance = random.Random(seed)
        connection = Connection(self.stack.writes[seed % 2].base_url)
        while not self.end.is_set():
            id = chance.choice(self.ids)
            change = {"delta": chance.choice([-3, -1, 1, 2])}
            reply = insist(
                lambda: connection.request("POST", f"/api/products/{id}/update-stock", change)
            )
            if reply.status == 200:
                body = reply.json()
                with self.lock:
                    self.applied[id].append(body["delta"])
                    self.acknowledged[id] = max(self.acknowledged[id], body["version"])
            elif reply.status != 409:
                self.faults.append(f"a writer got {reply}")

    def read(self, seed):
        chance = random.Random(seed)
        connections = [Connection(client.base_url) for client in self.stack.reads]
        seen = dict.fromkeys(self.ids, (0, None))
        text = ",".join(map(str, self.ids))
        while not self.end.is_set():
            with self.lock:
                at_least = dict(self.acknowledged)
            connection = chance.choice(connections)
            kind = chance.randrange(4)
            id = chance.choice(self.ids)
            path = (
                f"/api/products/{id}",
                f"/api/products/{id}/stock",
                f"/api/stock?ids={text}",
                f"/api/products?after={self.ids[0] - 1}&limit={len(self.ids)}",
            )[kind]
            reply = connection.request("GET", path)
            if reply.status != 200:
                self.faults.append(f"a reader got {reply}")
                continue
            body = reply.json()
            for product in body["data"] if kind > 1 else [body]:
                id, version, stock = product["id"], product["version"], product["stock"]
                if version < at_least[id]:
                    self.faults.append(
                        f"{path}: version {version} of {id} when {at_least[id]} was acknowledged"
                    )
                if version < seen[id][0]:
                    self.faults.append(
                        f"{path}: version {version} of {id} after {seen[id][0]} had been seen"
                    )
                if version == seen[id][0] and stock != seen[id][1]:
                    self.faults.append(
                        f"{path}: stock {stock} and {seen[id][1]} for version {version} of {id}"
                    )
                seen[id] = (version, stock)
            with self.lock:
                self.reads_done += 1

    def run(self, seconds, writers=3, readers=5, disturb=None):
        threads = [
            threading.Thread(target=self.guarded, args=(self.write, n), daemon=True)
            for n in range(writers)
        ]
        threads += [
            threading.Thread(target=self.guarded, args=(self.read, n), daemon=True)
            for n in range(readers)
        ]
        for thread in threads:
            thread.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.faults:
            if disturb:
                disturb()
            time.sleep(0.02)
        self.end.set()
        for thread in threads:
            thread.join(scaled(30))
        assert self.faults == [], self.faults[:5]

    def guarded(self, call, seed):
        try:
            call(seed)
        except Exception as error:
            self.faults.append(f"{type(error).__name__}: {error}")


@pytest.mark.parametrize("evicting", [False, True], ids=["warm", "evicting"])
def test_race_of_writers_and_readers(stack, database, cache, evicting):
    """Versions only rise for each reader, lists and single reads together, and never lag behind an
    acknowledgement."""
    ids = database.create_products(5, stock=20)
    for client in stack.reads:
        eventually(
            lambda: len(client.get(f"/api/products?after={ids[0] - 1}&limit=5").json()["data"])
            == 5,
            "all are listed",
        )
    race = Race(stack, ids)
    race.run(RACE_SECONDS, disturb=(lambda: cache.evict(random.choice(ids))) if evicting else None)
    assert race.reads_done > 100 and all(race.applied.values())
    for id in ids:
        assert_product_ledger(database, id, 20, race.applied[id])
        for client in stack.reads:
            assert every_view_of(client, id) == {
                (database.product(id)["version"], database.product(id)["stock"])
            }
    assert_ledger_holds(stack)


# -- never oversold


@pytest.mark.parametrize("through", ["edge", "both instances"])
def test_concurrent_decrements_never_oversell(stack, database, through):
    """64 buyers, 40 pieces."""
    id = database.create_product(stock=40)
    clients = [stack.edge] if through == "edge" else stack.writes
    replies = in_parallel(
        64, lambda i: insist(lambda: clients[i % len(clients)].update_stock(id, {"delta": -1}))
    )
    applied = [reply.json() for reply in replies if reply.status == 200]
    assert sorted(reply.status for reply in replies) == [200] * 40 + [409] * 24
    assert sorted(body["version"] for body in applied) == list(range(2, 42))
    assert sorted(body["stock"] for body in applied) == list(range(40))
    for client in stack.reads:
        assert client.stock(id).json() == {"id": id, "stock": 0, "version": 41}
    assert_product_ledger(database, id, 40, [-1] * 40)


def test_concurrent_changes_around_zero(stack, database):
    """Some bring, some take: the acknowledged changes add up, and no stock ever went below zero."""
    id = database.create_product(stock=2)

    def ten_changes(i):
        connection = Connection(stack.writes[i % 2].base_url)
        applied = []
        for step in range(10):
            change = {"delta": 2 if (i + step) % 4 == 0 else -1}
            reply = insist(
                lambda: connection.request("POST", f"/api/products/{id}/update-stock", change)
            )
            assert reply.status in (200, 409), reply
            if reply.status == 200:
                assert reply.json()["stock"] >= 0
                applied.append(reply.json()["delta"])
        connection.close()
        return applied

    applied = [delta for deltas in in_parallel(64, ten_changes) for delta in deltas]
    assert_product_ledger(database, id, 2, applied)
    assert_ledger_holds(stack)


# -- shared work


def test_many_readers_of_a_cold_product_cost_one_load(stack, cold_product):
    """Single flight: a request that comes while a load is under way joins it."""
    reader = stack.reads[0]
    with Change(reader) as change:
        replies = in_parallel(
            40, lambda i: reader.product(cold_product) if i % 2 else reader.stock(cold_product)
        )
    assert [(reply.status, reply.json()["stock"]) for reply in replies] == [(200, 3)] * 40
    assert change("faststock_load_batch_size_sum", tier="db") == 1
    answered = {reply.header("Cache-Status").rpartition("detail=")[2] for reply in replies}
    assert "db" in answered


@contextlib.contextmanager
def products_locked(stack):
    """Nobody can read the table of products until the end of the block: loads under way wait."""
    connection = psycopg2.connect(stack.env["DIRECT_URL"])
    try:
        connection.cursor().execute("LOCK TABLE products IN ACCESS EXCLUSIVE MODE")
        yield
    finally:
        connection.close()


@pytest.fixture(scope="module")
def patient(stack, tmp_path_factory):
    """A read-svc whose requests wait long enough for a slow machine to bring all of them
    together."""
    settings = {
        "http": {"request_timeout_ms": 60_000},
        "database": {"url": stack.env["DATABASE_URL"], "timeout_ms": 60_000},
        "redis": {"url": stack.env["REDIS_URL"]},
    }
    with ServiceProcess("read-svc", tmp_path_factory.mktemp("patient"), settings) as service:
        yield service


def read_while_locked(stack, reader, ids):
    """Requests one product a thread, all while no load can end; returns the change of metrics until
    all have their answers."""
    replies = []
    connections = [Connection(reader.client.base_url) for _ in ids]
    for connection in connections:
        assert connection.request("GET", "/health").status == 200
    with Change(reader.ops) as change:
        with products_locked(stack):
            ask = lambda connection, id: replies.append(
                connection.request("GET", f"/api/products/{id}")
            )
            threads = [
                threading.Thread(target=ask, args=pair, daemon=True)
                for pair in zip(connections, ids)
            ]
            for thread in threads:
                thread.start()
            eventually(
                lambda: scrape(reader.ops).total("http_requests_in_flight") == len(ids),
                "all requests are waiting",
            )
        for thread in threads:
            thread.join(scaled(30))
    for connection in connections:
        connection.close()
    assert [reply.status for reply in replies] == [200] * len(ids), replies
    return change


def test_what_nobody_waits_for_is_not_asked_for(stack, database, tmp_path):
    """Requests that gave up while a store was slow do not keep it busy afterwards, nor the process
    at its end."""
    settings = {
        "http": {"request_timeout_ms": int(scaled(300))},
        "database": {"url": stack.env["DATABASE_URL"], "timeout_ms": 60_000, "pool_size": 1},
        "redis": {"url": ""},
    }
    ids = database.create_products(40)
    with ServiceProcess("read-svc", tmp_path, settings) as reader:
        with Change(reader.ops) as change:
            with products_locked(stack):
                for some in ids[:1], ids[1:]:  # the first keeps the only worker
                    assert {
                        reply.status
                        for reply in in_parallel(
                            len(some), lambda i: reader.client.product(some[i])
                        )
                    } == {503}
                assert scrape(reader.ops).value("faststock_load_flights") == 40
            eventually(
                lambda: scrape(reader.ops).value("faststock_load_flights") == 0, "nothing is left"
            )
        assert change("faststock_load_batch_size_sum", tier="db") == 1
        assert reader.client.product(ids[5]).status == 200


def test_waiting_requests_share_a_flight(stack, patient, cold_product):
    change = read_while_locked(stack, patient, [cold_product] * 20)
    assert change("faststock_load_batch_size_sum", tier="db") == 1
    assert change("faststock_load_flights_shared_total") == 19


def test_loads_of_different_products_gather_into_batches(stack, database, cache, patient):
    """While the connections are busy, new requests wait and go as one statement."""
    ids = database.create_products(60)
    cache.make_cold(*ids)
    change = read_while_locked(stack, patient, ids)
    assert change("faststock_load_batch_size_sum", tier="db") == 60
    assert change("faststock_load_batch_size_count", tier="db") < 30
