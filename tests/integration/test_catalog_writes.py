"""/api/catalog/products: products are created, edited and deleted; what readers see of it."""

import json
import uuid
from decimal import Decimal

import pytest

from support.http_client import in_parallel
from support.ledger import assert_product_ledger
from support.problems import assert_problem
from support.raw_http import exchange, request_bytes
from support.service_process import ServiceProcess
from support.timing import eventually

pytestmark = pytest.mark.quick

PATH = "/api/catalog/products"
STOCK_MAX = 2**53 - 1
JSON = {"Content-Type": "application/json"}


def new(**changed):
    return {"name": "Blue mug", "price": 12.5, "stock": 7, **changed}


def an_sku():
    return "t-" + uuid.uuid4().hex


def create(client, **changed):
    reply = client.post(PATH, new(**changed))
    assert reply.status == 201, reply
    return reply.json()


def edit(client, id, body, headers=None):
    return client.request("PATCH", f"{PATH}/{id}", body, headers)


def delete(client, id, headers=None):
    return client.request("DELETE", f"{PATH}/{id}", None, headers)


def kinds(database, id):
    return [movement["kind"] for movement in database.movements(id)]


# -- create


def test_create(write, stack, database):
    sku = an_sku()
    reply = write.post(PATH, new(sku=sku))
    assert reply.status == 201, reply
    assert reply.header("Content-Type") == "application/json"
    assert reply.header("ETag") == '"1"' and reply.header("Cache-Control") == "no-store"
    product = reply.json()
    assert reply.header("Location") == f"/api/products/{product['id']}"
    assert b'"price":12.50,' in reply.body
    assert {key: product[key] for key in ("sku", "name", "price", "stock", "reserved")} == {
        "sku": sku,
        "name": "Blue mug",
        "price": Decimal("12.50"),
        "stock": 7,
        "reserved": 0,
    }
    assert product["version"] == 1
    for reader in (*stack.reads, stack.edge):
        assert reader.get(reply.header("Location")).json() == product
    assert_product_ledger(database, product["id"], 7, [])
    assert kinds(database, product["id"]) == ["created"]


@pytest.mark.parametrize("sku", [None, "a", "A b", "~!" + "x" * 61 + "."])
def test_skus(stack, database, sku):
    if sku is not None:
        database.rows(
            "SELECT delete_product(id) FROM products WHERE sku = %s AND deleted_at IS NULL", sku
        )
    product = create(stack.writes[0], sku=sku)
    assert product["sku"] == sku and database.product(product["id"])["sku"] == sku


def test_an_sku_is_there_once(write, stack, database):
    sku = an_sku()
    first = create(stack.writes[1], sku=sku)
    assert_problem(write.post(PATH, new(sku=sku)), 409, "sku-taken")
    assert delete(write, first["id"]).status == 204
    second = create(write, sku=sku)
    assert second["id"] != first["id"]


def test_one_of_many_gets_an_sku(stack, database):
    sku = an_sku()
    replies = in_parallel(16, lambda i: stack.writes[i % 2].post(PATH, new(sku=sku)))
    assert sorted(reply.status for reply in replies) == [201] + [409] * 15
    assert len(database.rows("SELECT id FROM products WHERE sku = %s", sku)) == 1


PRICES = [
    ("0", "0.00"),
    ("0.29", "0.29"),
    ("4.35", "4.35"),
    ("1.1", "1.10"),
    ("12.500", "12.50"),
    ("125e-1", "12.50"),
    ("9999999999.99", "9999999999.99"),
    ('"0.29"', "0.29"),
    ('"7"', "7.00"),
    ('"9999999999.99"', "9999999999.99"),
]


@pytest.mark.parametrize("sent, kept", PRICES)
def test_prices_are_exact(stack, database, sent, kept):
    body = b'{"name":"x","stock":1,"price":%s}' % sent.encode()
    reply = stack.writes[0].post(PATH, body, JSON)
    assert reply.status == 201, reply
    assert b'"price":%s,' % kept.encode() in reply.body
    assert str(database.product(reply.json()["id"])["price"]) == kept
    assert b'"price":%s,' % kept.encode() in stack.reads[0].product(reply.json()["id"]).body


BAD = [
    ("name", {"name": ""}),
    ("name", {"name": "x" * 201}),
    ("name", {"name": 7}),
    ("name", {"name": None}),
    ("price", {"price": -0.01}),
    ("price", {"price": 0.001}),
    ("price", {"price": 10**10}),
    ("price", {"price": "1,5"}),
    ("price", {"price": ""}),
    ("price", {"price": None}),
    ("price", {"price": True}),
    ("stock", {"stock": -1}),
    ("stock", {"stock": 1.5}),
    ("stock", {"stock": STOCK_MAX + 1}),
    ("stock", {"stock": "1"}),
    ("sku", {"sku": ""}),
    ("sku", {"sku": "x" * 65}),
    ("sku", {"sku": " a"}),
    ("sku", {"sku": "a "}),
    ("sku", {"sku": "a,b"}),
    ("sku", {"sku": "é"}),
    ("sku", {"sku": "a\tb"}),
    ("sku", {"sku": 1}),
    ("id", {"id": 1}),
    ("version", {"version": 1}),
]


@pytest.mark.parametrize("field, changed", BAD, ids=lambda value: str(value)[:30])
def test_bad_products(stack, database, field, changed):
    before = database.row("SELECT count(*) FROM products")
    assert_problem(stack.writes[0].post(PATH, new(**changed)), 400, field=field)
    assert database.row("SELECT count(*) FROM products") == before


@pytest.mark.parametrize("field", ["name", "price", "stock"])
def test_required_fields(stack, field):
    body = new()
    del body[field]
    assert_problem(stack.writes[0].post(PATH, body), 400, field=field)


def test_the_largest_product(stack, database):
    product = create(
        stack.writes[0], name="Ж" * 200, price="9999999999.99", stock=STOCK_MAX, sku=an_sku()
    )
    assert stack.reads[0].product(product["id"]).json() == product


def test_texts_come_back(stack):
    name = 'Das "große" \\ 📦\n\t<&>'
    product = create(stack.writes[0], name=name)
    assert product["name"] == name == stack.reads[0].product(product["id"]).json()["name"]


def test_a_created_product_was_cached_as_missing(stack, database, cache):
    """By its id: a reader has asked for it before it was made."""
    newest = create(stack.writes[0])["id"]
    for ahead in range(3, 0, -1):
        id = newest + ahead
        assert_problem(stack.reads[0].product(id), 404)
    made = {}
    while newest + 1 not in made:
        product = create(stack.writes[1])
        made[product["id"]] = product
        for reader in stack.reads:
            assert reader.product(product["id"]).json() == product
        assert product["id"] <= newest + 1 or newest + 1 in made


def test_an_sku_is_found_as_soon_as_it_is_there(stack):
    """And no longer than that, by readers that have asked for it before."""
    sku = an_sku()

    def found():
        replies = [reader.get(f"/api/products?sku={sku}").json() for reader in stack.reads]
        return [[product["id"] for product in reply["data"]] for reply in replies]

    for writer in stack.writes:
        assert found() == [[], []]
        first = create(writer, sku=sku)["id"]
        assert found() == [[first], [first]]
        assert delete(writer, first).status == 204
        assert found() == [[], []]
    line = json.dumps(new(sku=sku)).encode()
    headers = {"Content-Type": "application/x-ndjson"}
    reply = stack.writes[0].post("/api/catalog/import", line, headers)
    second = json.loads(reply.body.splitlines()[0])["id"]
    assert found() == [[second], [second]] and second != first


def test_a_created_product_is_in_lists(stack):
    id = create(stack.writes[0])["id"]
    for reader in stack.reads:
        eventually(
            lambda: id
            in [p["id"] for p in reader.get(f"/api/products?after={id - 1}").json()["data"]],
            "the list has it",
        )


def test_the_same_key_creates_once(write, database):
    sku, headers = an_sku(), {"Idempotency-Key": uuid.uuid4().hex}
    first = write.post(PATH, new(sku=sku), headers)
    again = write.post(PATH, new(sku=sku), headers)
    assert (first.status, again.status) == (201, 201)
    assert again.body == first.body and again.header("Idempotency-Replayed") == "true"
    assert again.header("Location") == first.header("Location")
    assert len(database.rows("SELECT id FROM products WHERE sku = %s", sku)) == 1


# -- edit


def test_edit(write, stack, database):
    product = create(stack.writes[0], sku=an_sku())
    reply = edit(write, product["id"], {"name": "Red mug", "price": "0.29"})
    assert reply.status == 200 and reply.header("ETag") == '"2"', reply
    edited = reply.json()
    assert edited == {
        **product,
        "name": "Red mug",
        "price": Decimal("0.29"),
        "version": 2,
        "updatedAt": edited["updatedAt"],
    }
    for reader in (*stack.reads, stack.edge):
        assert reader.product(product["id"]).json() == edited
    assert_product_ledger(database, product["id"], 7, [0])
    assert kinds(database, product["id"]) == ["created", "edited"]


@pytest.mark.parametrize(
    "body, name, price", [({"name": "New"}, "New", "12.50"), ({"price": 3}, "Blue mug", "3.00")]
)
def test_edit_of_one_field(stack, database, body, name, price):
    id = create(stack.writes[0])["id"]
    assert edit(stack.writes[0], id, body).json()["name"] == name
    row = database.product(id)
    assert (row["name"], str(row["price"]), row["stock"]) == (name, price, 7)


def test_if_match(write, stack, database):
    id = create(stack.writes[0])["id"]
    problem = assert_problem(edit(write, id, {"price": 1}, {"If-Match": '"2"'}), 412)
    assert problem["version"] == 1
    assert_problem(delete(write, id, {"If-Match": '"2"'}), 412)
    assert edit(write, id, {"price": 1}, {"If-Match": '"7", "1"'}).json()["version"] == 2
    assert edit(write, id, {"price": 2}, {"If-Match": "*"}).json()["version"] == 3
    assert_problem(delete(write, id, {"If-Match": '"1"'}), 412)
    assert_problem(delete(write, id, {"If-Match": "3"}), 400, field="If-Match")
    assert_problem(edit(write, id, {"price": 1}, {"If-Match": "3"}), 400, field="If-Match")
    assert delete(write, id, {"If-Match": '"3"'}).status == 204
    assert kinds(database, id) == ["created", "edited", "edited", "deleted"]


@pytest.mark.parametrize(
    "field, body",
    [
        ("name", {}),
        ("name", {"name": None}),
        ("name", {"name": ""}),
        ("price", {"price": 1.005}),
        ("stock", {"stock": 1}),
        ("sku", {"sku": "A"}),
        ("id", {"id": 1}),
    ],
    ids=str,
)
def test_bad_edits(stack, database, field, body):
    id = create(stack.writes[0])["id"]
    assert_problem(edit(stack.writes[0], id, body), 400, field=field)
    assert kinds(database, id) == ["created"]


def test_only_one_of_two_editors_wins(stack, database):
    id = create(stack.writes[0])["id"]
    replies = in_parallel(
        8, lambda i: edit(stack.writes[i % 2], id, {"price": i}, {"If-Match": '"1"'})
    )
    assert sorted(reply.status for reply in replies) == [200] + [412] * 7
    assert kinds(database, id) == ["created", "edited"]


def test_edits_and_stock_changes_together(stack, database):
    id = create(stack.writes[0], stock=0)["id"]

    def change(i):
        client = stack.writes[i % 2]
        if i % 4 < 2:
            return client.update_stock(id, {"delta": 1})
        return edit(client, id, {"price": i})

    replies = in_parallel(32, change)
    assert {reply.status for reply in replies} == {200}
    assert sorted(reply.json()["version"] for reply in replies) == list(range(2, 34))
    assert database.product(id)["stock"] == 16
    for reader in stack.reads:
        assert reader.product(id).json()["version"] == 33


# -- delete


def test_delete(write, stack, database):
    id = create(stack.writes[0], sku=an_sku())["id"]
    for reader in stack.reads:
        assert reader.product(id).status == 200
    reply = delete(write, id)
    assert (reply.status, reply.body) == (204, b""), reply
    for reader in (*stack.reads, stack.edge):
        assert_problem(reader.product(id), 404)
        assert_problem(reader.stock(id), 404)
    assert kinds(database, id) == ["created", "deleted"]
    assert_problem(delete(write, id), 404)
    assert_problem(edit(write, id, {"price": 1}), 404)
    assert_problem(write.update_stock(id, {"delta": 1}), 404)
    assert database.product(id)["stock"] == 7


def test_a_deleted_product_leaves_the_lists(stack):
    id = create(stack.writes[0])["id"]
    listed = lambda reader: id in [
        p["id"] for p in reader.get(f"/api/products?after={id - 1}").json()["data"]
    ]
    for reader in stack.reads:
        eventually(lambda: listed(reader), "the list has it")
    assert delete(stack.writes[0], id).status == 204
    for reader in stack.reads:
        eventually(lambda: not listed(reader), "the list has it no more")


def test_a_product_with_reserved_units_stays(stack, database):
    id = create(stack.writes[0])["id"]
    database.rows("UPDATE products SET stock = 5, reserved = 2 WHERE id = %s", id)
    try:
        problem = assert_problem(delete(stack.writes[0], id), 409, "reserved")
        assert (problem["stock"], problem["reserved"], problem["version"]) == (5, 2, 1)
    finally:
        database.rows("UPDATE products SET stock = 7, reserved = 0 WHERE id = %s", id)
    assert delete(stack.writes[0], id).status == 204


def test_one_of_many_deletes(stack, database):
    id = create(stack.writes[0])["id"]
    replies = in_parallel(8, lambda i: delete(stack.writes[i % 2], id))
    assert sorted(reply.status for reply in replies) == [204] + [404] * 7
    assert kinds(database, id) == ["created", "deleted"]


def test_unknown_products(write, unknown_id):
    assert_problem(edit(write, unknown_id(), {"price": 1}), 404)
    assert_problem(delete(write, unknown_id()), 404)
    for id in ("0", "x", "1.0", "9223372036854775808"):
        assert_problem(edit(write, id, {"price": 1}), 400, field="id")
        assert_problem(delete(write, id), 400, field="id")


def test_repeats_under_one_key(write, stack, database):
    id = create(stack.writes[0])["id"]
    key = {"Idempotency-Key": uuid.uuid4().hex}
    assert edit(write, id, {"price": 2}, key).json()["version"] == 2
    again = edit(write, id, {"price": 2}, key)
    assert again.header("Idempotency-Replayed") == "true" and again.json()["version"] == 2
    assert_problem(edit(write, id, {"price": 3}, key), 422, "key-reused")
    key = {"Idempotency-Key": uuid.uuid4().hex}
    assert delete(write, id, key).status == 204
    again = delete(write, id, key)
    assert (again.status, again.body) == (204, b"")
    assert again.header("Idempotency-Replayed") == "true"
    assert kinds(database, id) == ["created", "edited", "deleted"]


# -- how requests come


def test_tokens(stack, database, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("secret\n")
    settings = {
        "database": {"url": stack.env["DATABASE_URL"]},
        "redis": {"url": stack.env["REDIS_URL"]},
        "auth": {"tokens_file": str(tokens)},
    }
    with ServiceProcess("write-svc", tmp_path, settings) as service:
        id, client = database.create_product(), service.client
        token = {"Authorization": "Bearer secret"}
        assert_problem(client.post(PATH, new()), 401)
        assert_problem(edit(client, id, {"price": 1}), 401)
        assert_problem(delete(client, id), 401)
        assert kinds(database, id) == ["created"]
        assert client.post(PATH, new(), token).status == 201
        assert edit(client, id, {"price": 1}, token).status == 200
        assert delete(client, id, token).status == 204


def test_bodies(stack):
    url = stack.writes[0].base_url
    for method, path in (("POST", PATH), ("PATCH", PATH + "/1")):
        assert_problem(exchange(url, request_bytes(method, path)), 411)
        assert_problem(
            exchange(url, request_bytes(method, path, [("Content-Type", "text/plain")], b"{}")), 415
        )
        assert_problem(
            exchange(
                url, request_bytes(method, path, [("Content-Type", "application/json")], b"[]")
            ),
            400,
        )
