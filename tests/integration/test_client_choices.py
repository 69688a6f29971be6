"""How fresh an answer is: clients choose by Cache-Control; Age and Cache-Status tell."""

import contextlib
import random
import threading
import time
import uuid

import pytest

from support.http_client import PLAIN, Connection, insist
from support.ledger import assert_ledger_holds
from support.metrics_text import Change
from support.problems import assert_problem
from support.service_process import ServiceProcess
from support.timing import eventually, scaled

L1 = "faststock; hit; detail=l1"
CATALOG = "faststock; hit; detail=catalog"
STALE = "faststock; hit; detail=stale"
DATABASE = "faststock; fwd=miss; detail=db"
ONLY_IF_CACHED = {"Cache-Control": "only-if-cached"}
# All that ask for what is published. The last two cannot be read, so they ask for the strictest.
STRICT = ["no-cache", "max-age=0", "No-Cache, max-age=60", "max-age=5, max-age=6", "max-age=x"]


def asking(value, **others):
    return {"Cache-Control": value, **others}


def age(reply):
    return int(reply.header("Age"))


def tier(reply):
    return reply.header("Cache-Status")


def paths_of(id, sku):
    """Each way to read one product."""
    return [
        f"/api/products/{id}",
        f"/api/products/{id}/stock",
        f"/api/stock?ids={id}",
        f"/api/stock?skus={sku}",
        f"/api/products?sku={sku}",
        f"/api/products?after={id - 1}&limit=1",
    ]


def seen(reply):
    """Version and stock of the product in an answer."""
    assert reply.status == 200, reply
    body = reply.json()
    (product,) = body.get("data", [body])
    return product["version"], product["stock"]


def is_listed(reader, id):
    """Does the reader know of the product, without having loaded it?"""
    reply = reader.get(f"/api/products?after={id - 1}&limit=1", ONLY_IF_CACHED)
    return reply.status == 504 or reply.json()["data"]


@pytest.fixture
def product(stack, database):
    """A new product with stock 1000 which each reader knows of and none has loaded: id, SKU."""
    sku = uuid.uuid4().hex
    id = database.create_product(stock=1000, sku=sku)
    stack.wait_for_relay()
    for reader in stack.reads:
        eventually(lambda: is_listed(reader, id), "the new product is known")
    return id, sku


@pytest.fixture
def own_reader(stack, tmp_path):
    """Makes a read-svc with settings of freshness of its own."""

    @contextlib.contextmanager
    def make(redis=True, l1=None, catalog=None, **freshness):
        settings = {
            "catalog": catalog or {},
            "database": {"url": stack.env["DATABASE_URL"]},
            "redis": {"url": stack.env["REDIS_URL"] if redis else ""},
            "freshness": freshness,
            "l1": {} if l1 is None else {"bytes_max": l1},
        }
        with ServiceProcess("read-svc", tmp_path, settings) as service:
            yield service.client

    return make


def in_memory(reader, path):
    """Reads until the answer comes from the reader's memory; returns it."""

    def from_memory():
        reply = reader.get(path, PLAIN)
        return reply if tier(reply) == L1 else None

    return eventually(from_memory, f"{path} is in the memory of {reader}")


# -- what a read sees


@pytest.mark.quick
@pytest.mark.parametrize("choice", STRICT)
def test_what_is_published(stack, product, choice):
    id, sku = product
    for step in range(4):
        for reader in stack.reads:  # so that each has an older state in its memory
            for path in paths_of(id, sku):
                reader.get(path, PLAIN)
        done = stack.writes[step % 2].update_stock(id, {"delta": -1}).json()
        for reader in stack.reads + [stack.edge]:
            for path in paths_of(id, sku):
                reply = reader.get(path, asking(choice))
                assert seen(reply) == (done["version"], done["stock"]), (path, reply)
                assert age(reply) == 0 and tier(reply) != L1


@pytest.mark.quick
@pytest.mark.parametrize(
    "choice", [None, "max-age=1", "max-age=3600", "max-stale", "x=y, no-store"]
)
def test_the_others_converge(stack, product, choice):
    id, sku = product
    headers = asking(choice)
    for step in range(4):
        done = stack.writes[step % 2].update_stock(id, {"delta": -1}).json()
        now = (done["version"], done["stock"])
        for reader in stack.reads + [stack.edge]:
            for path in paths_of(id, sku):
                eventually(lambda: seen(reader.get(path, headers)) == now, "the change is seen")


@pytest.mark.quick
def test_changes_in_sql_are_seen(stack, database, product):
    """No writer publishes these."""
    id, sku = product
    for version in range(2, 5):
        for reader in stack.reads:
            in_memory(reader, f"/api/products/{id}")
        database.rows("SELECT edit_product(%s, %s)", id, f"Version {version}")
        for reader in stack.reads:
            for path in paths_of(id, sku):
                eventually(
                    lambda: seen(reader.get(path, PLAIN))[0] == version, "the change is seen"
                )


@pytest.mark.quick
def test_a_product_that_comes_and_goes(stack, database):
    id = (
        stack.writes[0]
        .post("/api/catalog/products", {"name": "A thing", "price": 1, "stock": 1})
        .json()["id"]
    )
    for reader in stack.reads:
        assert reader.product(id).status == 200
        eventually(lambda: reader.product(id, PLAIN).status == 200, "it is there")
        in_memory(reader, f"/api/products/{id}")
    assert stack.writes[0].request("DELETE", f"/api/catalog/products/{id}").status == 204
    for reader in stack.reads:
        assert reader.product(id).status == 404
        eventually(lambda: reader.product(id, PLAIN).status == 404, "it is gone")
        eventually(
            lambda: reader.get(f"/api/stock?ids={id}", PLAIN).json()["missing"] == [id],
            "it is gone",
        )


class BoundedRace:
    """Writers change products without pause, and plain reads must not be older than a bound.

    An answer holds all that was committed `bound` before it was made, so at least all that was
    acknowledged `bound` before it was asked for: however slow this machine is.
    """

    def __init__(self, stack, reader, ids, bound):
        self.stack, self.reader, self.ids, self.bound = stack, reader, ids, bound
        self.acknowledged = {id: [(time.monotonic(), 1)] for id in ids}
        self.end, self.faults, self.tiers = threading.Event(), [], set()

    def expected(self, id, asked):
        notes = list(self.acknowledged[id])
        return max((version for at, version in notes if at < asked - self.bound), default=0)

    def write(self, seed):
        chance = random.Random(seed)
        connection = Connection(self.stack.writes[seed % 2].base_url)
        while not self.end.is_set():
            id = chance.choice(self.ids)
            path = f"/api/products/{id}/update-stock"
            reply = insist(lambda: connection.request("POST", path, {"delta": 1}))
            assert reply.status == 200, reply
            self.acknowledged[id].append((time.monotonic(), reply.json()["version"]))
            time.sleep(0.005)

    def read(self, seed):
        chance = random.Random(seed)
        connection = Connection(self.reader.base_url)
        text = ",".join(map(str, self.ids))
        while not self.end.is_set():
            id, asked = chance.choice(self.ids), time.monotonic()
            path = chance.choice([f"/api/products/{id}", f"/api/stock?ids={text}"])
            reply = connection.request("GET", path, headers=PLAIN)
            assert reply.status == 200, reply
            body = reply.json()
            self.tiers.add(tier(reply))
            for product in body.get("data", [body]):
                least = self.expected(product["id"], asked)
                if product["version"] < least:
                    self.faults.append(f"version {product['version']}, not {least}: {reply}")

    def guarded(self, work, seed):
        try:
            work(seed)
        except Exception as error:
            self.faults.append(f"{work.__name__}: {type(error).__name__}: {error}")
            self.end.set()

    def run(self, seconds, disturb):
        threads = [
            threading.Thread(target=self.guarded, args=(work, seed), daemon=True)
            for work, count in ((self.write, 2), (self.read, 4))
            for seed in range(count)
        ]
        for thread in threads:
            thread.start()
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.end.is_set():
            disturb()
            self.end.wait(0.3)
        self.end.set()
        for thread in threads:
            thread.join(scaled(30))
            assert not thread.is_alive()
        assert self.faults == [], f"{len(self.faults)} faults: {self.faults[:5]}"


@pytest.mark.quick
@pytest.mark.parametrize("disturbed", ["not", "Redis is emptied", "old states are put back"])
def test_plain_reads_are_never_older_than_the_bound(stack, database, cache, own_reader, disturbed):
    """Redis may do what it likes: the ledger judges what it says."""
    bound = scaled(1)
    ids = database.create_products(4, stock=10)
    cache.make_warm(*ids)
    old = {cache.key(id): cache.redis.get(cache.key(id)) for id in ids}

    def disturb():
        if disturbed == "Redis is emptied":
            cache.redis.flushall()
        elif disturbed == "old states are put back":
            for key, state in old.items():
                cache.redis.set(key, state, px=60_000)

    with own_reader(max_staleness_ms=int(bound * 1000)) as reader:
        race = BoundedRace(stack, reader, ids, bound)
        race.run(4, disturb)
        assert L1 in race.tiers
    assert_ledger_holds(stack)


# -- which tier answers


@pytest.mark.quick
@pytest.mark.parametrize("which", range(6))
def test_the_second_read_comes_from_memory(stack, product, which):
    id, sku = product
    path = paths_of(id, sku)[which]
    reader = stack.reads[0]
    first = reader.get(path, PLAIN)
    assert tier(first) != L1
    with Change(reader) as change:
        second = reader.get(path, PLAIN)
    assert tier(second) == L1, second
    assert second.body == first.body and second.header("ETag") == first.header("ETag")
    assert second.header("Cache-Control") == "no-cache" and age(second) >= 0
    assert change("faststock_cache_requests_total", tier="l1", result="hit") == 1
    assert change("faststock_cache_requests_total", tier="redis") == 0
    assert change("faststock_cache_requests_total", tier="db") == 0


@pytest.mark.quick
@pytest.mark.parametrize("what", ["", "/stock"])
def test_conditions_and_head_from_memory(stack, product, what):
    id, _ = product
    path, reader = f"/api/products/{id}{what}", stack.reads[0]
    get = in_memory(reader, path)
    head = reader.head(path, PLAIN)
    assert (head.status, head.body) == (200, b"") and tier(head) == L1
    for name in ("Content-Type", "Content-Length", "ETag", "Cache-Control", "Cache-Status"):
        assert head.header(name) == get.header(name), name
    assert get.header("Content-Length") == str(len(get.body))
    for condition in ('"1"', 'W/"1"', '"7", "1"', "*"):
        for reply in (
            reader.get(path, {**PLAIN, "If-None-Match": condition}),
            reader.head(path, {**PLAIN, "If-None-Match": condition}),
        ):
            assert (reply.status, reply.body) == (304, b"") and tier(reply) == L1, reply
            assert reply.header("ETag") == '"1"' and reply.header("Content-Type") is None
            assert age(reply) >= 0
    other = reader.get(path, {**PLAIN, "If-None-Match": '"2"'})
    assert (other.status, other.body) == (200, get.body) and tier(other) == L1


@pytest.mark.quick
def test_min_version_comes_on_top(stack, database, product):
    id, _ = product
    reader = stack.reads[0]
    path = f"/api/products/{id}"
    in_memory(reader, path)
    for choice in (None, "max-age=60", "max-stale"):
        assert tier(reader.get(path, asking(choice, **{"Min-Version": "1"}))) == L1
    for version in range(2, 6):
        database.rows("SELECT edit_product(%s, %s)", id, f"Version {version}")
        for choice in (None, "max-age=60", "max-stale", "no-cache"):
            reply = reader.get(path, asking(choice, **{"Min-Version": str(version)}))
            assert reply.json()["version"] == version, reply
    for choice in (None, "max-age=60", "max-stale", "no-cache"):
        reply = reader.get(path, asking(choice, **{"Min-Version": "6"}))
        assert assert_problem(reply, 412)["version"] == 5


@pytest.mark.quick
def test_only_what_is_in_memory(stack, database, product):
    id, sku = product
    reader = stack.reads[0]
    with Change(reader) as change:
        for path in paths_of(id, sku):
            reply = reader.get(path, ONLY_IF_CACHED)
            assert_problem(reply, 504, "not-cached")
            assert reply.header("Retry-After") is None
    assert change("faststock_cache_requests_total", tier="redis") == 0
    assert change("faststock_cache_requests_total", tier="db") == 0
    for path in paths_of(id, sku):
        reader.get(path, PLAIN)
    for path in paths_of(id, sku):
        reply = reader.get(path, ONLY_IF_CACHED)
        assert seen(reply) == (1, 1000) and tier(reply) == L1
    # the two are a contradiction, unless a copy may be asked about
    assert_problem(reader.product(id, asking("only-if-cached, no-cache")), 504, "not-cached")


@pytest.mark.quick
def test_one_of_many_is_not_in_memory(stack, database, product):
    id, _ = product
    other = database.create_product()
    reader = stack.reads[0]
    in_memory(reader, f"/api/products/{id}")
    eventually(lambda: is_listed(reader, other), "the other one is known")
    assert_problem(reader.get(f"/api/stock?ids={id},{other}", ONLY_IF_CACHED), 504, "not-cached")


@pytest.mark.quick
def test_the_catalogue_knows_that_there_is_no_such_product(stack, unknown_id):
    """Without a question to any store, and whichever way is asked."""
    id, reader = unknown_id(), stack.reads[0]
    with Change(reader) as change:
        for headers in (PLAIN, ONLY_IF_CACHED, asking("max-age=60")):
            for path in (f"/api/products/{id}", f"/api/products/{id}/stock"):
                reply = reader.get(path, headers)
                assert_problem(reply, 404)
                assert tier(reply) == "faststock; hit; detail=catalog"
            assert reader.get(f"/api/stock?ids={id}", headers).json()["missing"] == [id]
    assert change("faststock_cache_requests_total", tier="redis") == 0
    assert change("faststock_cache_requests_total", tier="db") == 0
    assert tier(reader.product(id)) != "faststock; hit; detail=catalog"


@pytest.mark.quick
def test_each_read_tells_its_age(stack, database, product, unknown_id):
    id, sku = product
    order, reservation = database.create_order({id: 1}), database.create_reservation({id: 1})
    for path in paths_of(id, sku) + [
        f"/api/products/{id}/movements",
        "/api/changes?limit=1",
        f"/api/orders/{order}",
        "/api/orders/?limit=1",
        f"/api/reservations/{reservation}",
        f"/api/products/{unknown_id()}",
    ]:
        for headers in (PLAIN, None):
            reply = stack.reads[0].get(path, headers)
            assert reply.status in (200, 404)
            assert 0 <= age(reply) <= scaled(2), reply


# -- settings


@pytest.mark.quick
def test_no_staleness_at_all(database, own_reader):
    """max_staleness_ms 0: every read asks PostgreSQL."""
    id = database.create_product(stock=1)
    with own_reader(max_staleness_ms=0) as reader:
        for version in range(2, 6):
            database.rows("SELECT edit_product(%s, %s)", id, f"Version {version}")
            for path in (f"/api/products/{id}", f"/api/stock?ids={id}"):
                for choice in (None, "max-age=60", "no-cache"):
                    reply = reader.get(path, asking(choice))
                    assert seen(reply)[0] == version and tier(reply) == DATABASE, reply
        assert_problem(reader.product(id, ONLY_IF_CACHED), 504, "not-cached")


@pytest.mark.quick
def test_no_memory(database, own_reader):
    id = database.create_product(stock=1)
    with own_reader(l1=0) as reader:
        eventually(lambda: reader.product(id, PLAIN).status == 200, "it is known")
        for _ in range(5):
            assert tier(reader.product(id, PLAIN)) not in (L1, STALE)
        assert_problem(reader.product(id, ONLY_IF_CACHED), 504, "not-cached")


@pytest.mark.quick
@pytest.mark.parametrize("redis", [True, False])
def test_max_age(database, own_reader, redis):
    """A reader that looks into the ledger once an hour: its answers grow old, and who wants a
    newer one gets it."""
    id = database.create_product(stock=1)
    path = f"/api/products/{id}"
    with own_reader(redis=redis, max_staleness_ms=3_600_000, follow_ms=60_000) as reader:
        assert reader.get(path).status == 200
        in_memory(reader, path)
        old = eventually(
            lambda: (reply := reader.get(path, PLAIN)) and age(reply) >= 2 and reply, "it is old"
        )
        assert tier(old) == L1
        for choice in ("max-age=3600", "max-age=99999999999999999999", "max-stale"):
            reply = reader.get(path, asking(choice))
            assert tier(reply) == L1 and age(reply) >= 2
        fresh = reader.get(path, asking("max-age=1"))
        assert age(fresh) <= 1 and tier(fresh) == DATABASE, fresh
        assert age(reader.get(path, PLAIN)) <= age(old) + scaled(2)


# -- PostgreSQL is away


@pytest.fixture
def whole_again(stack):
    yield
    stack.wait_until_whole()
    assert_ledger_holds(stack)


@pytest.mark.parametrize("how", ["stopped", "frozen"])
@pytest.mark.parametrize("redis", [True, False])
def test_answers_grow_old_and_end(stack, database, own_reader, whole_again, how, redis):
    """Fresh, then stale with a growing age, then 503; and fresh again when PostgreSQL is back."""
    id = database.create_product(stock=5)
    limit = int(5 + scaled(3))
    with own_reader(redis=redis, max_staleness_ms=500, stale_if_error_ms=limit * 1000) as reader:
        assert reader.product(id).status == 200
        in_memory(reader, f"/api/products/{id}")
        with getattr(stack, how)("postgres"):
            ages = []

            def is_old():
                reply = reader.product(id, PLAIN)
                assert seen(reply) == (1, 5)
                if tier(reply) == STALE:
                    ages.append(age(reply))
                return ages and ages[-1] >= 2

            eventually(is_old, "the age grows")
            assert ages == sorted(ages)
            for path in (f"/api/products/{id}/stock", f"/api/stock?ids={id}"):
                reply = reader.get(path, PLAIN)
                assert seen(reply) == (1, 5) and tier(reply) == STALE and age(reply) >= 2
            for choice in ("no-cache", "max-age=1"):  # there is nothing better
                reply = reader.product(id, asking(choice))
                assert seen(reply) == (1, 5) and tier(reply) == STALE and age(reply) >= 2
            reply = reader.get(f"/api/products/{id}", {**PLAIN, "If-None-Match": '"1"'})
            assert reply.status == 304 and tier(reply) == STALE
            ended = eventually(
                lambda: (reply := reader.product(id, PLAIN)).status == 503 and reply,
                "it is too old",
                timeout=40,
            )
            assert_problem(ended, 503, "unavailable")
            for choice in ("max-stale", "max-stale=99999", "no-cache", "max-age=1"):
                assert_problem(reader.product(id, asking(choice)), 503, "unavailable")
            assert_problem(reader.product(id, ONLY_IF_CACHED), 504, "not-cached")
        eventually(lambda: tier(in_memory(reader, f"/api/products/{id}")) == L1, "it is fresh")


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_less_fresh_than_asked_for_is_marked(stack, database, own_reader, whole_again, how):
    """Also when a plain read would still be fresh."""
    id = database.create_product(stock=5)
    with own_reader(redis=False, max_staleness_ms=3_600_000) as reader:
        in_memory(reader, f"/api/products/{id}")
        with getattr(stack, how)("postgres"):
            eventually(lambda: age(reader.product(id, PLAIN)) >= 2, "two seconds have passed")
            for choice in ("no-cache", "max-age=0", "max-age=1"):
                for path in (f"/api/products/{id}", f"/api/stock?ids={id}"):
                    reply = reader.get(path, asking(choice))
                    assert seen(reply) == (1, 5) and tier(reply) == STALE and age(reply) >= 2
            for choice in (PLAIN, asking("max-age=3600")):
                assert tier(reader.product(id, choice)) == L1


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_max_stale_is_answered_at_once(stack, database, own_reader, whole_again, how):
    """By those who would rather have something old: no store is asked."""
    id = database.create_product(stock=5)
    with own_reader(max_staleness_ms=200) as reader:
        assert reader.product(id).status == 200
        in_memory(reader, f"/api/products/{id}")
        with getattr(stack, how)("postgres"):
            eventually(
                lambda: tier(reader.product(id, asking("max-stale"))) == STALE, "it is stale"
            )
            with Change(reader) as change:
                for choice in ("max-stale", "max-stale=250", "only-if-cached, max-stale"):
                    reply = reader.product(id, asking(choice))
                    assert seen(reply) == (1, 5) and tier(reply) == STALE, reply
            assert change("faststock_cache_requests_total", tier="redis") == 0
            assert change("faststock_cache_requests_total", tier="db") == 0
        eventually(lambda: tier(reader.product(id, PLAIN)) == L1, "it is fresh again")


def test_what_no_memory_has_is_unavailable(stack, database, own_reader, whole_again):
    known, unread = database.create_products(2, stock=5)
    with own_reader(redis=False) as reader:
        assert reader.product(known).status == 200
        eventually(lambda: is_listed(reader, unread), "the other one is known")
        with stack.stopped("postgres"):
            for choice in (None, "max-stale", "no-cache"):
                assert_problem(reader.product(unread, asking(choice)), 503, "unavailable")
                reply = reader.get(f"/api/stock?ids={known},{unread}", asking(choice))
                assert_problem(reply, 503, "unavailable")


# -- which products there are


def create(writer):
    mug = {"sku": uuid.uuid4().hex, "name": "Mug", "price": "1.00", "stock": 5}
    reply = insist(lambda: writer.post("/api/catalog/products", mug))
    assert reply.status == 201, reply
    return reply.json()["id"]


@pytest.mark.quick
@pytest.mark.parametrize("choice", ["no-cache", "max-age=0"])
def test_a_list_knows_what_was_created_and_deleted_before(stack, database, choice):
    """Each reader, at once."""
    for step in range(20):
        writer = stack.writes[step % 2]
        id = create(writer)
        path = f"/api/products?after={id - 1}&limit=1"
        for reader in stack.reads:
            (product,) = reader.get(path, asking(choice)).json()["data"]
            assert product["id"] == id
        assert writer.request("DELETE", f"/api/catalog/products/{id}").status == 204
        for reader in stack.reads:
            reply = reader.get(path, asking(choice))
            assert reply.status == 200 and [p for p in reply.json()["data"] if p["id"] == id] == []


@pytest.mark.quick
def test_a_plain_list_hears_of_a_creation_by_the_change_stream(stack, own_reader):
    """Long before the catalogue's own round."""
    with own_reader(catalog={"refresh_ms": 60_000}) as reader:
        for _ in range(3):
            id = create(stack.writes[0])
            path = f"/api/products?after={id - 1}&limit=1"
            eventually(
                lambda: [p["id"] for p in reader.get(path, PLAIN).json()["data"]] == [id],
                "the product is listed",
            )


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_a_list_that_cannot_be_as_fresh_as_wished_is_marked(
    stack, database, own_reader, whole_again, how
):
    id = database.create_product(stock=5)
    path = f"/api/products?after={id - 1}&limit=1"
    with own_reader(redis=False, max_staleness_ms=3_600_000) as reader:
        in_memory(reader, path)
        with getattr(stack, how)("postgres"):
            eventually(lambda: age(reader.get(path, PLAIN)) >= 2, "two seconds have passed")
            for choice in ("no-cache", "max-age=0", "max-age=1"):
                reply = reader.get(path, asking(choice))
                assert seen(reply) == (1, 5) and tier(reply) == STALE and age(reply) >= 2
            assert tier(reader.get(path, PLAIN)) == L1


def test_a_list_that_waited_in_vain_is_marked(stack, own_reader, whole_again):
    """PostgreSQL is frozen, and so recently that nothing else tells of it yet."""
    nothing = f"/api/products?after={2**62}"
    with own_reader(redis=False) as reader:
        eventually(lambda: tier(reader.get(nothing, PLAIN)) == CATALOG, "the reader knows of it")
        with stack.frozen("postgres"):
            reply = reader.get(nothing, asking("no-cache"))
            assert reply.status == 200 and reply.json()["data"] == []
            assert tier(reply) == STALE


@pytest.mark.quick
def test_a_list_of_a_reader_that_believes_no_cache(stack, database, own_reader):
    id = database.create_product(stock=5)
    with own_reader(max_staleness_ms=0) as reader:
        for _ in range(3):
            reply = reader.get(f"/api/products?after={id - 1}&limit=1", PLAIN)
            assert seen(reply) == (1, 5) and tier(reply) == DATABASE
            id = database.create_product(stock=5)
