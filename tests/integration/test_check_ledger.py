"""sql/check-ledger finds each fault that is planted, and none in a history without faults."""

import contextlib
import os
import subprocess
from urllib.parse import urlsplit

import psycopg2
import pytest

from support.database import Database
from support.stack import ROOT
from support.timing import scaled

pytestmark = pytest.mark.once

# Commands of each kind, in one batch: (kind, subject, [(product, amount)...]). Products 1, 2 and 3
# are there; orders and reservations get the numbers from 1 on.
HISTORY = [
    ("order", 0, [(1, 2), (2, 1)]),  # order 1
    ("order", 0, [(1, 3), (3, 1)]),  # order 2: is cancelled
    ("reserve", 600, [(1, 4), (2, 5)]),  # reservation 1: stays held
    ("reserve", 600, [(1, 1)]),  # 2: is confirmed as order 3
    ("reserve", 600, [(2, 2)]),  # 3: is released
    ("reserve", 1, [(2, 3)]),  # 4: expires
]
ENDS = [
    ("cancel", 2, []),
    ("confirm", 2, []),
    ("release", 3, []),
    ("delete", 0, [(3, 0)]),
]


@contextlib.contextmanager
def new_database(maintenance, name, template="template0"):
    """The URL of a new database on the stack's server."""
    maintenance.rows(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    maintenance.rows(f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield urlsplit(maintenance.url)._replace(path=f"/{name}").geturl()
    finally:
        maintenance.rows(f"DROP DATABASE {name} WITH (FORCE)")


def run_sql(command, url):
    return subprocess.run(
        [ROOT / "sql" / command],
        capture_output=True,
        text=True,
        timeout=scaled(60),
        env={**os.environ, "DIRECT_URL": url},
    )


@pytest.fixture(scope="module")
def history(stack):
    """A database with a history of each kind, and no faults."""
    maintenance = Database(stack.env["DIRECT_URL"])
    with new_database(maintenance, "check_ledger_history") as url:
        done = run_sql("migrate", url)
        assert done.returncode == 0, done.stderr
        database = Database(url)
        assert database.create_products(3, stock=100) == [1, 2, 3]
        database.write_batch(HISTORY)
        database.write_batch(ENDS)
        database.rows("UPDATE reservations SET expires_at = clock_timestamp() WHERE id = 4")
        ended = database.rows("SELECT outcome FROM expire_reservations(10, true) WHERE ord > 0")
        assert [row["outcome"] for row in ended] == ["applied"]
        database.close()
        yield maintenance
    maintenance.close()


def check(maintenance, *faults):
    """Plants faults in a copy of the history; returns what the check has found, or None."""
    with new_database(maintenance, "check_ledger_fault", "check_ledger_history") as url:
        with contextlib.closing(psycopg2.connect(url)) as connection:
            with connection, connection.cursor() as cursor:
                cursor.execute("SET session_replication_role = replica")  # no triggers
                for fault in faults:
                    cursor.execute(fault)
                    assert cursor.rowcount > 0, fault
        done = run_sql("check-ledger", url)
        return None if done.returncode == 0 else done.stdout


def test_a_history_without_faults(history):
    assert check(history) is None


MOVEMENT = "WHERE product_id = {} AND kind = '{}'".format
ADD = (
    "INSERT INTO stock_movements (product_id, version, delta, stock_after, kind, order_id,"
    " reservation_id, reserved_delta)"
    " SELECT id, version + 1, {0}, stock + {0}, '{1}', {2}, {3}, {4} FROM products WHERE id = {5}"
)
MOVE = "UPDATE products SET version = version + 1, stock = stock + {}, reserved = reserved + {} {}"

FAULTS = {
    "units reserved that no reservation holds": (
        ["UPDATE products SET reserved = reserved + 1 WHERE id = 1"],
        "reserved is 5, the ledger says 4, the reservations that are held have 4",
    ),
    "a reservation that holds more": (
        ["UPDATE reservation_items SET qty = 6 WHERE reservation_id = 1 AND product_id = 2"],
        "the reservations that are held have 6",
    ),
    "a reservation that was ended without the ledger": (
        ["UPDATE reservations SET status = 'RELEASED', ended_at = now() WHERE id = 1"],
        "reservation 1, kind release: 4 units are due, the ledger has 0 in 0 movements",
    ),
    "a reservation that ended in another way": (
        ["UPDATE reservations SET status = 'RELEASED' WHERE id = 4"],
        "reservation 4, kind release: 3 units are due, the ledger has 0 in 0 movements",
    ),
    "a reservation that was put back twice": (
        [ADD.format(2, "release", "NULL", 3, -2, 2), MOVE.format(2, -2, "WHERE id = 2")],
        "reservation 3, kind release: 2 units are due, the ledger has 4 in 2 movements",
    ),
    "a reservation without its order": (
        ["UPDATE orders SET reservation_id = NULL WHERE id = 3"],
        "reservation 2 is CONFIRMED, but its order is not there",
    ),
    "an item that never left the stock": (
        ["UPDATE order_items SET qty = 7 WHERE order_id = 1 AND product_id = 1"],
        "order 1, kind order: 7 units are due, the ledger has 2 in 1 movements",
    ),
    "an order without one of its items": (
        ["DELETE FROM order_items WHERE order_id = 1 AND product_id = 2"],
        "order 1, kind order: 0 units are due, the ledger has 1 in 1 movements",
    ),
    "an order that was cancelled without the ledger": (
        ["UPDATE orders SET status = 'CANCELLED', cancelled_at = now() WHERE id = 1"],
        "order 1, kind cancel: 2 units are due, the ledger has 0 in 0 movements",
    ),
    "an order that was put back twice": (
        [ADD.format(3, "cancel", 2, "NULL", "NULL", 1), MOVE.format(3, 0, "WHERE id = 1")],
        "order 2, kind cancel: 3 units are due, the ledger has 6 in 2 movements",
    ),
    "an order that was put back and not cancelled": (
        ["UPDATE orders SET status = 'CREATED', cancelled_at = NULL WHERE id = 2"],
        "order 2, kind cancel: 0 units are due, the ledger has 3 in 1 movements",
    ),
    "an adjustment that reserves": (
        [ADD.format(1, "adjust", "NULL", "NULL", 1, 1), MOVE.format(1, 1, "WHERE id = 1")],
        "delta 1 and reserved_delta 1 do not belong to kind adjust",
    ),
    "a confirmation that took from the stock": (
        ["UPDATE stock_movements SET delta = -1 " + MOVEMENT(1, "confirm")],
        "delta -1 and reserved_delta -1 do not belong to kind confirm",
    ),
    "fewer than no units reserved": (
        ["UPDATE stock_movements SET reserved_delta = NULL " + MOVEMENT(1, "reserve")],
        "-1 units are reserved after it",
    ),
    "a stock that the ledger does not know": (
        ["UPDATE products SET stock = stock + 1 WHERE id = 1"],
        "stock is 94, the ledger says 93",
    ),
    "a version that is missing": (
        ["DELETE FROM stock_movements " + MOVEMENT(2, "release")],
        "version does not follow",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault(history, fault):
    statements, found = FAULTS[fault]
    told = check(history, *statements)
    assert told is not None, "the check has not seen it"
    assert found in told, told
