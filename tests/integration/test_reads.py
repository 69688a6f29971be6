"""Reads of single products, of stock, and the headers that every read has."""

import re
import uuid
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest

from support.http_client import PRODUCT_FIELDS
from support.metrics_text import Change, scrape
from support.problems import assert_problem
from support.service_process import ServiceProcess
from support.timing import eventually

pytestmark = pytest.mark.quick

RFC3339_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")


def parse_time(text):
    assert RFC3339_UTC.fullmatch(text), text
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def assert_common_read_headers(reply):
    assert reply.header("Content-Type") == "application/json"
    assert reply.header("Cache-Control") == "no-cache"
    assert reply.header("Cache-Status").startswith("faststock; ")
    assert reply.header("X-Request-Id")


# -- bodies


def test_product_is_what_the_database_holds(read, database):
    id = database.create_product(name='Käse "alt" \\ 🧀\t<b>', price="12.50", stock=7)
    reply = read.product(id)
    assert reply.status == 200
    assert_common_read_headers(reply)
    body, row = reply.json(), database.product(id)
    assert list(body) == PRODUCT_FIELDS
    assert {key: body[key] for key in ("id", "sku", "name", "stock", "reserved", "version")} == {
        "id": id,
        "sku": None,
        "name": 'Käse "alt" \\ 🧀\t<b>',
        "stock": 7,
        "reserved": 0,
        "version": 1,
    }
    assert reply.header("ETag") == '"1"'
    for field, column in (("createdAt", "created_at"), ("updatedAt", "updated_at")):
        assert abs(parse_time(body[field]) - row[column]) < timedelta(milliseconds=1)
    assert abs(datetime.now(timezone.utc) - parse_time(body["createdAt"])) < timedelta(minutes=5)


@pytest.mark.parametrize("sku", ["A", "x" * 32, "Mug \"12\"\\5 <'&;=%+#>", "~! -"])
def test_sku_and_reserved_from_every_tier(stack, database, known_redis, sku):
    """From PostgreSQL, from Redis, and as the publication of a change put it there."""
    sku = f"{sku}{uuid.uuid4().hex}"
    id = database.create_product(stock=7, sku=sku)
    database.create_reservation({id: 3})
    stack.wait_for_relay()
    for source in ("detail=db", "detail=redis"):
        reply = stack.reads[0].product(id)
        assert reply.header("Cache-Status").endswith(source)
        assert reply.json()["sku"] == sku
        assert (reply.json()["stock"], reply.json()["reserved"]) == (4, 3)
    assert stack.writes[0].update_stock(id, {"delta": 1}).status == 200
    reply = stack.reads[0].product(id)
    assert reply.header("Cache-Status").endswith("detail=redis")
    assert (reply.json()["sku"], reply.json()["stock"], reply.json()["reserved"]) == (sku, 5, 3)


def test_an_entry_of_the_form_before_is_a_miss(stack, database, cache):
    """Readers of the version before share one Redis with these in a rolling update."""
    id = database.create_product(stock=7)
    cache.make_warm(id)
    entry = cache.redis.get(cache.key(id))
    assert entry[20:23] == b" q ", "the letter of this version's form"
    cache.redis.set(cache.key(id), entry[:20] + b" p 7 1\n{\"id\":%d,\"stock\":7}" % id)
    reply = stack.reads[0].product(id)
    assert reply.header("Cache-Status").endswith("detail=db")
    assert list(reply.json()) == PRODUCT_FIELDS
    assert cache.redis.get(cache.key(id))[20:23] == b" q "


@pytest.mark.parametrize(
    "price", ["0.00", "0.01", "0.10", "1.00", "9.90", "1234567.05", "9999999999.99"]
)
def test_price_is_a_number_with_exactly_two_decimals(stack, database, price):
    id = database.create_product(price=price)
    # From the database, then from Redis.
    for client in (stack.reads[0], stack.reads[0], stack.reads[1]):
        reply = client.product(id)
        assert f'"price":{price},' in reply.body.decode().replace('"price": ', '"price":')
        assert reply.json()["price"] == Decimal(price)
    listed = eventually(
        lambda: stack.reads[0].get(f"/api/products?after={id - 1}&limit=1").json()["data"],
        "it is listed",
    )
    assert str(listed[0]["price"]) == price


def test_longest_name(read, database):
    name = "Ж" * 200
    assert read.product(database.create_product(name=name)).json()["name"] == name


def test_largest_stock(read, database):
    id = database.create_product(stock=2**53 - 1)
    assert read.stock(id).json()["stock"] == 9007199254740991


def test_stock(read, database):
    id = database.create_product(stock=3)
    reply = read.stock(id)
    assert reply.status == 200
    assert_common_read_headers(reply)
    assert reply.json() == {"id": id, "stock": 3, "version": 1}
    assert reply.header("ETag") == '"1"'


def test_no_product_has_that_id(read, unknown_id):
    id = unknown_id()
    assert_problem(read.product(id), 404)
    assert_problem(read.stock(id), 404)


def test_largest_id_is_only_unknown(read):
    assert_problem(read.product(9223372036854775807), 404)


def test_deleted_product_is_gone(stack, database):
    id = database.create_product(stock=3)
    database.rows("SELECT delete_product(%s)", id)
    stack.wait_for_relay()  # it may have had the product in its hands just then
    for client in stack.reads:
        assert_problem(client.product(id), 404)
        assert_problem(client.stock(id), 404)
        assert client.get(f"/api/stock?ids={id}").json() == {"data": [], "missing": [id]}


# -- stock of many


def test_stock_of_many_in_the_order_asked(read, database, unknown_id):
    first, second, third = database.create_products(3, stock=4)
    missing = unknown_id()
    reply = read.get(f"/api/stock?ids={third},{first},{missing},{second}")
    assert reply.status == 200
    assert_common_read_headers(reply)
    body = reply.json()
    assert list(body) == ["data", "missing"]
    assert body["data"] == [{"id": id, "stock": 4, "version": 1} for id in (third, first, second)]
    assert body["missing"] == [missing]


def test_stock_of_many_with_duplicates(read, database, unknown_id):
    """An id that is asked for twice is either answered twice or once, but the same in all its
    answers."""
    id, missing = database.create_product(stock=4), unknown_id()
    body = read.get(f"/api/stock?ids={id},{missing},{id},{missing}").json()
    entry = {"id": id, "stock": 4, "version": 1}
    assert (body["data"], body["missing"]) in (
        ([entry], [missing]),
        ([entry, entry], [missing, missing]),
    )


def test_stock_of_100_is_the_most(read, database):
    ids = database.create_products(101, stock=1)
    text = ",".join(map(str, ids[:100]))
    body = read.get(f"/api/stock?ids={text}").json()
    assert [entry["id"] for entry in body["data"]] == ids[:100] and body["missing"] == []
    assert_problem(read.get(f"/api/stock?ids={text},{ids[100]}"), 400, field="ids")


def test_stock_of_only_unknown_ones(read, unknown_id):
    ids = [unknown_id(), unknown_id()]
    assert read.get(f"/api/stock?ids={ids[0]},{ids[1]}").json() == {"data": [], "missing": ids}


# -- conditional requests


@pytest.mark.parametrize("what", ["", "/stock"])
@pytest.mark.parametrize(
    "condition, status",
    [
        ('"1"', 304),
        ('W/"1"', 304),
        ("*", 304),
        ('"0", "1", "2"', 304),
        ('"x",W/"1"', 304),
        ('  "1"  ', 304),
        ('"2"', 200),
        ('"11"', 200),
        ('W/"11"', 200),
        ("1", 200),
        ('"a", "b"', 200),
    ],
)
def test_if_none_match(read, database, what, condition, status):
    id = database.create_product()
    reply = read.get(f"/api/products/{id}{what}", {"If-None-Match": condition})
    assert reply.status == status
    assert reply.header("ETag") == '"1"'
    assert reply.header("Cache-Control") == "no-cache"
    assert reply.header("Cache-Status").startswith("faststock; ")
    if status == 304:
        assert reply.body == b""
        assert reply.header("Content-Type") is None
    else:
        assert reply.json()["id"] == id


def test_if_none_match_of_an_unknown_product(read, unknown_id):
    assert_problem(read.get(f"/api/products/{unknown_id()}", {"If-None-Match": "*"}), 404)


def test_etag_changes_with_every_change(read, stack, database):
    id = database.create_product(stock=1)
    old = read.product(id).header("ETag")
    stack.writes[0].update_stock(id, {"delta": 1})
    reply = read.get(f"/api/products/{id}", {"If-None-Match": old})
    assert reply.status == 200 and reply.header("ETag") == '"2"'


@pytest.mark.parametrize(
    "path",
    [
        "/api/products/{id}",
        "/api/products/{id}/stock",
        "/api/stock?ids={id}",
        "/api/products?limit=2",
    ],
)
def test_head_is_get_without_body(read, database, path):
    path = path.format(id=database.create_product())

    def is_the_same():
        get, head = read.get(path), read.head(path)
        assert head.status == 200 and head.body == b""
        assert get.header("Content-Length") == str(len(get.body))
        names = ("Content-Type", "Content-Length", "ETag", "Cache-Control")
        return [head.header(name) for name in names] == [get.header(name) for name in names]

    # not at once: readers count a new product at different moments, and a page tells the count
    eventually(is_the_same, "HEAD has the headers of GET")


def test_head_of_what_is_not_there(read, unknown_id):
    reply = read.head(f"/api/products/{unknown_id()}")
    assert reply.status == 404 and reply.body == b""
    assert reply.header("Content-Type") == "application/problem+json"


def test_head_with_condition(read, database):
    id = database.create_product()
    assert read.head(f"/api/products/{id}", {"If-None-Match": '"1"'}).status == 304


# -- which tier answers


@pytest.mark.parametrize("what", ["", "/stock"])
def test_database_first_then_redis(stack, cold_product, what):
    path = f"/api/products/{cold_product}{what}"
    first, second = stack.reads
    with Change(first) as change:
        assert first.get(path).header("Cache-Status") == "faststock; fwd=miss; detail=db"
    assert change("faststock_cache_requests_total", tier="redis", result="miss") == 1
    assert change("faststock_cache_requests_total", tier="db", result="hit") == 1
    assert change("faststock_load_batch_size_sum", tier="db") == 1
    # Redis is filled when the answer is on its way already.
    eventually(
        lambda: scrape(first).value("faststock_cache_fills_total", result="stored") > 0,
        "it is filled",
    )
    for client in (first, second):  # what one has loaded serves the other
        with Change(client) as change:
            assert client.get(path).header("Cache-Status") == "faststock; hit; detail=redis"
        assert change("faststock_cache_requests_total", tier="redis", result="hit") == 1
        assert change("faststock_cache_requests_total", tier="db") == 0


def test_a_write_puts_the_product_into_redis(stack, cold_product):
    with Change(*stack.writes) as change:
        assert stack.writes[0].update_stock(cold_product, {"delta": -1}).status == 200
    assert change("faststock_publish_total", result="stored") == 1
    reply = stack.reads[0].product(cold_product)
    assert reply.header("Cache-Status") == "faststock; hit; detail=redis"
    assert (reply.json()["stock"], reply.json()["version"]) == (2, 2)
    assert PRODUCT_FIELDS == list(reply.json())


def test_an_unknown_id_costs_one_database_load(stack, cache, unknown_id):
    id = unknown_id()
    first, second = stack.reads
    published = {"Cache-Control": "no-cache"}
    with Change(first, second) as change:
        assert_problem(first.product(id, published), 404)
        assert cache.redis.pexpire(
            cache.key(id), 600_000
        ), "Redis knows it, and does not forget it before the end of this test"
        for client in (first, second, first):
            assert_problem(client.product(id, published), 404)
            assert_problem(client.stock(id, published), 404)
    assert change("faststock_load_batch_size_sum", tier="db") == 1


def test_an_unknown_id_costs_no_store_anything(stack, unknown_id):
    reader = stack.reads[0]
    with Change(reader) as change:
        for _ in range(3):
            reply = reader.product(unknown_id(), {"Cache-Control": "max-age=1"})
            assert_problem(reply, 404)
            assert reply.header("Cache-Status") == "faststock; hit; detail=catalog"
    assert change("faststock_cache_requests_total", tier="catalog", result="miss") == 3
    assert change("faststock_load_batch_size_count", tier="redis") == 0


def test_an_id_that_may_be_new_is_asked_for(stack, database):
    id = database.create_product(stock=7)
    reply = stack.reads[0].stock(id, {"Cache-Control": "max-age=1"})
    assert (reply.status, reply.json()["stock"]) == (200, 7)


def test_min_version_that_the_cache_has(stack, database):
    id = database.create_product(stock=1)
    version = stack.writes[0].update_stock(id, {"delta": 1}).json()["version"]
    reply = stack.reads[0].product(id, {"Min-Version": str(version)})
    assert reply.json()["version"] == version
    assert reply.header("Cache-Status") == "faststock; hit; detail=redis"


@pytest.mark.parametrize("what", ["", "/stock"])
def test_min_version_passes_an_older_cache_by(stack, database, cache, tmp_path, what):
    """Redis is given an old state by hand, as a failover may do, and the reader does not hear of
    the change: only Min-Version makes it look behind the state."""
    id = database.create_product(stock=5)
    path = f"/api/products/{id}{what}"
    deaf = {
        "database": {"url": stack.env["DATABASE_URL"]},
        "redis": {"url": stack.env["REDIS_URL"]},
        "freshness": {"follow_ms": 60_000, "max_staleness_ms": 60_000},
        "l1": {"bytes_max": 0},
    }
    cache.make_warm(id)
    old = cache.redis.get(cache.key(id))
    with ServiceProcess("read-svc", tmp_path, deaf) as service:
        reader = service.client
        version = stack.writes[0].update_stock(id, {"delta": -2}).json()["version"]
        stack.wait_for_relay()  # which removes an older state
        cache.redis.set(cache.key(id), old, px=60_000)
        assert reader.get(path).json()["version"] == 1
        check_min_version(service, path, version)
    for client in stack.reads:  # and the newer one is in Redis now
        assert client.get(path).json()["version"] == 2


def check_min_version(service, path, version):
    reader = service.client
    with Change(service.ops) as change:
        reply = reader.get(path, {"Min-Version": str(version)})
    assert (reply.json()["version"], reply.json()["stock"]) == (2, 3)
    assert reply.header("Cache-Status").startswith("faststock; fwd=") and reply.header(
        "Cache-Status"
    ).endswith("; detail=db")
    # Not new enough.
    assert change("faststock_cache_requests_total", tier="redis", result="hit") == 1
    assert change("faststock_cache_requests_total", tier="db", result="hit") == 1


def test_min_version_that_does_not_exist_yet(stack, database):
    """Not even PostgreSQL has it: that is said, with the version there is."""
    id = database.create_product(stock=5)
    with Change(stack.reads[0]) as change:
        for path in (f"/api/products/{id}", f"/api/products/{id}/stock"):
            assert (
                assert_problem(stack.reads[0].get(path, {"Min-Version": "2"}), 412)["version"] == 1
            )
    assert change("faststock_load_batch_size_sum", tier="db") == 2


def test_redis_entries_live_for_a_bounded_time(stack, cache, cold_product):
    stack.reads[0].product(cold_product)
    eventually(lambda: cache.has(cold_product), "Redis is filled")
    assert 0 < cache.redis.pttl(cache.key(cold_product)) <= 75_000  # cache.ttl_ms, jittered


def test_an_evicted_entry_comes_back(stack, cache, cold_product):
    reader = stack.reads[0]
    reader.product(cold_product)
    eventually(lambda: cache.has(cold_product), "Redis is filled")
    assert cache.evict(cold_product) == 1
    assert reader.product(cold_product).header("Cache-Status") == "faststock; fwd=miss; detail=db"
    assert reader.product(cold_product).header("Cache-Status") == "faststock; hit; detail=redis"


@pytest.mark.parametrize(
    "junk", [b"", b"junk", b"\x00" * 64, b"9" * 5000, b"99999999999999999999|{}"]
)
def test_a_spoilt_entry_is_never_served(stack, cache, cold_product, junk):
    cache.redis.set(cache.key(cold_product), junk, ex=60)
    assert stack.reads[0].product(cold_product).header("Cache-Status").endswith("detail=db")
    for client in stack.reads:
        reply = client.product(cold_product)
        assert reply.status == 200 and reply.json()["stock"] == 3, reply
    cache.evict(cold_product)


def test_an_entry_of_another_type_is_never_served(stack, cache, cold_product):
    cache.redis.rpush(cache.key(cold_product), "a", "list")
    for client in stack.reads:
        assert client.product(cold_product).json()["stock"] == 3
    cache.evict(cold_product)
