"""POST /api/stock/changes: many changes, each judged on its own or all or nothing."""

import uuid

import pytest

from support.ledger import assert_ledger_holds, assert_product_ledger
from support.orders import State, all_at_once, assert_reads, assert_same, new_key
from support.problems import assert_problem
from support.service_process import ServiceProcess

pytestmark = [pytest.mark.quick, pytest.mark.usefixtures("known_redis")]

MAX = 2**53 - 1


def change(client, *changes, atomic=None, headers=None):
    body = {"changes": list(changes)}
    return client.post(
        "/api/stock/changes", body if atomic is None else {**body, "atomic": atomic}, headers
    )


def new_sku():
    return f"S-{uuid.uuid4()}"


def results(reply, status=200):
    assert reply.status == status, reply
    return reply.json()["results"]


# -- each on its own


def test_each_change_is_judged_on_its_own(write, stack, database, cache, unknown_id):
    one, other, full = (database.create_product(stock=stock) for stock in (10, 5, MAX))
    cache.make_warm(one, other, full)
    unknown = unknown_id()
    reply = change(
        write,
        {"id": one, "delta": -3, "reason": "sold"},
        {"id": other, "stock": 40},
        {"id": other, "delta": -41},
        {"id": unknown, "delta": 1},
        {"id": one, "delta": 1, "ifVersion": 1},
        {"id": one, "delta": 2, "ifVersion": 2},
        {"id": full, "delta": 1},
        {"id": one, "delta": 0},
    )
    assert (reply.header("Cache-Control"), reply.header("ETag")) == ("no-store", None)
    assert results(reply) == [
        {"id": one, "status": "applied", "stock": 7, "version": 2, "delta": -3},
        {"id": other, "status": "applied", "stock": 40, "version": 2, "delta": 35},
        {"id": other, "status": "insufficient-stock", "stock": 40, "version": 2},
        {"id": unknown, "status": "not-found"},
        {"id": one, "status": "version-mismatch", "stock": 7, "version": 2},
        {"id": one, "status": "applied", "stock": 9, "version": 3, "delta": 2},
        {"id": full, "status": "out-of-range", "stock": MAX, "version": 1},
        {"id": one, "status": "applied", "stock": 9, "version": 4, "delta": 0},
    ]
    assert_reads(stack, one, 9, 0)
    assert_reads(stack, other, 40, 0)
    assert_product_ledger(database, one, 10, [-3, 2, 0])
    assert_product_ledger(database, other, 5, [35])
    assert [m["reason"] for m in database.movements(one)][1:] == ["sold", None, None]
    assert [m["kind"] for m in database.movements(other)][1:] == ["set"]


def test_none_of_them_may_be_made(write, unknown_id):
    unknown = unknown_id()
    assert results(change(write, {"id": unknown, "stock": 1})) == [
        {"id": unknown, "status": "not-found"}
    ]


# -- SKUs


def test_products_by_their_sku(write, database):
    skus = [new_sku(), 'a "quoted" \\ ' + new_sku()[:20]]
    ids = [database.create_product(stock=5, sku=sku) for sku in skus]
    unknown = 'un"known\\' + new_sku()[:20]
    deleted = new_sku()
    database.rows("SELECT delete_product(%s)", database.create_product(sku=deleted))
    reply = change(
        write,
        {"sku": skus[1], "delta": 1},
        {"sku": unknown, "delta": 1},
        {"id": ids[0], "delta": 2},
        {"sku": skus[0], "delta": -9},
        {"sku": deleted, "stock": 3},
        {"sku": skus[0], "stock": 0},
    )
    assert results(reply) == [
        {"id": ids[1], "status": "applied", "stock": 6, "version": 2, "delta": 1},
        {"sku": unknown, "status": "not-found"},
        {"id": ids[0], "status": "applied", "stock": 7, "version": 2, "delta": 2},
        {"id": ids[0], "status": "insufficient-stock", "stock": 7, "version": 2},
        {"sku": deleted, "status": "not-found"},
        {"id": ids[0], "status": "applied", "stock": 0, "version": 3, "delta": -7},
    ]


def test_a_repeat_tells_of_a_sku_what_was_true_then(write, database):
    known, unknown = new_sku(), new_sku()
    id = database.create_product(stock=5, sku=known)
    headers = new_key()
    changes = [{"sku": unknown, "delta": 1}, {"sku": known, "delta": -1}]
    first = change(write, *changes, headers=headers)
    assert [result["status"] for result in results(first)] == ["not-found", "applied"]
    late = database.create_product(stock=5, sku=unknown)
    database.rows("SELECT delete_product(%s)", id)
    assert_same(first, change(write, *changes, headers=headers))
    assert database.product(late)["stock"] == 5
    assert [result["status"] for result in results(change(write, *changes))] == [
        "applied",
        "not-found",
    ]


def test_no_store_no_answer(stack, tmp_path):
    """The SKUs are looked for before anything else."""
    nowhere = {"database": {"url": "postgres://127.0.0.1:1/none"}, "redis": {"url": ""}}
    with ServiceProcess("write-svc", tmp_path, nowhere, wait="alive") as service:
        for product in ({"sku": "A"}, {"id": 1}):
            problem = assert_problem(change(service.client, {**product, "delta": 1}), 503)
            assert "nothing was changed" in problem["detail"]


# -- all or nothing


def test_all_of_them(write, stack, database, cache):
    one, other = database.create_product(stock=10), database.create_product(stock=5)
    cache.make_warm(one, other)
    reply = change(
        write, {"id": one, "delta": -10}, {"id": other, "delta": 1}, {"id": one, "delta": 4},
        atomic=True,
    )
    assert [result["status"] for result in results(reply)] == ["applied"] * 3
    assert_reads(stack, one, 4, 0)
    assert_reads(stack, other, 6, 0)


def test_or_nothing(write, database, cache, unknown_id):
    one, other = database.create_product(stock=10), database.create_product(stock=5)
    sku, unknown = new_sku(), unknown_id()
    cache.make_warm(one, other)
    state = State(database, cache, one, other)
    changes = [
        {"id": one, "delta": -10},
        {"id": other, "delta": -6},
        {"id": one, "delta": -1},
        {"sku": sku, "delta": 1},
        {"id": unknown, "delta": 1},
        {"id": other, "stock": 7, "ifVersion": 9},
    ]
    headers = new_key()
    reply = change(write, *changes, atomic=True, headers=headers)
    problem = assert_problem(reply, 409, "changes-refused")
    told = problem["results"]
    assert [result["status"] for result in told] == [
        "not-applied",
        "insufficient-stock",
        "insufficient-stock",
        "not-found",
        "not-found",
        "version-mismatch",
    ]
    assert [list(result)[0] for result in told] == ["id", "id", "id", "sku", "id", "id"]
    assert told[1] == {"id": other, "status": "insufficient-stock", "stock": 5, "version": 1}
    assert told[3] == {"sku": sku, "status": "not-found"}
    state.assert_unchanged()
    assert_same(reply, change(write, *changes, atomic=True, headers=headers))


# -- limits


def test_a_thousand_changes_at_their_longest(write, database):
    """The largest body that makes sense is taken: 1,006,029 bytes."""
    skus = [("\"\\" * 16 + uuid.uuid4().hex) for _ in range(1000)]
    ids = [database.create_product(stock=MAX, sku=sku) for sku in skus[:3]]
    entry = (
        '{{"sku":"{}","delta":-9007199254740991,"ifVersion":9007199254740991,"reason":"{}"}}'.format
    )
    escape = lambda sku: sku.replace("\\", "\\\\").replace('"', '\\"')
    body = '{"changes":[' + ",".join(entry(escape(sku), "📦" * 200) for sku in skus) + "]}"
    assert 970_000 < len(body.encode()) <= 1_048_576
    told = results(
        write.post("/api/stock/changes", body.encode(), {"Content-Type": "application/json"})
    )
    assert len(told) == 1000
    assert told[:3] == [
        {"id": id, "status": "version-mismatch", "stock": MAX, "version": 1} for id in ids
    ]
    assert told[3:] == [{"sku": sku, "status": "not-found"} for sku in skus[3:]]


def test_a_thousand_and_one(write, database):
    ids = database.create_products(4, stock=1000)
    entries = [{"id": ids[n % 4], "delta": -1} for n in range(1001)]
    assert_problem(change(write, *entries), 400, field="changes")
    assert {database.product(id)["version"] for id in ids} == {1}
    for atomic in (False, True):
        told = results(change(write, *entries[:1000], atomic=atomic))
        assert {result["status"] for result in told} == {"applied"}
    assert {database.product(id)["stock"] for id in ids} == {500}
    assert told[999] == {"id": ids[3], "status": "applied", "stock": 500, "version": 501,
                         "delta": -1}


BAD = [
    ({}, "changes"),
    ({"changes": []}, "changes"),
    ({"changes": {"id": 1, "delta": 1}}, "changes"),
    ({"changes": [{"id": 1, "delta": 1}, 7]}, "changes[1]"),
    ({"changes": [{"delta": 1}]}, "changes[0].id"),
    ({"changes": [{"id": 1, "sku": "A", "delta": 1}]}, "changes[0].id"),
    ({"changes": [{"id": 0, "delta": 1}]}, "changes[0].id"),
    ({"changes": [{"id": -1, "delta": 1}]}, "changes[0].id"),
    ({"changes": [{"sku": "", "delta": 1}]}, "changes[0].sku"),
    ({"changes": [{"sku": "A,B", "delta": 1}]}, "changes[0].sku"),
    ({"changes": [{"sku": " A", "delta": 1}]}, "changes[0].sku"),
    ({"changes": [{"sku": "é", "delta": 1}]}, "changes[0].sku"),
    ({"changes": [{"sku": "A" * 65, "delta": 1}]}, "changes[0].sku"),
    ({"changes": [{"sku": 5, "delta": 1}]}, "changes[0].sku"),
    ({"changes": [{"id": 1}]}, "changes[0].stock"),
    ({"changes": [{"id": 1, "stock": 1, "delta": 1}]}, "changes[0].stock"),
    ({"changes": [{"id": 1, "stock": -1}]}, "changes[0].stock"),
    ({"changes": [{"id": 1, "stock": MAX + 1}]}, "changes[0].stock"),
    ({"changes": [{"id": 1, "delta": 1}, {"id": 1, "delta": 0.5}]}, "changes[1].delta"),
    ({"changes": [{"id": 1, "delta": 1, "ifVersion": 0}]}, "changes[0].ifVersion"),
    ({"changes": [{"id": 1, "delta": 1, "reason": "x" * 201}]}, "changes[0].reason"),
    ({"changes": [{"id": 1, "delta": 1, "reason": None}]}, "changes[0].reason"),
    ({"changes": [{"id": 1, "delta": 1, "colour": "red"}]}, "changes[0].colour"),
    ({"changes": [{"id": 1, "delta": 1}], "atomic": 1}, "atomic"),
    ({"changes": [{"id": 1, "delta": 1}], "all": True}, "all"),
]


@pytest.mark.parametrize("body, field", BAD)
def test_a_bad_change_names_its_field(write, body, field):
    assert_problem(write.post("/api/stock/changes", body), 400, "bad-request", field)


# -- keys and races


def test_a_repeat_changes_nothing_more(write, database):
    id = database.create_product(stock=5)
    headers = new_key()
    first = change(write, {"id": id, "delta": 1}, headers=headers)
    assert_same(first, change(write, {"id": id, "delta": 1}, headers=headers))
    again = change(write, {"id": id, "delta": 1}, atomic=False, headers=headers)
    assert_problem(again, 422, "key-reused")
    assert_product_ledger(database, id, 5, [1])


def test_changes_of_many_at_one_moment(stack, database):
    """All name the same products, each in another order; together they take more than there is."""
    ids = database.create_products(10, stock=50)

    def one(i):
        turned = ids[i % 10:] + ids[: i % 10]
        return change(
            stack.writes[i % 2],
            *[{"id": id, "delta": -1 - i % 3} for id in turned],
            atomic=i % 2 == 0,
        )

    replies = all_at_once(60, one)
    applied = {id: [] for id in ids}
    for i, reply in enumerate(replies):
        if reply.status == 409:
            assert i % 2 == 0
            assert_problem(reply, 409, "changes-refused")
            continue
        for result in results(reply):
            if result["status"] == "applied":
                applied[result["id"]].append(-1 - i % 3)
            else:
                assert i % 2 == 1 and result["status"] == "insufficient-stock"
    for id in ids:
        assert_product_ledger(database, id, 50, applied[id])
    assert_ledger_holds(stack)
