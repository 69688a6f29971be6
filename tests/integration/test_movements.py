"""The ledger as clients read it: the movements of one product, and the feed of all changes, each
exactly once and the versions of a product in order, in whatever order transactions commit."""

import contextlib
import random
import threading
from collections import Counter

import psycopg2
import pytest

from support.problems import assert_problem
from support.service_process import ServiceProcess
from support.timing import eventually, scaled

FIELDS = ["productId", "version", "kind", "delta", "stockAfter", "at"]


# -- of one product


@pytest.mark.quick
def test_the_movements_of_a_product(read, database):
    id = database.create_product(stock=5)
    read_id = f"/api/products/{id}/movements"
    database.rows("SELECT id FROM edit_product(%s, 'Another name')", id)
    order = database.create_order({id: 2})
    reservation = database.create_reservation({id: 1})
    assert read.get(read_id).status == 200
    body = read.get(read_id).json()
    assert body["meta"] == {"limit": 100, "next": None}
    rows = database.movements(id)
    for shown, row in zip(body["data"], rows, strict=True):
        assert shown["productId"] == id and shown["at"].startswith(str(row["created_at"])[:10])
        for key, column in (
            ("version", "version"),
            ("kind", "kind"),
            ("delta", "delta"),
            ("stockAfter", "stock_after"),
        ):
            assert shown[key] == row[column]
    created, edited, ordered, reserved = body["data"]
    assert list(created) == list(edited) == FIELDS
    assert (created["kind"], created["delta"], created["stockAfter"]) == ("created", 5, 5)
    assert ordered["orderId"] == order and ordered["delta"] == -2
    assert (reserved["reservationId"], reserved["reservedDelta"]) == (reservation, 1)
    assert list(reserved) == FIELDS[:5] + ["reservedDelta", "reservationId", "at"]


@pytest.mark.quick
def test_pages_of_movements(read, stack, database):
    id = database.create_product(stock=5)
    reasons = [f'"{n}" für 📦' for n in range(6)]
    for reason in reasons:
        assert stack.writes[0].update_stock(id, {"delta": 1, "reason": reason}).status == 200
    database.rows("SELECT id FROM delete_product(%s)", id)  # its history stays
    after, listed = 0, []
    while after is not None:
        body = read.get(f"/api/products/{id}/movements?after={after}&limit=3").json()
        listed += body["data"]
        after = body["meta"]["next"]
        assert after in (listed[-1]["version"], None) and body["meta"]["limit"] == 3
    assert [movement["version"] for movement in listed] == list(range(1, 9))
    assert [movement.get("reason") for movement in listed] == [None, *reasons, None]
    assert listed[-1]["kind"] == "deleted"
    path = f"/api/products/{id}/movements"
    assert read.get(f"{path}?after=8").json()["data"] == []
    assert read.get(f"{path}?after={2**63 - 1}&limit=1000").json()["meta"]["next"] is None


@pytest.mark.quick
def test_bad_questions_for_movements(read, database, unknown_id):
    assert_problem(read.get(f"/api/products/{unknown_id()}/movements"), 404)
    assert_problem(read.get("/api/products/x/movements"), 400, field="id")
    id = database.create_product()
    for query in ("limit=0", "limit=1001", "after=-1", "after=now"):
        reply = read.get(f"/api/products/{id}/movements?{query}")
        assert_problem(reply, 400, field=query.split("=")[0])


# -- the feed


class Follower:
    """Follows the feed from now on, by a page size that `limit` chooses for each page, at one
    reader after the other."""

    def __init__(self, readers, limit=lambda: 100):
        self.readers, self.limit, self.turn = readers, limit, 0
        self.movements = []
        self.cursor = self.get("now", 1)["meta"]["next"]

    def get(self, after, limit):
        self.turn += 1
        reader = self.readers[self.turn % len(self.readers)]
        reply = reader.get(f"/api/changes?after={after}&limit={limit}")
        assert reply.status == 200, reply
        return reply.json()

    def read_page(self):
        limit = self.limit()
        body = self.get(self.cursor, limit)
        assert len(body["data"]) <= limit
        self.movements += body["data"]
        self.cursor = body["meta"]["next"]
        return body["meta"]["caughtUp"]

    def catch_up(self):
        while not self.read_page():
            pass
        return self

    def of(self, *ids):
        return [
            (movement["productId"], movement["version"])
            for movement in self.movements
            if movement["productId"] in ids
        ]

    def assert_each_once_in_order(self, database, ids, since=0):
        """The ledger of these products behind version `since`, and nothing of it twice."""
        for id in ids:
            ledger = [row["version"] for row in database.movements(id) if row["version"] > since]
            assert [version for _, version in self.of(id)] == ledger


@contextlib.contextmanager
def transaction(database):
    """A session with an open transaction; it commits at the end of the block, or before."""
    with contextlib.closing(psycopg2.connect(database.url)) as session:
        yield Transaction(session)
        session.commit()


class Transaction:
    def __init__(self, session):
        self.session = session

    def edit(self, *ids):
        with self.session.cursor() as cursor:
            for id in ids:
                cursor.execute("SELECT FROM edit_product(%s, 'Of a transaction')", (id,))

    def take_xid(self):
        with self.session.cursor() as cursor:
            cursor.execute("SELECT pg_current_xact_id()")

    def commit(self):
        self.session.commit()


@pytest.mark.quick
def test_a_movement_as_it_is(read, database):
    follower = Follower([read])
    id = database.create_product(stock=5)
    (movement,) = [m for m in follower.catch_up().movements if m["productId"] == id]
    assert movement == read.get(f"/api/products/{id}/movements").json()["data"][0]
    assert follower.get(follower.cursor, 1)["meta"]["caughtUp"] is True


@pytest.mark.quick
def test_from_the_beginning(stack, database):
    """Everything there is, by pages of every size, whichever reader is asked."""
    database.create_products(30)
    seen, cursor, sizes = Counter(), "", random.Random(8)
    while True:
        query = f"limit={sizes.choice((1, 3, 100, 1000))}" + (f"&after={cursor}" if cursor else "")
        body = stack.reads[len(seen) % 2].get(f"/api/changes?{query}").json()
        seen.update((m["productId"], m["version"]) for m in body["data"])
        cursor = body["meta"]["next"]
        if body["meta"]["caughtUp"]:
            break
    ledger = {
        (row["product_id"], row["version"])
        for row in database.rows("SELECT product_id, version FROM stock_movements")
    }
    assert set(seen) == ledger and max(seen.values()) == 1


@pytest.mark.quick
@pytest.mark.parametrize("limit", [1, 2, 100])
def test_commits_in_another_order_than_they_began(stack, database, limit):
    """The transaction with the lower id is the later one."""
    first, second = database.create_products(2)
    follower = Follower(stack.reads, lambda: limit)
    with transaction(database) as early, transaction(database) as late:
        early.edit(first)
        late.edit(second)
        late.commit()
        follower.catch_up()
        assert follower.of(first, second) == [(second, 2)]
        assert follower.catch_up().of(first) == []
        early.edit(second)  # now behind a movement of a higher id
        early.commit()
    follower.catch_up()
    follower.assert_each_once_in_order(database, [first, second], since=1)


@pytest.mark.quick
@pytest.mark.parametrize("limit", [1, 2, 3, 100])
@pytest.mark.parametrize("follows", ["each commit", "at the end"])
def test_versions_come_in_order(stack, database, limit, follows):
    """Three transactions change one product in the reverse order of their ids, and another one
    long after it had begun; within one span and across several."""
    ids = database.create_products(3)
    follower = Follower(stack.reads, lambda: limit)
    with contextlib.ExitStack() as stacked:
        sessions = [stacked.enter_context(transaction(database)) for _ in range(4)]
        for session in sessions:
            session.take_xid()
        for session in reversed(sessions):
            session.edit(ids[1], ids[0], ids[0])
            session.commit()
            with transaction(database) as other:
                other.edit(ids[0], ids[2])
            if follows == "each commit":
                follower.catch_up()
    follower.catch_up()
    follower.assert_each_once_in_order(database, ids, since=1)
    late = database.row("SELECT count(*) AS n FROM ledger_late WHERE product_id = %s", ids[0])
    assert late["n"] > 0, "nothing was late: this has shown nothing"


@pytest.mark.quick
def test_a_page_inside_a_span_knows_nothing_of_later(stack, database):
    """A cursor inside a span; then a transaction commits that was running at the span's end."""
    ids = database.create_products(3)
    follower = Follower(stack.reads, lambda: 1)
    with transaction(database) as running:
        running.edit(ids[1])
        with transaction(database) as other:
            other.edit(ids[0], ids[2])
        assert not follower.read_page()
        running.commit()
        with transaction(database) as other:
            other.edit(ids[1], ids[0])
    follower.catch_up()
    follower.assert_each_once_in_order(database, ids, since=1)


def test_many_writers_and_followers(stack, database):
    """Sessions that change random products in random order and hold their transactions for a
    while, and followers at both readers meanwhile."""
    ids, stop = database.create_products(12), threading.Event()
    chance = random.Random(2026)
    sizes = (lambda: 1, lambda: chance.choice((1, 2, 7, 50)), lambda: 1000)
    followers = [Follower(stack.reads, size) for size in sizes]
    failures = []

    def guarded(work):
        def run():
            try:
                while not stop.is_set():
                    work()
            except Exception as error:
                failures.append(error)

        return threading.Thread(target=run, daemon=True)

    def change():
        with transaction(database) as session:
            if chance.random() < 0.5:
                session.take_xid()
            # in the order of ids, as all writers of products lock them
            session.edit(*sorted(chance.choices(ids, k=chance.randrange(1, 6))))
            stop.wait(chance.random() * 0.02)

    threads = [guarded(change) for _ in range(6)]
    threads += [guarded(follower.read_page) for follower in followers]
    for thread in threads:
        thread.start()
    stop.wait(scaled(4))
    stop.set()
    for thread in threads:
        thread.join(scaled(30))
        assert not thread.is_alive()
    assert not failures, failures
    late = database.row("SELECT count(*) AS n FROM ledger_late WHERE product_id = ANY(%s)", ids)
    assert late["n"] > 0, "nothing was late: this has shown nothing"
    for follower in followers:
        follower.catch_up().assert_each_once_in_order(database, ids, since=1)


def test_a_long_transaction_holds_nothing_up(stack, database):
    """What others commit comes while it is open, and it comes once it has committed."""
    held, other = database.create_products(2)
    follower = Follower(stack.reads, lambda: 2)
    with transaction(database) as long:
        long.edit(held)
        for _ in range(5):
            assert stack.writes[0].update_stock(other, {"delta": 1}).status == 200
            follower.catch_up()
        assert follower.of(held, other) == [(other, version) for version in range(2, 7)]
    follower.catch_up()
    follower.assert_each_once_in_order(database, [held, other], since=1)


def test_a_cursor_outlives_readers(stack, database, tmp_path):
    """A reader that was not there when the cursor was made goes on from it."""
    ids = database.create_products(5)
    follower = Follower(stack.reads, lambda: 2)
    with transaction(database) as running:
        running.edit(ids[4])
        with transaction(database) as other:
            other.edit(*ids[:4])
        follower.read_page()
    stores = {
        "database": {"url": stack.env["DATABASE_URL"]},
        "redis": {"url": stack.env["REDIS_URL"]},
    }
    with ServiceProcess("read-svc", tmp_path, stores) as service:
        follower.readers = [service.client]
        follower.catch_up()
    follower.assert_each_once_in_order(database, ids, since=1)


@pytest.mark.quick
@pytest.mark.parametrize(
    "after",
    ["", "0", "Now", "1", "1.7.5", "1.7.5-0-0", "1.7.5-0%00", "1.7.5-0.6-0.7-8", "x" * 3000],
)
def test_what_is_no_cursor(read, after):
    assert_problem(read.get(f"/api/changes?after={after}"), 400, field="after")
    assert_problem(read.get("/api/changes?limit=1001"), 400, field="limit")
    assert_problem(read.get("/api/changes?limit=0&after=now"), 400, field="limit")


@pytest.mark.quick
def test_a_cursor_of_another_history_is_gone(read):
    """Of another server; of this one, from a moment that it has not seen."""
    form, server, seen = Follower([read]).cursor.split(".")
    future = 10**15
    for after in (
        f"{form}.{int(server) - 1}.{seen}",
        f"{form}.{server}.{future}-0",
        f"{form}.{server}.1-0.{future}-0.5-1-1",
    ):
        body = assert_problem(read.get(f"/api/changes?after={after}"), 410, "feed-gone")
        assert body["begin"] == "/api/changes?after=now"


def test_without_postgres(stack, database):
    id = database.create_product()
    cursor = Follower(stack.reads).cursor
    with stack.stopped("postgres"):
        for path in (f"products/{id}/movements", "changes", f"changes?after={cursor}"):
            assert_problem(stack.reads[0].get(f"/api/{path}"), 503)
    # a restart ends no cursor
    assert eventually(
        lambda: stack.reads[0].get(f"/api/changes?after={cursor}").status == 200, "the feed goes on"
    )
