"""POST /api/products/{id}/update-stock: its effects, its refusals, and its movements in the
ledger."""

from urllib.parse import urlsplit

import pytest

from support.http_client import in_parallel
from support.ledger import assert_product_ledger
from support.metrics_text import Change, scrape
from support.problems import assert_problem
from support.raw_http import exchange, request_bytes
from support.service_process import ServiceProcess
from support.timing import eventually

pytestmark = pytest.mark.quick

STOCK_MAX = 2**53 - 1


def test_absolute(write, database):
    id = database.create_product(stock=5)
    reply = write.update_stock(id, {"stock": 12})
    assert reply.status == 200
    assert reply.header("Content-Type") == "application/json"
    assert reply.header("ETag") == '"2"'
    assert reply.header("X-Request-Id")
    assert reply.json() == {"id": id, "stock": 12, "version": 2, "delta": 7}
    assert database.product(id)["stock"] == 12
    assert_product_ledger(database, id, 5, [7])


def test_delta(write, database):
    id = database.create_product(stock=5)
    assert write.update_stock(id, {"delta": -2}).json() == {
        "id": id,
        "stock": 3,
        "version": 2,
        "delta": -2,
    }
    assert write.update_stock(id, {"delta": 10}).json() == {
        "id": id,
        "stock": 13,
        "version": 3,
        "delta": 10,
    }
    assert_product_ledger(database, id, 5, [-2, 10])


@pytest.mark.parametrize("body", [{"delta": 0}, {"stock": 5}])
def test_a_change_that_changes_nothing_is_a_movement_too(stack, database, body):
    id = database.create_product(stock=5)
    reply = stack.writes[0].update_stock(id, body)
    assert reply.json() == {"id": id, "stock": 5, "version": 2, "delta": 0}
    assert_product_ledger(database, id, 5, [0])


def test_kind_and_reason_are_in_the_ledger(write, database):
    id = database.create_product(stock=5)
    write.update_stock(id, {"stock": 1, "reason": 'Inventur "März" \\ 📦'})
    write.update_stock(id, {"delta": 1, "reason": ""})
    write.update_stock(id, {"delta": 1})
    _, counted, arrived, silent = database.movements(id)
    assert (counted["kind"], counted["reason"]) == ("set", 'Inventur "März" \\ 📦')
    assert (arrived["kind"], arrived["reason"]) in (("adjust", ""), ("adjust", None))
    assert (silent["kind"], silent["reason"]) == ("adjust", None)


def test_json_escapes_in_the_reason(stack, database):
    id = database.create_product()
    body = rb'{"delta":1,"reason":"\u00e9\uD83D\uDE00\n\t\/\"\\"}'
    assert (
        stack.writes[0].update_stock(id, body, {"Content-Type": "application/json"}).status == 200
    )
    assert database.movements(id)[1]["reason"] == 'é😀\n\t/"\\'


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"'],
)
def test_content_types_of_json(stack, database, content_type):
    id = database.create_product()
    assert (
        stack.writes[0]
        .update_stock(id, b' \r\n\t{ "delta" :\t1 } \n', {"Content-Type": content_type})
        .status
        == 200
    )


def test_unknown_product(write, unknown_id):
    id = unknown_id()
    assert_problem(write.update_stock(id, {"delta": 1}), 404)
    assert_problem(write.update_stock(id, {"stock": 1}), 404)
    assert_problem(write.update_stock(id, {"stock": 1}, {"If-Match": '"1"'}), 404)


def test_deleted_product(stack, database):
    id = database.create_product(stock=1)
    database.rows("SELECT delete_product(%s)", id)
    assert_problem(stack.writes[0].update_stock(id, {"delta": 1}), 404)


# -- limits


def test_never_below_zero(write, database):
    id = database.create_product(stock=3)
    problem = assert_problem(write.update_stock(id, {"delta": -4}), 409, "insufficient-stock")
    assert problem["stock"] == 3
    assert write.update_stock(id, {"delta": -3}).json()["stock"] == 0
    assert (
        assert_problem(write.update_stock(id, {"delta": -1}), 409, "insufficient-stock")["stock"]
        == 0
    )
    assert_product_ledger(database, id, 3, [-3])


def test_never_above_the_largest_stock(write, database):
    id = database.create_product(stock=STOCK_MAX - 1)
    assert write.update_stock(id, {"delta": 1}).json()["stock"] == STOCK_MAX
    reply = write.update_stock(id, {"delta": 1})
    assert_problem(reply, reply.status, "out-of-range")
    assert 400 <= reply.status < 500
    assert_product_ledger(database, id, STOCK_MAX - 1, [1])


@pytest.mark.parametrize("delta", [STOCK_MAX, -STOCK_MAX])
def test_the_largest_deltas(stack, database, delta):
    id = database.create_product(stock=STOCK_MAX if delta < 0 else 0)
    assert stack.writes[0].update_stock(id, {"delta": delta}).json()["stock"] == (
        0 if delta < 0 else STOCK_MAX
    )
    assert assert_problem(stack.writes[0].update_stock(id, {"delta": delta}), 409)
    assert len(database.movements(id)) == 2


# -- If-Match


@pytest.mark.parametrize("condition", ['"1"', "*", ' "1" '])
def test_if_match_that_matches(write, database, condition):
    id = database.create_product(stock=5)
    assert write.update_stock(id, {"delta": 1}, {"If-Match": condition}).json()["version"] == 2


@pytest.mark.parametrize("condition", ['"2"', '"0"', '"11"', 'W/"1"', '"9223372036854775807"'])
def test_if_match_that_does_not(write, database, condition):
    """The comparison is the strong one (RFC 9110, 13.1.1): a weak tag never matches."""
    id = database.create_product(stock=5)
    assert_problem(write.update_stock(id, {"delta": 1}, {"If-Match": condition}), 412)
    assert_product_ledger(database, id, 5, [])


@pytest.mark.parametrize(
    "condition", ['"7", "1"', '"1", "7"', '"7",W/"2", "1"', '"abc" , "1"', '"1","2","3"']
)
def test_if_match_of_several(stack, database, condition):
    """RFC 9110 section 13.1.1: true when any of them matches."""
    id = database.create_product()
    reply = stack.writes[0].update_stock(id, {"delta": 1}, {"If-Match": condition})
    assert reply.status == 200 and reply.json()["version"] == 2


def test_if_match_of_several_of_which_none_matches(stack, database):
    id = database.create_product()
    reply = stack.writes[0].update_stock(id, {"delta": 1}, {"If-Match": '"7", W/"1", "8"'})
    assert_problem(reply, 412)
    assert database.product(id)["version"] == 1


def test_if_match_on_several_lines(stack, database):
    id = database.create_product()
    headers = [("Content-Type", "application/json"), ("If-Match", '"7"'), ("If-Match", '"1"')]
    data = request_bytes("POST", f"/api/products/{id}/update-stock", headers, b'{"delta":1}')
    assert exchange(stack.writes[0].base_url, data).json()["version"] == 2


@pytest.mark.parametrize("condition", ["1", '"', "", '"1', '"1"x', '"1",,"', "W/1", "**"])
def test_if_match_that_is_none(stack, database, condition):
    """A text that is no list of entity tags never lets a change through."""
    id = database.create_product(stock=5)
    reply = stack.writes[0].update_stock(id, {"delta": 1}, {"If-Match": condition})
    assert reply.status in (400, 412), reply
    assert_problem(reply, reply.status)
    assert_product_ledger(database, id, 5, [])


def test_if_match_comes_before_the_stock(stack, database):
    id = database.create_product(stock=0)
    assert_problem(stack.writes[0].update_stock(id, {"delta": -1}, {"If-Match": '"2"'}), 412)


def test_one_of_many_with_the_same_if_match_wins(stack, database):
    id = database.create_product(stock=5)
    replies = in_parallel(
        16, lambda i: stack.writes[i % 2].update_stock(id, {"delta": 1}, {"If-Match": '"1"'})
    )
    assert sorted(reply.status for reply in replies) == [200] + [412] * 15
    assert_product_ledger(database, id, 5, [1])


# -- an update of the services themselves


def test_the_version_before_can_go_on_while_it_is_replaced(database):
    """Its services call a function of another name, with other columns, in the same database."""
    id = database.create_product(stock=5)
    rows = database.rows(
        "SELECT outcome, product_id, version, stock, delta, name, price, created_us, updated_us"
        " FROM apply_stock_changes(ARRAY[%s, 9007199254740993]::bigint[], ARRAY[-2, 1]::bigint[],"
        " ARRAY[false, false], ARRAY[1, NULL]::bigint[], ARRAY[NULL, NULL]::text[]) ORDER BY ord",
        id,
    )
    row = database.row(
        "SELECT *, epoch_us(created_at) AS created_us, epoch_us(updated_at) AS updated_us FROM "
        "products WHERE id = %s",
        id,
    )
    assert [row["outcome"] for row in rows] == ["applied", "not_found"]
    assert (rows[0]["product_id"], rows[0]["version"], rows[0]["stock"], rows[0]["delta"]) == (
        id,
        2,
        3,
        -2,
    )
    assert (rows[0]["name"], rows[0]["price"]) == (row["name"], str(row["price"]))
    assert (rows[0]["created_us"], rows[0]["updated_us"]) == (row["created_us"], row["updated_us"])
    assert rows[1]["product_id"] == 9007199254740993 and rows[1]["version"] is None
    assert_product_ledger(database, id, 5, [-2])


# -- counting


@pytest.fixture
def later_schema(database):
    """One whose function gives an outcome that this version does not know."""
    database.rows("DROP SCHEMA IF EXISTS later CASCADE")
    database.rows("CREATE SCHEMA later")
    database.rows(
        """CREATE FUNCTION later.write_batch(bigint, bigint, boolean, text[], bigint[], text[],
             text[], text[], int[], bigint[], bigint[], boolean[], bigint[], text[])
           RETURNS TABLE (id bigint, sku text, name text, price numeric, stock bigint,
             reserved bigint, version bigint, created_at timestamptz, updated_at timestamptz,
             deleted_at timestamptz, ord int, outcome text, result text, etag bigint,
             is_replayed boolean) LANGUAGE sql
           AS $$ SELECT NULL::bigint, NULL, NULL, NULL::numeric, NULL::bigint, NULL::bigint,
             NULL::bigint, NULL::timestamptz, NULL::timestamptz, NULL::timestamptz,
             1, 'lent', '', 1::bigint, false $$"""
    )
    yield "later"
    database.rows("DROP SCHEMA later CASCADE")


def test_an_outcome_of_a_later_version_is_not_told_as_nothing_done(stack, later_schema, tmp_path):
    url = stack.env["DIRECT_URL"] + f"?options=-csearch_path%3D{later_schema},public"
    with ServiceProcess("write-svc", tmp_path, env={"DATABASE_URL": url}) as service:
        with Change(service.client) as change:
            reply = service.client.update_stock(1, {"stock": 1})
            assert_problem(reply, 503)
            assert "may or may not" in reply.json()["detail"]
        assert change("faststock_writes_total", outcome="unknown") == 1


def test_what_a_rule_of_the_database_forbids_is_not_told_as_passing(stack, database):
    id = database.create_product(stock=5)
    writer = stack.writes[0]
    with database.constraint(f"id <> {id} OR stock < 10"), Change(writer) as change:
        reply = writer.update_stock(id, {"delta": 5})
        assert_problem(reply, 500, "refused-by-store")
        assert (
            reply.header("Retry-After") is None and "nothing was changed" in reply.json()["detail"]
        )
        assert writer.update_stock(id, {"delta": 4}).json()["stock"] == 9
    assert change("faststock_writes_total", outcome="refused_by_store") == 1
    assert_product_ledger(database, id, 5, [4])


@pytest.fixture
def limited_user(cache):
    """A user of Redis, and what it may do."""
    name, password = "limited_of_a_test", "s3cret"
    may = lambda *rules: cache.redis.execute_command(
        "ACL", "SETUSER", name, "on", f">{password}", "~*", "&*", *rules
    )
    may("+@all")
    yield name, password, may
    cache.redis.execute_command("ACL", "DELUSER", name)


def test_publications_that_fail_are_told(stack, database, cache, limited_user, tmp_path):
    """The change is made and readers see it, by the relay; operators see that it was not
    published."""
    name, password, may = limited_user
    parts = urlsplit(stack.env["REDIS_URL"])
    url = parts._replace(netloc=f"{name}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()
    settings = {"database": {"url": stack.env["DATABASE_URL"]}, "redis": {"url": url}}
    id = database.create_product(stock=5)
    cache.make_warm(id)
    with ServiceProcess("write-svc", tmp_path, settings) as service:

        def is_told(what):
            dependencies = service.ops.get("/readyz").json()["dependencies"]
            return (
                dependencies["publications"]["state"] == "down"
                or dependencies["redis"]["state"] == "down"
            ) == what

        assert service.client.update_stock(id, {"stock": 4}).status == 200
        assert is_told(False)
        may("-eval", "-evalsha")
        for stock in (3, 2, 1):
            assert service.client.update_stock(id, {"stock": stock}).status == 200
            for client in stack.reads:
                eventually(lambda: client.stock(id).json()["stock"] == stock, "seen")
        assert is_told(True)
        published = scrape(service.client)
        assert published.value("faststock_publish_total", result="stored") == 1
        errors, skipped = (
            published.value("faststock_publish_total", result=result)
            for result in ("error", "skipped")
        )
        assert errors + skipped == 3
        told = [line for line in service.log_lines() if "cannot be published" in line["msg"]]
        assert len(told) == (
            1 if errors else 0
        ), "once in a while, and not for a Redis that is away"
        may("+eval", "+evalsha")
        eventually(
            lambda: service.client.update_stock(id, {"delta": 0}).status == 200 and is_told(False),
            "all is well again",
        )


def test_outcomes_are_counted(stack, database, unknown_id):
    id = database.create_product(stock=1)
    writer = stack.writes[0]

    def counted(body, headers=None, to=id):
        with Change(writer) as change:
            writer.update_stock(to, body, headers)
        assert change("faststock_writes_total") == 1
        outcomes = change.after[0].label_values("faststock_writes_total", "outcome")
        (outcome,) = [
            outcome
            for outcome in outcomes
            if change("faststock_writes_total", outcome=outcome)
        ]
        return outcome

    assert counted({"delta": 1}) == "applied"
    assert counted({"delta": -10}) == "insufficient_stock"
    assert counted({"delta": 1}, {"If-Match": '"1"'}) == "version_mismatch"
    assert counted({"delta": STOCK_MAX}) == "out_of_range"
    assert counted({"delta": 1}, to=unknown_id()) == "not_found"
