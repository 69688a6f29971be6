"""Old movements are removed, in a database of their own: what stays can be checked and followed,
and clients of the feed hear when they lack something."""

import contextlib
import os
import subprocess
from urllib.parse import urlsplit

import psycopg2
import pytest

from support.database import Database
from support.metrics_text import scrape_at_rest
from support.problems import assert_problem
from support.service_process import ServiceProcess
from support.stack import ROOT
from support.timing import eventually, scaled

REMOVE = "SELECT removed, is_more FROM remove_movements('1 day', %s)"


class Shop:
    """A database with the functions of the project, and a read-svc for it."""

    def __init__(self, url, client):
        self.url, self.client, self.database = url, client, Database(url)

    def make_old(self, condition="true"):
        """Makes movements ten days old. (Without triggers, by a setting of the session: to disable
        them would wait for transactions that are open.)"""
        with contextlib.closing(psycopg2.connect(self.url)) as session, session:
            with session.cursor() as cursor:
                cursor.execute("SET LOCAL session_replication_role = replica")
                cursor.execute(
                    "UPDATE stock_movements SET created_at = created_at - interval '10 days'"
                    f" WHERE created_at > now() - interval '5 days' AND {condition}"
                )
                for table, column in (
                    ("orders", "created_at"),
                    ("orders", "cancelled_at"),
                    ("reservations", "created_at"),
                    ("reservations", "ended_at"),
                ):
                    cursor.execute(
                        f"UPDATE {table} SET {column} = {column} - interval '10 days'"
                        f" WHERE {column} > now() - interval '5 days'"
                    )

    def wait_until_nothing_is_under_way(self):
        """Not even an ANALYZE of the server's own, behind which nothing is removed."""
        eventually(
            lambda: self.database.row(
                "SELECT pg_snapshot_xmin(s) = pg_snapshot_xmax(s) AS yes"
                " FROM pg_current_snapshot() AS s"
            )["yes"],
            "no transaction is under way",
        )

    def remove_all(self, most=1000):
        self.wait_until_nothing_is_under_way()
        return self.remove_what_may_go(most)

    def remove_what_may_go(self, most=1000):
        removed = 0
        while True:
            step = self.database.row(REMOVE, most)
            assert step["removed"] <= most
            removed += step["removed"]
            if not step["is_more"]:
                return removed

    def versions(self, id):
        return [movement["version"] for movement in self.database.movements(id)]

    def change(self, id, times=1):
        for _ in range(times):
            self.database.write_batch([("change", 0, [(id, 1)])])

    def check_ledger(self):
        done = subprocess.run(
            [ROOT / "sql/check-ledger"],
            capture_output=True,
            text=True,
            timeout=scaled(60),
            env={**os.environ, "DIRECT_URL": self.url},
        )
        return done.returncode == 0, done.stdout + done.stderr

    def changes(self, after=None, limit=1000):
        return self.client.get(
            f"/api/changes?limit={limit}" + (f"&after={after}" if after else "")
        )


@pytest.fixture
def shop(stack, tmp_path):
    maintenance, name = Database(stack.env["DIRECT_URL"]), "faststock_retention"
    maintenance.rows(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    maintenance.rows(f"CREATE DATABASE {name}")
    url = urlsplit(stack.env["DIRECT_URL"])._replace(path=f"/{name}").geturl()
    try:
        env = {**os.environ, "DIRECT_URL": url}
        subprocess.run([ROOT / "sql/migrate"], check=True, capture_output=True, env=env)
        stores = {"database": {"url": url}, "redis": {"url": ""}}
        with ServiceProcess("read-svc", tmp_path, stores) as service:
            shop = Shop(url, service.client)
            yield shop
            shop.database.close()
    finally:
        maintenance.rows(f"DROP DATABASE {name} WITH (FORCE)")
        maintenance.close()


def test_what_goes_and_what_stays(shop):
    busy, quiet, deleted = shop.database.create_products(3, stock=50)
    shop.change(busy, 5)
    shop.database.rows("SELECT FROM delete_product(%s)", deleted)
    shop.make_old()
    (young,) = shop.database.create_products(1, stock=50)
    shop.change(busy, 2)
    shop.change(young, 1)
    assert shop.remove_all() == 6 + 1
    assert shop.versions(busy) == [7, 8]
    assert shop.versions(quiet) == [1], "the last one stays, however old"
    assert shop.versions(deleted) == [2]
    assert shop.versions(young) == [1, 2]
    assert shop.check_ledger()[0], shop.check_ledger()[1]
    assert shop.remove_all() == 0
    body = shop.client.get(f"/api/products/{busy}/movements").json()
    assert [movement["version"] for movement in body["data"]] == [7, 8]
    # one that stayed as the last goes once it is not the last any more
    shop.change(quiet, 1)
    shop.make_old()
    shop.change(quiet, 1)
    shop.remove_all()
    assert shop.versions(quiet) == [3]
    assert shop.versions(busy) == [8]
    assert shop.check_ledger()[0], shop.check_ledger()[1]


@pytest.mark.parametrize("most", [1, 2, 7])
def test_in_small_steps(shop, most):
    ids = shop.database.create_products(5, stock=50)
    for _ in range(4):
        shop.database.write_batch([("change", 0, [(id, 1)]) for id in ids])
    shop.make_old()
    assert shop.remove_all(most) == 20
    assert all(shop.versions(id) == [5] for id in ids)
    assert shop.check_ledger()[0], shop.check_ledger()[1]


def test_orders_and_reservations_stay_whole(shop):
    """Whose movements were removed in part, or all."""
    first, second = shop.database.create_products(2, stock=50)
    shop.database.create_order({first: 1, second: 2})
    shop.database.create_reservation({first: 3})
    ended = shop.database.create_reservation({first: 4, second: 1})
    shop.database.write_batch([("release", ended, [])])
    shop.make_old()
    shop.change(first)
    shop.remove_all()
    assert shop.versions(first) == [6] and shop.versions(second) == [4]
    assert shop.check_ledger()[0], shop.check_ledger()[1]
    shop.database.create_order({first: 1})
    assert shop.check_ledger()[0], shop.check_ledger()[1]


def test_the_check_sees_a_wrong_floor(shop):
    (id,) = shop.database.create_products(1, stock=50)
    shop.change(id, 3)
    shop.make_old()
    shop.remove_all()
    for column in ("version", "stock_after", "reserved_after"):
        change = f"UPDATE ledger_floors SET {column} = {column} + %s WHERE product_id = %s"
        shop.database.rows(change, 1, id)
        is_whole, said = shop.check_ledger()
        assert not is_whole and "the ledger is not consistent" in said, said
        shop.database.rows(change, -1, id)
    assert shop.check_ledger()[0]


def test_nobody_else_removes_movements(shop):
    """Neither with a floor of that product nor without."""
    busy, other = shop.database.create_products(2, stock=50)
    shop.change(busy, 3)
    shop.make_old(f"product_id = {busy}")
    shop.remove_all()
    for sql in (
        "DELETE FROM stock_movements",
        f"DELETE FROM stock_movements WHERE product_id = {busy}",
        f"DELETE FROM stock_movements WHERE product_id = {other}",
        "TRUNCATE stock_movements",
        "UPDATE stock_movements SET delta = delta",
    ):
        with pytest.raises(psycopg2.errors.RestrictViolation):
            shop.database.rows(sql)


def test_one_at_a_time_and_never_behind_a_transaction(shop):
    ids = shop.database.create_products(2, stock=50)
    shop.change(ids[0], 2)
    shop.make_old()
    with contextlib.closing(psycopg2.connect(shop.url)) as session, session.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('faststock.retention'))")
        assert shop.database.rows(REMOVE, 1000) == [], "another one is at work"
        session.rollback()
        cursor.execute("SELECT FROM edit_product(%s, 'Under way')", (ids[1],))
        shop.change(ids[0], 2)
        shop.make_old()

        def are_gone():
            shop.remove_what_may_go()
            return shop.versions(ids[0]) == [4, 5]

        eventually(are_gone, "those from before the transaction")
        session.commit()
    shop.make_old()
    shop.remove_all()
    assert [len(shop.versions(id)) for id in ids] == [1, 1]
    assert shop.check_ledger()[0], shop.check_ledger()[1]


# -- the feed


def test_a_client_hears_what_it_lacks(shop):
    ids = shop.database.create_products(4, stock=50)
    start = shop.changes("now").json()["meta"]["next"]
    inside = None
    shop.change(ids[0], 2)
    inside = shop.changes(start, limit=1).json()["meta"]["next"]
    shop.change(ids[0], 2)
    caught_up = shop.changes("now").json()["meta"]["next"]
    shop.make_old()
    shop.change(ids[0], 1)
    for cursor in (start, inside):
        assert shop.changes(cursor).status == 200, "old, but still there"
    shop.remove_all()
    for cursor in (start, inside):
        reply = shop.changes(cursor)
        assert_problem(reply, 410, "feed-gone")
        assert reply.json()["begin"] == "/api/changes?after=now"
    kept = shop.changes(caught_up).json()
    assert [movement["version"] for movement in kept["data"]] == [6]
    # from the beginning: what is behind all that was removed, by pages too
    listed, after = [], None
    while True:
        body = shop.changes(after, limit=1).json()
        listed += [(movement["productId"], movement["version"]) for movement in body["data"]]
        after = body["meta"]["next"]
        if body["meta"]["caughtUp"]:
            break
    assert listed == [(ids[0], 6)]


def test_late_movements_go_too(shop):
    ids = shop.database.create_products(2, stock=50)
    with contextlib.closing(psycopg2.connect(shop.url)) as session, session.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()")
        shop.change(ids[0], 3)
        cursor.execute("SELECT FROM edit_product(%s, 'A late one')", (ids[0],))
        session.commit()
    before = shop.changes("now").json()["meta"]["next"]
    assert len(shop.database.rows("SELECT * FROM ledger_late")) == 1
    shop.change(ids[0], 1)
    shop.make_old()
    shop.remove_all()
    assert shop.database.rows("SELECT * FROM ledger_late") == []
    assert shop.versions(ids[0]) == [6]
    assert shop.changes(before).status == 200
    assert shop.check_ledger()[0], shop.check_ledger()[1]


# -- the service


def test_write_svc_removes_by_itself(shop, tmp_path):
    (id,) = shop.database.create_products(1, stock=50)
    shop.change(id, 4)
    shop.make_old()
    settings = {
        "database": {"url": shop.url},
        "redis": {"url": ""},
        "ledger": {"retention_days": 9},
    }
    folder = tmp_path / "write"
    folder.mkdir()
    with ServiceProcess("write-svc", folder, settings) as service:
        eventually(lambda: shop.versions(id) == [5], "the old movements are gone")
        removed = scrape_at_rest(service.ops).total("faststock_ledger_movements_removed_total")
        assert removed == 4
        # an answer of the service, behind the floor
        assert service.client.update_stock(id, {"delta": 1}).json()["version"] == 6
    assert shop.check_ledger()[0], shop.check_ledger()[1]


@pytest.mark.parametrize("days", [None, 0, 11])
def test_write_svc_keeps_what_it_should(shop, tmp_path, days):
    (id,) = shop.database.create_products(1, stock=50)
    shop.change(id, 4)
    shop.make_old()
    settings = {"database": {"url": shop.url}, "redis": {"url": ""}}
    if days is not None:
        settings["ledger"] = {"retention_days": days}
    folder = tmp_path / "write"
    folder.mkdir()
    with ServiceProcess("write-svc", folder, settings) as service:
        for _ in range(5):  # it looks at the start
            assert service.client.update_stock(id, {"delta": 1}).status == 200
    assert shop.versions(id) == list(range(1, 11))
